//! docs/limitations.md, docs/states.md, docs/evidence.md and docs/json.md are complete, and all documents are wrapped.

use aioinspect_model::finding::Finding;
use aioinspect_proto::evidence::{MAGIC, MAX_MESSAGE_LEN, VERSION};
use serde_json::Value;

use crate::blessed::{root, text_of};

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

/// Check that each state of states.md has a cell for every witness and verb and names tests that exist, that none is "not seen", and that
/// no function of fs/aio.c that moves a context on is forgotten.
#[test]
fn every_state_is_shown() {
    let text = text_of("docs/states.md");
    let mut rows = text.lines().filter(|line| line.starts_with("| "));
    let heads = rows.next().unwrap().matches('|').count();
    let mut states = 0;
    for row in rows {
        states += 1;
        assert_eq!(row.matches('|').count(), heads, "{row}");
        assert!(!row.contains("not seen") && !row.contains("|  |"), "{row}");
        let shown_by = row.rsplit('|').nth(1).unwrap();
        let tests: Vec<(&str, &str)> =
            shown_by.split('`').filter_map(|word| word.split_once(".rs:")).collect();
        assert!(!tests.is_empty(), "no test shows {row}");
        for (file, test) in tests {
            let source = text_of(&format!("{file}.rs"));
            assert!(source.contains(&format!("\nfn {test}(")), "{file}.rs has no test {test}");
        }
    }
    assert!(states > 20, "{states} states");
    let moves = "ioctx_alloc aio_setup_ring ioctx_add_table get_reqs_available aio_get_req aio_complete \
                 put_reqs_available aio_ring_mremap kill_ioctx free_ioctx_users free_ioctx_reqs free_ioctx \
                 aio_free_ring exit_aio exec_mmap io_destroy";
    for function in moves.split_whitespace() {
        assert!(text.contains(function), "states.md does not name {function}");
    }
    for link in ["docs/ARCHITECTURE.md", "docs/evidence.md", "README.md"] {
        assert!(text_of(link).contains("states.md"), "{link} does not name states.md");
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
    for line in text_of("userspace/render/src/event_json/tests.ndjson").lines() {
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

/// Columns of prose in a document.
const COLUMNS: usize = 100;

/// Check that prose is wrapped; tables, code blocks and a line of one long word (an address) are as long as they must be.
#[test]
fn prose_is_wrapped() {
    let docs = std::fs::read_dir(root().join("docs")).unwrap();
    // The pictures are a directory.
    let docs = docs.map(Result::unwrap).filter(|entry| entry.path().is_file());
    let docs = docs.map(|entry| format!("docs/{}", entry.file_name().to_str().unwrap()));
    for path in docs.chain(["README.md".to_owned(), "CHANGELOG.md".to_owned()]) {
        let mut in_code = false;
        for (at, line) in text_of(&path).lines().enumerate() {
            let fence = line.trim_start().starts_with("```");
            in_code ^= fence;
            let is_prose = !in_code && !fence && !line.starts_with('|') && line.trim().contains(' ');
            assert!(!is_prose || line.chars().count() <= COLUMNS, "{path}:{}: longer than {COLUMNS}", at + 1);
        }
    }
}
