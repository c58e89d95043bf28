//! Tests of `event_line.rs`.

use proptest::prelude::*;

use crate::event_line::*;
use crate::event_specimens;
use aioinspect_model::units::{Pid, Tid};

/// Check one event of each kind, letter by letter.
#[test]
fn each_kind() {
    let mut text = Vec::new();
    for timed in event_specimens::all() {
        write(&mut text, &timed).unwrap();
    }
    let text = String::from_utf8(text).unwrap();
    let expected = include_str!("tests.txt");
    for (is, expected) in text.lines().zip(expected.lines()) {
        assert_eq!(is, expected);
    }
    assert_eq!(text, expected);
}

/// Check the units of a duration, at and around where they change.
#[test]
fn durations() {
    let table = [
        (0, "0 ns"),
        (999, "999 ns"),
        (1_000, "1.00 us"),
        (70_123, "70.1 us"),
        (999_999, "999 us"),
        (1_050_000, "1.05 ms"),
        (32_123_456, "32.1 ms"),
        (999_999_999, "999 ms"),
        (1_000_000_000, "1.00 s"),
        (61_000_000_000, "61.0 s"),
        (u64::MAX, "18446744073 s"),
    ];
    for (ns, text) in table {
        assert_eq!(duration(ns), text);
    }
}

proptest! {
    /// Check that any name stays in its line and does nothing to a terminal, and that what follows it is apart.
    #[test]
    fn any_name(comm: Vec<u8>, pid: u32, tid: u32, max_reqs: u32, unix_ns: u64) {
        let by = Actor { pid: Pid(pid), tid: Tid(tid), comm: comm.clone(), owner: None };
        let event = Event::Setup { by: by.clone(), context: ContextId(1), max_reqs };
        let timed = Timed { unix_ns, event, ..event_specimens::all().remove(0) };
        let text = line(&timed);
        prop_assert!(!text.chars().any(char::is_control));
        let who = format!("{}[{pid}", escape(&comm));
        prop_assert!(text.contains(&who) && text.contains("] "));
        let mut failure = event_specimens::failure();
        failure.largest[0].comm = comm;
        let text = line(&Timed { event: Event::SetupFailed { by, failure }, ..timed });
        prop_assert!(!text.chars().any(char::is_control));
    }
}
