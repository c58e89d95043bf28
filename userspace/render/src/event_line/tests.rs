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

fn repeats(nth: usize) -> Repeats {
    let last = event_specimens::all().remove(nth);
    Repeats {
        unix_ns: last.unix_ns,
        since_unix_ns: last.unix_ns - 61_000_000_000,
        last,
        mixed: false,
        count: 4812,
        over_ns: 10_001_000_000,
        quiet_ns: 1_000_000,
        total: 1_234_567,
        processes: 1,
    }
}

/// Check what is said of failures that repeat: that they go on, when the last was, how many processes, that they have stopped, and of those
/// that are not told apart.
#[test]
fn repeated_failures() {
    let of = repeats(6);
    let still = "setup-failed x[1/1]                  EAGAIN: x 4,812 in 10 s, still failing: asked for 5000, 120 free of 65536; ";
    assert!(repeated(&of).starts_with(still), "{}", repeated(&of));
    let several = Repeats { processes: 3, quiet_ns: 2_500_000_000, over_ns: 480_000_000, ..of.clone() };
    assert!(repeated(&several).contains(": x 4,812 in 480 ms, the last 3 s ago, 3 processes: asked for"));
    let many = Repeats { processes: MOST_PROCESSES, ..of.clone() };
    assert!(repeated(&many).contains(", 64 processes or more: "));
    let stopped = Repeats { count: 0, quiet_ns: 10_000_000_000, ..of.clone() };
    assert_eq!(
        repeated(&stopped),
        "setup-failed x[1/1]                  EAGAIN: stopped: none for 10 s, 1,234,567 in all since 11:58:59.007407Z"
    );
    let mixed = Repeats { mixed: true, count: 12, ..of };
    assert_eq!(
        repeated(&mixed),
        "setup-failed others                  x 12 in 10 s, still failing: more than 256 kinds of failures at a time"
    );
    let owned = repeated(&repeats(15));
    assert!(owned.ends_with(" (in 0f1e2d3c4b5a)"), "{owned}");
    assert_eq!(
        [0, 7, 999, 1000, 65_536, 1_234_567].map(grouped),
        ["0", "7", "999", "1,000", "65,536", "1,234,567"]
    );
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
