//! Prometheus' own judgement, by promtool (Debian: prometheus).

use std::fs;
use std::path::Path;
use std::process::Command;

use aioinspect_tests::programs::skip;
use serde_json::json;

use super::shipped::{RULE_TESTS, RULES, expressions};
use crate::blessed::root;

/// Whether there is promtool; says so if not.
fn can_judge(test: &str) -> bool {
    let has = Command::new("promtool").arg("--version").output().is_ok();
    if !has {
        skip(test, "needs promtool (apt-get install prometheus)");
    }
    has
}

fn promtool(args: &[&str], file: &Path) {
    let run = Command::new("promtool").args(args).arg(file).output();
    let run = run.unwrap_or_else(|error| panic!("promtool: {error}"));
    let said = [run.stdout, run.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(run.status.success(), "promtool {args:?} {}: {said}", file.display());
}

/// Check that Prometheus takes the rules, and that each alert fires and rests as its tests say.
#[test]
fn the_rules_pass() {
    if !can_judge("the_rules_pass") {
        return;
    }
    promtool(&["check", "rules", "--lint-fatal"], &root().join(RULES));
    promtool(&["test", "rules"], &root().join(RULE_TESTS));
}

/// Check that Prometheus parses every expression: of the dashboard, of queries in annotations, and of the documents.
#[test]
fn every_expression_parses() {
    if !can_judge("every_expression_parses") {
        return;
    }
    let all = expressions();
    let rules: Vec<_> = all
        .iter()
        .enumerate()
        .map(|(at, (place, expr))| json!({"record": format!("expression:{at}"), "labels": {"place": place}, "expr": expr}))
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("expressions.yml");
    // JSON is YAML.
    fs::write(&file, json!({"groups": [{"name": "expressions", "rules": rules}]}).to_string()).unwrap();
    promtool(&["check", "rules"], &file);
    // The check can fail.
    fs::write(
        &file,
        json!({"groups": [{"name": "x", "rules": [{"record": "a", "expr": "sum(("}]}]}).to_string(),
    )
    .unwrap();
    let bad = Command::new("promtool").args(["check", "rules"]).arg(&file).output().unwrap();
    assert!(!bad.status.success(), "promtool takes anything");
}
