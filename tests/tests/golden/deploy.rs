//! What is under deploy/: rules, dashboard, units and manifests say only what the exporter exports and the program takes.
//!
//! The one list of metrics is the table of docs/metrics.md.

mod metrics;
mod promql;
mod promtool;
mod shipped;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::blessed::text_of;
use metrics::Known;
use shipped::{DASHBOARD, RULE_TESTS, RULES, dashboard, documents, rules, yaml};

/// Check that the table is read: a name of each kind, its labels, and the owner's.
#[test]
fn the_table_of_metrics_is_read() {
    let known = Known::read();
    for name in ["aio_reserved_events", "aio_destroy_duration_seconds_bucket", "process_cpu_seconds_total"] {
        assert!(known.metrics.contains(name), "{name}");
    }
    assert!(!known.metrics.contains("aio_reserved_events_bucket"));
    for label in ["comm", "pid", "errno", "result", "image", "probe", "version"] {
        assert!(known.labels.contains(label), "{label}");
    }
}

/// Check that every expression, of rules, annotations, dashboard and documents, names metrics and labels that are exported.
#[test]
fn expressions_name_what_is_exported() {
    let known = Known::read();
    let all = shipped::expressions();
    assert!(all.len() > 60, "only {} expressions found", all.len());
    let unknown: Vec<String> = all.iter().flat_map(|(place, expr)| known.lacks(place, expr)).collect();
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
    let used: BTreeSet<String> = all.iter().flat_map(|(_, expr)| promql::names(expr).metrics).collect();
    let unused: Vec<&String> = known.exported.iter().filter(|name| !is_used(&used, name)).collect();
    assert!(unused.is_empty(), "neither dashboard nor rules use {unused:?}");
}

fn is_used(used: &BTreeSet<String>, name: &str) -> bool {
    used.contains(name) || used.contains(&format!("{name}_bucket"))
}

/// Check that templates of legends and annotations name labels that are exported.
#[test]
fn templates_name_labels() {
    let known = Known::read();
    for (text, marks) in
        [(text_of(RULES), &["$labels.", ".Labels."][..]), (shipped::legends().join("\n"), &["{{"])]
    {
        let mut seen = 0;
        for mark in marks {
            for rest in text.split(mark).skip(1) {
                let label: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                assert!(label.is_empty() || known.labels.contains(&label), "{mark}{label}: no such label");
                seen += usize::from(!label.is_empty());
            }
        }
        assert!(seen > 10, "only {seen} labels found");
    }
}

/// Check that in the row Growth, whose series are of all hosts that are chosen, each series says of which it is.
#[test]
fn growth_names_its_host() {
    let board = dashboard();
    let growth = ["Growth by owner", "Time to full by owner"];
    let of = |panel: &&Value| panel["title"].as_str().is_some_and(|title| growth.contains(&title));
    let panels: Vec<&Value> = shipped::panels(&board).into_iter().filter(of).collect();
    assert_eq!(panels.len(), growth.len());
    for target in panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap()) {
        assert!(target["legendFormat"].as_str().unwrap().starts_with("{{instance}} "), "{target}");
    }
}

/// Check that each alert has a severity, texts that name owner labels, a section of the runbook, and tests in which it
/// fires and in which it does not.
#[test]
fn alerts_are_complete() {
    let metrics = text_of("docs/metrics.md");
    let tests = yaml(RULE_TESTS);
    let cases: Vec<&Value> = tests["tests"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|group| group["alert_rule_test"].as_array())
        .flatten()
        .collect();
    let alerts: Vec<Value> = rules().into_iter().filter(|rule| rule.get("alert").is_some()).collect();
    assert!(alerts.len() >= 9);
    for alert in &alerts {
        let name = alert["alert"].as_str().unwrap();
        let severity = alert["labels"]["severity"].as_str().unwrap();
        assert!(["warning", "critical"].contains(&severity), "{name}: severity {severity}");
        let text = |key: &str| {
            alert["annotations"][key].as_str().unwrap_or_else(|| panic!("{name} has no {key}")).to_owned()
        };
        assert!(text("summary").contains("$labels.instance"), "{name}: the summary does not say where");
        for label in ["comm", "unit", "pod_uid"] {
            assert!(text("description").contains(label), "{name}: the description does not name {label}");
        }
        assert_eq!(text("runbook"), format!("docs/metrics.md#{}", name.to_lowercase()));
        let section = metrics.split(&format!("\n### {name}\n")).nth(1);
        let section = section.unwrap_or_else(|| panic!("docs/metrics.md has no section {name}"));
        let section = section.split("\n#").next().unwrap();
        for part in ["- Means: ", "- Look at: ", "- Do: "] {
            assert!(section.contains(part), "{name}: docs/metrics.md has no {part:?}");
        }
        let fires = |wanted: bool| {
            cases.iter().any(|case| {
                case["alertname"] == name
                    && case["exp_alerts"].as_array().is_some_and(|of| !of.is_empty()) == wanted
            })
        };
        assert!(fires(true), "{name}: no test in which it fires");
        assert!(fires(false), "{name}: no test in which it does not fire");
    }
    let sections = metrics.lines().filter_map(|line| line.strip_prefix("### "));
    for section in sections {
        assert!(alerts.iter().any(|alert| alert["alert"] == section), "docs/metrics.md: no alert {section}");
    }
}

