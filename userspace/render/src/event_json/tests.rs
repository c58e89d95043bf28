//! Tests of `event_json.rs`.

use proptest::prelude::*;
use serde_json::Value;

use crate::event_json::*;
use crate::event_specimens;
use aioinspect_model::units::{Pid, Tid};

fn text(events: &[Timed]) -> String {
    let mut bytes = Vec::new();
    for timed in events {
        write(&mut bytes, timed).unwrap();
    }
    String::from_utf8(bytes).unwrap()
}

/// Check one event of each kind, letter by letter. tests.ndjson is the promise: lines are added, none is changed.
#[test]
fn each_kind() {
    let text = text(&event_specimens::all());
    let expected = include_str!("tests.ndjson");
    for (is, expected) in text.lines().zip(expected.lines()) {
        assert_eq!(is, expected);
    }
    assert_eq!(text, expected);
}

/// Check that the names of all kinds are in that file, so that none was forgotten.
#[test]
fn no_kind_is_left_out() {
    let said: std::collections::BTreeSet<&str> =
        event_specimens::all().iter().map(|timed| timed.event.word()).collect();
    assert_eq!(
        said.into_iter().collect::<Vec<_>>(),
        [
            "destroy",
            "dying",
            "exec",
            "existing",
            "exit",
            "gone",
            "growth",
            "healed",
            "lost",
            "setup",
            "setup-failed",
            "submit-failed"
        ]
    );
}

proptest! {
    /// Check that any name gives one line of valid JSON that does nothing to a terminal.
    #[test]
    fn any_name(comm: Vec<u8>, unix_ns: u64, errno: i32, free: Option<i64>) {
        let by = Actor { pid: Pid(1), tid: Tid(2), comm: comm.clone(), owner: None };
        let mut failure = Failure { errno, free, ..event_specimens::failure() };
        failure.largest[0].comm = comm;
        let timed = Timed { unix_ns, event: Event::SetupFailed { by, failure }, ..event_specimens::all().remove(0) };
        let text = text(&[timed]);
        prop_assert!(text.ends_with('\n') && !text.trim_end_matches('\n').chars().any(char::is_control));
        let value: Value = serde_json::from_str(&text).unwrap();
        let keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        prop_assert_eq!(
            keys,
            ["schema_version", "time", "event", "pid", "tid", "comm", "errno", "requested", "free", "reason", "owners", "owner"]
        );
        prop_assert_eq!(value["free"].as_i64(), free);
    }
}
