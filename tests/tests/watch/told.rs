//! How it is told: filters, ends, pipes, privileges.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::privileges;
use aioinspect_tests::programs::{bin, is_root, run, skip};
use aioinspect_tests::watch::{Watch, is_of};
use aioinspect_tests::yard::Yard;
use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use rustix::thread::CapabilitySet;

fn can(test: &str) -> bool {
    if !is_root() {
        skip(test, "needs root (CAP_BPF, CAP_PERFMON)");
    }
    is_root()
}

fn start(args: &[&str]) -> Watch {
    Watch::start(args).unwrap_or_else(|ended| panic!("{args:?}: {}", ended.stderr))
}

/// Check that -p shows only that process, and --failures only calls that failed.
#[test]
fn filters() {
    if !can("filters") {
        return;
    }
    let (mut one, mut other) = (Fixture::spawn(), Fixture::spawn());
    let pid = one.pid().to_string();
    let (by_pid, failures) = (start(&["-p", &pid]), start(&["--failures"]));
    other.setup(3);
    one.setup(4);
    one.run("setup-raw 1 nonzero");
    let (by_pid, failures) = (by_pid.end(), failures.end());
    let words = |events: &[serde_json::Value]| -> Vec<String> {
        events.iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(words(&by_pid.events), ["setup", "setup-failed"]);
    assert!(by_pid.events.iter().all(|event| is_of(event, one.pid())));
    let ours: Vec<_> = failures.events.iter().filter(|event| is_of(event, one.pid())).cloned().collect();
    assert_eq!(words(&ours), ["setup-failed"]);
    assert!(failures.events.iter().all(|event| event["event"] == "setup-failed"));
}

/// Check that a process that does not exist is not waited for.
#[test]
fn nobody_of_that_number() {
    if !can("nobody_of_that_number") {
        return;
    }
    let Err(ended) = Watch::start(&["-p", "4194304"]) else { panic!("it watches nobody") };
    assert_eq!((ended.code, ended.stderr.contains("4194304")), (Some(3), true), "{}", ended.stderr);
}

/// Check that it ends by itself after --duration, and by each signal, with 0 and with what had happened.
#[test]
fn ends() {
    if !can("ends") {
        return;
    }
    let begun = Instant::now();
    assert_eq!(start(&["--duration", "300ms"]).await_end().code, Some(0));
    assert!(begun.elapsed() >= Duration::from_millis(300));
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let watch = start(&[]);
        let mut fixture = Fixture::spawn();
        fixture.setup(3);
        // Not waited for: what is in the buffer at the end is told.
        let ended = watch.end_by(signal);
        assert_eq!(ended.code, Some(0), "{signal:?}: {}", ended.stderr);
        assert_eq!(ended.of(fixture.pid(), "setup").len(), 1, "{signal:?}");
    }
}

/// Check that a reader that leaves ends it, although nothing happens that it could fail to write.
#[test]
fn a_closed_pipe() {
    if !can("a_closed_pipe") {
        return;
    }
    let mut command = Command::new(bin("aioinspect"));
    command.arg("watch").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let begun = Instant::now();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(30));
}

/// Check the plain lines: one an event, and nothing else on standard output.
#[test]
fn lines() {
    if !can("lines") {
        return;
    }
    let mut fixture = Fixture::spawn();
    fixture.setup(31);
    let pid = fixture.pid().to_string();
    let output = run(Command::new(bin("aioinspect")).args(["watch", "-p", &pid, "--duration", "300ms"]));
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(output.stdout.lines().count(), 1, "{output:?}");
    assert!(
        output.stdout.contains(" existing     aio-fixture[") && output.stdout.contains(" max_reqs 31"),
        "{output:?}"
    );
    assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
}

/// Check that nothing is left of what was attached and mounted, and that while it watches it has no capability but what this kernel asks for.
#[test]
fn leaves_nothing_and_holds_nothing() {
    if !can("leaves_nothing_and_holds_nothing") {
        return;
    }
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let before = mounts();
    let watch = start(&["--hook", "tracepoint"]);
    let status = std::fs::read_to_string(format!("/proc/{}/status", watch.pid())).unwrap();
    let left = privileges::left();
    let none = "0000000000000000";
    for (set, held) in [("CapInh", none), ("CapPrm", left), ("CapEff", left), ("CapAmb", none)] {
        assert!(status.contains(&format!("{set}:\t{held}")), "{status}");
    }
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    assert_eq!(before, mounts());
    assert_eq!(std::fs::read_to_string(format!("/proc/{}/mountinfo", watch.pid())).unwrap(), before);
    watch.end();
    assert_eq!(before, mounts());
}

/// Check the least that is needed: two capabilities, as nobody, with no tracefs; and that without them what is missing is named.
#[test]
fn as_nobody() {
    if !can("as_nobody") {
        return;
    }
    let yard = Yard::new();
    // Kernels before 5.11 charge maps to it, and nobody may raise it. Root may not either without CAP_SYS_RESOURCE: then it is as it was.
    let _ = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None });
    let by_nobody = |capabilities| Watch::of(yard.command(capabilities, &["watch", "--ndjson", "-v"]));
    let both = CapabilitySet::BPF | CapabilitySet::PERFMON;
    let mut watch = by_nobody(both).unwrap_or_else(|ended| panic!("{}", ended.stderr));
    let mut fixture = Fixture::spawn();
    let pid = fixture.pid();
    fixture.setup(3);
    watch.expect("a setup", |event| is_of(event, pid) && event["event"] == "setup");
    let ended = watch.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    // Without tracefs, the other tracepoints; where fentry is, that.
    assert!(!ended.stderr.contains("watching with tracepoint"), "{}", ended.stderr);
    let Err(refused) = by_nobody(CapabilitySet::empty()) else { panic!("nobody may watch") };
    assert_eq!(refused.code, Some(4), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("CAP_BPF") && refused.stderr.contains("CAP_PERFMON"),
        "{}",
        refused.stderr
    );
}
