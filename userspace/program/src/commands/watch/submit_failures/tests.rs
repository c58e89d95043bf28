//! Tests of `submit_failures.rs`.

use std::process::{Command, Stdio};

use aioinspect_model::submit_failure::Arguments;
use aioinspect_model::units::Pid;

use super::*;

/// Check that what was told is not told again, and that of a process that was forgotten and lives on all is told that comes afterwards.
#[test]
fn counts() {
    let of = |pid| Submitter { pid: Pid(pid), start_boottime_ns: 1 };
    let failed = |pid, count| Failed {
        of: of(pid),
        call: Call::Submit,
        errno: 11,
        count,
        arguments: Arguments::default(),
    };
    let told = |new: Vec<Failed>| new.iter().map(|new| (new.of.pid.0, new.count)).collect::<Vec<_>>();
    let mut seen = Seen::default();
    assert_eq!(told(seen.take(vec![failed(1, 10), failed(2, 3)], &[])), [(1, 10), (2, 3)]);
    assert_eq!(told(seen.take(vec![failed(1, 12), failed(2, 3)], &[of(1)])), [(1, 2)]);
    // Begun again, and already above what was known.
    assert_eq!(told(seen.take(vec![failed(1, 13), failed(2, 4)], &[])), [(1, 13), (2, 1)]);
    // Begun again without us.
    assert_eq!(told(seen.take(vec![failed(1, 5)], &[])), [(1, 5)]);
}

/// Check that a process is told from one that has ended, from another program and from another start.
#[test]
fn callers() {
    let own = process_of(Pid(std::process::id())).unwrap();
    let of = |ticks: u64| Submitter { pid: own.pid, start_boottime_ns: ticks * 10_000_000 };
    assert_eq!(caller(of(own.start_ticks), &own.comm), Caller::Same);
    assert_eq!(caller(of(own.start_ticks), b"another"), Caller::Other);
    assert_eq!(caller(of(own.start_ticks + 1), &own.comm), Caller::Other);
    let mut child = Command::new("true").stdout(Stdio::null()).spawn().unwrap();
    let pid = Pid(child.id());
    // A zombie once it has ended: it is not waited for yet.
    while ProcDir::open(pid).and_then(|dir| dir.live_thread()).is_ok() {
        std::thread::yield_now();
    }
    let gone = Submitter { pid, start_boottime_ns: 0 };
    assert_eq!(caller(gone, b"true"), Caller::Other);
    assert!(!ProcDir::open(pid).is_err_and(|error| is_end(&error)));
    child.wait().unwrap();
    assert_eq!(caller(gone, b"true"), Caller::Unseen);
    assert!(ProcDir::open(pid).is_err_and(|error| is_end(&error)));
}
