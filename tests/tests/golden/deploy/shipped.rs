//! The files under deploy/ and the documents, and the expressions in them.

use serde_json::Value;

use crate::blessed::text_of;

pub(super) const RULES: &str = "deploy/prometheus/aioinspect.rules.yml";
pub(super) const RULE_TESTS: &str = "deploy/prometheus/aioinspect.test.yml";
pub(super) const DASHBOARD: &str = "deploy/grafana/aioinspect.json";
const DOCUMENTS: [&str; 2] = ["docs/metrics.md", "docs/fleet.md"];

/// A YAML file of one document.
pub(super) fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&text_of(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A YAML file of several documents.
pub(super) fn documents(path: &str) -> Vec<Value> {
    let parse = |text: &str| serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{path}: {error}"));
    text_of(path).split("\n---\n").map(parse).collect()
}

/// All rules, recording and alerting.
pub(super) fn rules() -> Vec<Value> {
    let file = yaml(RULES);
    let groups = file["groups"].as_array().unwrap();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap()).cloned().collect()
}

/// The names of the recorded series.
pub(super) fn recorded() -> Vec<String> {
    rules().iter().filter_map(|rule| Some(rule.get("record")?.as_str()?.to_owned())).collect()
}

/// The dashboard.
pub(super) fn dashboard() -> Value {
    serde_json::from_str(&text_of(DASHBOARD)).unwrap_or_else(|error| panic!("{DASHBOARD}: {error}"))
}

/// All panels, those of collapsed rows as well.
pub(super) fn panels(board: &Value) -> Vec<&Value> {
    let top = board["panels"].as_array().unwrap().iter();
    top.flat_map(|panel| [panel].into_iter().chain(panel["panels"].as_array().into_iter().flatten()))
        .collect()
}

fn targets(board: &Value) -> impl Iterator<Item = (&str, &Value)> {
    panels(board).into_iter().flat_map(|panel| {
        let of = panel["targets"].as_array().into_iter().flatten();
        of.map(|target| (panel["title"].as_str().unwrap(), target))
    })
}

/// Legends of the dashboard.
pub(super) fn legends() -> Vec<String> {
    targets(&dashboard()).map(|(_, target)| target["legendFormat"].as_str().unwrap().to_owned()).collect()
}

/// Every expression that is shipped, with its place; variables of Grafana and of templates are filled in.
pub(super) fn expressions() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for rule in rules() {
        let name = rule.get("alert").or(rule.get("record")).and_then(Value::as_str).unwrap();
        all.push((format!("{RULES}: {name}"), rule["expr"].as_str().unwrap().to_owned()));
        for text in rule["annotations"].as_object().into_iter().flat_map(|texts| texts.values()) {
            for query in text.as_str().unwrap().split("printf \"").skip(1) {
                let query = query.split('"').next().unwrap();
                let query = ["%[1]q", "%[2]q", "%q"]
                    .iter()
                    .fold(query.to_owned(), |query, verb| query.replace(verb, "\"x\""));
                all.push((format!("{RULES}: {name}, annotations"), query));
            }
        }
    }
    let board = dashboard();
    for (title, target) in targets(&board) {
        all.push((format!("{DASHBOARD}: {title}"), filled(target["expr"].as_str().unwrap())));
    }
    for annotation in board["annotations"]["list"].as_array().unwrap() {
        all.push((format!("{DASHBOARD}: annotations"), filled(annotation["expr"].as_str().unwrap())));
    }
    for variable in board["templating"]["list"].as_array().unwrap() {
        // label_values(metric, label) is Grafana's own: a metric by a label.
        if let Some(of) = variable["definition"].as_str().and_then(|text| text.strip_prefix("label_values("))
        {
            let (metric, label) = of.trim_end_matches(')').split_once(", ").unwrap();
            all.push((format!("{DASHBOARD}: variables"), format!("count by ({label}) ({metric})")));
        }
    }
    for path in DOCUMENTS {
        for block in text_of(path).split("```promql\n").skip(1) {
            all.push((path.to_owned(), block.split("```").next().unwrap().to_owned()));
        }
    }
    all
}

/// What Grafana would ask with all instances chosen.
fn filled(expr: &str) -> String {
    [("$instance", ".*"), ("$__rate_interval", "5m"), ("$__range", "6h"), ("$__interval", "1m")]
        .iter()
        .fold(expr.to_owned(), |expr, (variable, value)| expr.replace(variable, value))
}
