//! The expressions of the files under deploy/, as Grafana and Prometheus would evaluate them.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// An expression, and which panel, variable or rule it is of.
pub type Named = (String, String);

/// A file of the checkout.
pub fn path_of(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(1).unwrap().join(name)
}

/// Its text.
pub fn text_of(name: &str) -> String {
    let path = path_of(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rules file.
pub fn rules() -> PathBuf {
    path_of("deploy/prometheus/aioinspect.rules.yml")
}

/// The dashboard.
pub fn dashboard() -> Value {
    serde_json::from_str(&text_of("deploy/grafana/aioinspect.json")).unwrap()
}

/// Every `expr` anywhere in the dashboard with all instances chosen: of panels, also of folded ones, and of annotations.
pub fn expressions(board: &Value) -> Vec<Named> {
    let mut found = Vec::new();
    walk(board, "", &mut found);
    found
}

fn walk(part: &Value, within: &str, found: &mut Vec<Named>) {
    let title = ["title", "name"].iter().find_map(|key| part.get(key)?.as_str()).unwrap_or(within);
    if let Some(expr) = part.get("expr").and_then(Value::as_str) {
        found.push((title.to_owned(), filled(expr)));
    }
    let parts: Vec<&Value> = match part {
        Value::Object(of) => of.values().collect(),
        Value::Array(of) => of.iter().collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    for inner in parts {
        walk(inner, title, found);
    }
}

/// The variables that ask for values of a label: its name, and of which metric.
pub fn variables(board: &Value) -> Vec<(String, String)> {
    let of = |variable: &Value| {
        let query = variable["query"]["query"].as_str()?;
        let inside = query.strip_prefix("label_values(")?.strip_suffix(')')?;
        let (metric, label) = inside.rsplit_once(',')?;
        Some((label.trim().to_owned(), metric.trim().to_owned()))
    };
    let all = board["templating"]["list"].as_array().unwrap().iter();
    let queries = all.filter(|variable| variable["type"] == "query");
    queries.map(|variable| of(variable).unwrap_or_else(|| panic!("{variable}"))).collect()
}

/// An expression with Grafana's variables filled in, all instances chosen.
pub fn filled(expr: &str) -> String {
    let expr = [("$instance", ".*"), ("$__rate_interval", "5m"), ("$__range", "6h"), ("$__interval", "1m")]
        .iter()
        .fold(expr.to_owned(), |expr, (variable, value)| expr.replace(variable, value));
    assert!(!expr.contains('$'), "a variable that is not filled in: {expr}");
    expr
}
