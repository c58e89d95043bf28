//! What the server may do: little at the start, nothing afterwards.

use std::fs;

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::serving::Serving;
use aioinspect_tests::yard::Yard;
use rustix::thread::CapabilitySet;

const COMM: &str = "comm=\"aio-fixture\"";

/// Check by the kernel's word that a server holds no capability and can get none, is under seccomp, and has no thread that is not.
#[test]
fn nothing_is_held() {
    let serving = Serving::start(&["--collect", "submit"]).unwrap();
    let _ = serving.metrics();
    let status = fs::read_to_string(format!("/proc/{}/status", serving.pid())).unwrap();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    assert_eq!((field("NoNewPrivs:"), field("Seccomp:"), field("Threads:")), ("1", "2", "1"));
    let served = serving.end();
    assert!(served.stderr.contains("all capabilities dropped; landlock "), "{served:?}");
}

/// Check that two capabilities are enough to tell the truth of a process of somebody else's, its ring's head included.
#[test]
fn two_are_enough() {
    let yard = Yard::new();
    let mut fixture = Fixture::spawn();
    let id = fixture.setup(64);
    fixture.run(&format!("poll {id:#x} 5 0"));
    fixture.run(&format!("complete {id:#x} 2"));
    let command =
        yard.command(CapabilitySet::BPF | CapabilitySet::PERFMON, &["serve", "--listen", "127.0.0.1:0"]);
    let serving = Serving::of(command).unwrap();
    let said = serving.metrics();
    let value = |name| aioinspect_tests::serving::value_in(&said, name, &[COMM]);
    assert_eq!(value("aio_reserved_events"), Some(64.0));
    assert_eq!(value("aio_inflight_requests"), Some(3.0));
    assert_eq!(value("aio_unreaped_completions"), Some(2.0));
    assert_eq!(serving.end().code, Some(0));
}

/// Check that without a capability the missing ones are named, and the exit code is theirs.
#[test]
fn none_are_not() {
    let yard = Yard::new();
    let command = yard.command(CapabilitySet::empty(), &["serve", "--listen", "127.0.0.1:0"]);
    let served = Serving::of(command).unwrap_err();
    assert_eq!(served.code, Some(4), "{served:?}");
    assert!(served.stderr.contains("CAP_BPF"), "{served:?}");
}
