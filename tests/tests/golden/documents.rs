//! docs/limitations.md, docs/evidence.md and docs/json.md are complete.

use aioinspect::model::finding::Finding;
use aioinspect_proto::evidence::{MAGIC, MAX_MESSAGE_LEN, VERSION};
use serde_json::Value;

use crate::blessed::text_of;

/// Check that limitations.md has a section for each finding, in the list's order and with its words, and for no other.
#[test]
fn every_finding_is_explained() {
    let text = text_of("docs/limitations.md");
    let sections: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`')).collect();
    assert_eq!(sections, Finding::ALL.iter().map(|finding| finding.code()).collect::<Vec<_>>());
    for finding in Finding::ALL {
        let section = text.split(&format!("### `{}`\n", finding.code())).nth(1).unwrap();
        let section = section.split("\n#").next().unwrap();
        assert!(
            section.contains(finding.says()),
            "{finding}: limitations.md does not quote {:?}",
            finding.says()
        );
        for part in ["Means: ", "Does not mean: ", "Do: "] {
            assert!(section.contains(part), "{finding}: limitations.md has no {part:?}");
        }
    }
}

/// Check that evidence.md gives the framing as it is, and names every message and enum of the schema, and no other.
#[test]
fn the_evidence_format_is_described() {
    let text = text_of("docs/evidence.md");
    let magic = MAGIC.map(|byte| format!("{byte:02x}")).join(" ");
    assert!(text.contains(&magic), "no {magic}");
    assert!(text.contains(&format!("version {VERSION}")));
    assert!(text.contains(&format!("{} MiB", MAX_MESSAGE_LEN >> 20)));
    let schema = text_of("proto/schema/evidence.proto");
    let named: Vec<&str> = schema
        .lines()
        .filter_map(|line| line.strip_prefix("message ").or(line.strip_prefix("enum ")))
        .filter_map(|rest| rest.split_whitespace().next())
        .collect();
    assert!(named.len() > 10);
    for name in &named {
        assert!(text.contains(&format!("| `{name}` |")), "evidence.md has no row for {name}");
    }
    for row in text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()) {
        assert!(named.contains(&row), "evidence.md: the schema has no {row}");
    }
}

/// Check that json.md has a row for each event that `watch --ndjson` can print, with exactly its keys, and for no other.
#[test]
fn every_event_is_described() {
    let text = text_of("docs/json.md");
    let table = text.split("| event | when | keys |").nth(1).unwrap();
    let mut rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| `")).collect();
    let mut words: Vec<String> = Vec::new();
    for line in text_of("userspace/src/output/event_json_tests.ndjson").lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let word = event["event"].as_str().unwrap();
        let begins = format!("| `{word}` | ");
        let row = table.lines().find_map(|line| line.strip_prefix(&begins));
        let row = row.unwrap_or_else(|| panic!("json.md has no row for {word}"));
        let keys = row.split(" | ").nth(1).unwrap();
        let named: Vec<&str> =
            keys.split('`').skip(1).step_by(2).filter(|key| !key.starts_with('"')).collect();
        let keys: Vec<&str> = event.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!([&["schema_version", "time", "event"], &named[..]].concat(), keys, "json.md: {word}");
        words.push(begins);
    }
    rows.retain(|row| !words.iter().any(|begins| row.starts_with(begins)));
    assert_eq!(rows, [""; 0], "json.md names events that there are not");
}
