//! What a server still may do once it serves, and with how little it can be started.

use std::fs;
use std::time::{Duration, Instant};

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::host::HostLock;
use aioinspect_tests::serving::{Serving, value_in};
use aioinspect_tests::yard::Yard;
use rustix::thread::CapabilitySet;
use tempfile::TempDir;

use crate::curl::curl;

const SERVE: [&str; 3] = ["serve", "--listen", "127.0.0.1:0"];
const BPF: CapabilitySet = CapabilitySet::BPF.union(CapabilitySet::PERFMON);

/// The value of a line of /proc/PID/status.
fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {status}")).trim()
}

/// Checks that a thread has no capability left, and is confined. The bounding set says only what exec could give: there is no exec, and
/// no_new_privs would take it back.
#[track_caller]
fn has_given_up(status: &str) {
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(field(status, set).trim_start_matches('0'), "", "{set}: {status}");
    }
    assert_eq!((field(status, "NoNewPrivs"), field(status, "Seccomp")), ("1", "2"), "{status}");
}

/// Check that while it serves it has no capability, gets none by exec, is under seccomp and Landlock, and has one thread.
#[test]
fn nothing_is_kept() {
    let serving = Serving::start(&["--collect", "submit"]).unwrap();
    assert_eq!(serving.get("/metrics").status, 200);
    let status = fs::read_to_string(format!("/proc/{}/status", serving.pid())).unwrap();
    has_given_up(&status);
    assert_eq!(field(&status, "Threads"), "1");
    let served = serving.end();
    assert!(
        served.stderr.contains("aioinspect: all capabilities dropped; landlock on; seccomp on\n"),
        "{served:?}"
    );
}

/// Check that the thread which compares a password is no freer.
#[test]
fn threads_for_passwords() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("web.yml");
    fs::write(&file, format!("basic_auth_users:\n  a: {}\n", bcrypt::hash("b", 4).unwrap())).unwrap();
    let serving = Serving::start(&["--web-config", file.to_str().unwrap()]).unwrap();
    assert_eq!(curl(&["-u", "a:b", &format!("http://{}/metrics", serving.tcp())]).unwrap().status, 200);
    let tasks = fs::read_dir(format!("/proc/{}/task", serving.pid())).unwrap();
    let mut seen = 0;
    for task in tasks {
        has_given_up(&fs::read_to_string(task.unwrap().path().join("status")).unwrap());
        seen += 1;
    }
    assert!(seen >= 2, "no thread compared a password");
}

/// Check that two capabilities, as nobody, are enough for all that is told of a process of root's.
#[test]
fn two_capabilities() {
    let host = HostLock::take();
    let yard = Yard::new();
    let serving = Serving::of(yard.command(BPF, &SERVE)).unwrap();
    let mut fixture = Fixture::spawn_alone(&host);
    let id = fixture.setup(64);
    fixture.run(&format!("poll {id:#x} 9 0"));
    fixture.run(&format!("complete {id:#x} 4"));
    fixture.run(&format!("reap {id:#x} 1"));
    assert_eq!(fixture.try_run("setup 0").unwrap_err().errno, 22);
    let pid = fixture.pid();
    let deadline = Instant::now() + Duration::from_secs(60);
    let failures = |said: &str| {
        value_in(said, "aio_setup_failures_total", &["comm=\"aio-fixture\"", "errno=\"EINVAL\""])
    };
    let mut said = serving.metrics();
    while failures(&said) != Some(1.0) {
        assert!(Instant::now() < deadline, "{said}");
        said = serving.metrics();
    }
    let value = |name| value_in(&said, name, &["comm=\"aio-fixture\""]);
    assert_eq!(value("aio_contexts"), Some(1.0));
    assert_eq!(value("aio_reserved_events"), Some(64.0));
    assert_eq!(value("aio_inflight_requests"), Some(5.0));
    assert_eq!(value("aio_unreaped_completions"), Some(3.0));
    let document = serving.contexts();
    let contexts = document["contexts"].as_array().unwrap();
    let ours = contexts.iter().find(|context| context["pid"] == pid).unwrap();
    let truth = fixture.truth();
    assert_eq!(ours["nr_events"], truth.context(0).unwrap().nr_events);
    assert_eq!((&ours["in_flight"], &ours["unreaped"]), (&5.into(), &3.into()), "{ours}");
    assert_eq!(ours["context"], format!("{id:#x}"));
    has_given_up(&fs::read_to_string(format!("/proc/{}/status", serving.pid())).unwrap());
    let served = serving.end();
    assert_eq!(served.code, Some(0), "{served:?}");
}

/// Check that what is missing is named: without any capability, with half of what is needed, and with others that do not help.
#[test]
fn too_few() {
    let yard = Yard::new();
    for few in [
        CapabilitySet::empty(),
        CapabilitySet::BPF,
        CapabilitySet::PERFMON,
        CapabilitySet::SYS_PTRACE.union(CapabilitySet::DAC_READ_SEARCH),
    ] {
        let served = Serving::of(yard.command(few, &SERVE)).unwrap_err();
        assert_eq!(served.code, Some(4), "{few:?}: {served:?}");
        for name in ["CAP_BPF", "CAP_PERFMON"] {
            assert!(served.stderr.contains(name), "{few:?}: no {name} in {served:?}");
        }
        assert!(!served.stderr.contains("panicked"), "{served:?}");
    }
}