/// Check that the value of each recorded series is tested.
#[test]
fn recording_rules_are_tested() {
    let tests = text_of(RULE_TESTS);
    for name in shipped::recorded() {
        assert!(tests.contains(&format!("- expr: {name}\n")), "{name} has no test");
    }
}

/// Check that panels have ids of their own, texts, units, and the data source of the variable; and that there are both variables.
#[test]
fn the_dashboard_is_whole() {
    let board = dashboard();
    let variables: Vec<&str> = board["templating"]["list"]
        .as_array()
        .unwrap()
        .iter()
        .map(|variable| variable["name"].as_str().unwrap())
        .collect();
    assert_eq!(variables, ["datasource", "instance"]);
    let mut ids = BTreeSet::new();
    let panels = shipped::panels(&board);
    for panel in &panels {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its id is another panel's");
        if panel["type"] == "row" {
            continue;
        }
        assert!(panel["description"].as_str().is_some_and(|text| text.len() > 20), "{title}: description");
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title}: unit");
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{title}: no target");
        for source in [*panel].into_iter().chain(targets) {
            assert_eq!(source["datasource"]["uid"], "${datasource}", "{title}");
        }
        for target in targets {
            let expr = target["expr"].as_str().unwrap();
            assert!(expr.contains("instance=~\"$instance\""), "{title}: {expr}: of all instances");
        }
    }
    let wide = panels.iter().all(|panel| {
        let at = &panel["gridPos"];
        at["x"].as_u64().unwrap() + at["w"].as_u64().unwrap() <= 24
    });
    assert!(wide, "a panel is beyond the right edge");
    let written = serde_json::to_string_pretty(&board).unwrap() + "\n";
    assert!(text_of(DASHBOARD) == written, "{DASHBOARD} is not in serde_json's layout");
}

/// Check that the DaemonSet sees the host's processes with two capabilities and nothing it could write to.
#[test]
fn the_daemon_set_has_little() {
    let all = documents("deploy/kubernetes/daemonset.yaml");
    let kinds: Vec<&str> = all.iter().map(|one| one["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["Namespace", "ServiceAccount", "DaemonSet"]);
    assert_eq!(all[1]["automountServiceAccountToken"], false);
    let pod = &all[2]["spec"]["template"]["spec"];
    assert_eq!(pod["hostPID"], true);
    assert_eq!(pod["automountServiceAccountToken"], false);
    for absent in ["hostNetwork", "hostIPC"] {
        assert!(pod.get(absent).is_none(), "{absent}");
    }
    let container = &pod["containers"][0];
    let security = &container["securityContext"];
    assert_eq!(security["capabilities"]["add"], serde_json::json!(["BPF", "PERFMON"]));
    assert_eq!(security["capabilities"]["drop"], serde_json::json!(["ALL"]));
    assert_eq!(security["readOnlyRootFilesystem"], true);
    assert_eq!(security["privileged"], false);
    assert_eq!(security["allowPrivilegeEscalation"], false);
    assert_eq!(security["runAsUser"], 0);
    assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault");
    let args: Vec<&str> =
        container["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
    assert!(args.iter().any(|arg| arg.starts_with("--web-config=")), "{args:?}");
    assert!(!args.contains(&"--insecure"), "{args:?}");
    assert_eq!(container["livenessProbe"]["httpGet"]["path"], "/healthz");
    assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/readyz");
    assert!(container["resources"]["limits"]["memory"].is_string());
}

/// Check that the unit keeps what hardens it, and has nothing that would hide the host's processes.
#[test]
fn the_unit_is_hardened() {
    let unit = text_of("deploy/systemd/aioinspect.service");
    let capabilities = "CAP_BPF CAP_PERFMON CAP_DAC_READ_SEARCH";
    for line in [
        "Type=notify",
        "ExecStart=/usr/bin/aioinspect serve $AIOINSPECT_ARGS",
        "EnvironmentFile=-/etc/default/aioinspect",
        "Requires=aioinspect.socket",
        &format!("AmbientCapabilities={capabilities}"),
        &format!("CapabilityBoundingSet={capabilities}"),
        "DynamicUser=yes",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "MemoryDenyWriteExecute=yes",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
        "RestrictNamespaces=yes",
        "SystemCallArchitectures=native",
        "MemoryMax=256M",
    ] {
        assert!(unit.lines().any(|is| is == line), "aioinspect.service has no {line}");
    }
    for hides in ["ProtectProc=", "ProcSubset=", "PrivateUsers=", "WatchdogSec="] {
        assert!(!unit.lines().any(|is| is.starts_with(hides)), "aioinspect.service has {hides}");
    }
    let socket = text_of("deploy/systemd/aioinspect.socket");
    assert!(socket.lines().any(|is| is == "ListenStream=127.0.0.1:9827"), "the socket is not on loopback");
    assert!(text_of("deploy/systemd/aioinspect.default").lines().any(|is| is == "AIOINSPECT_ARGS=\"\""));
}

/// Check that the image is of the binary alone and that it begins with `serve`.
#[test]
fn the_image_is_of_one_file() {
    let file = text_of("deploy/container/Containerfile");
    let steps: Vec<&str> = file.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    assert_eq!(steps.first(), Some(&"FROM scratch"));
    assert_eq!(steps.iter().filter(|step| step.starts_with("COPY ")).count(), 1, "{steps:?}");
    assert_eq!(steps.last(), Some(&"CMD [\"serve\"]"));
}
