//! What it tells of a process that makes contexts, from its place behind all walls.

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::host::aio_max_nr;
use aioinspect_tests::serving::value_in;

use crate::systemd::{metrics, until};

const OWNER: [&str; 2] = ["unit=\"suites.service\"", "comm=\"aio-fixture\""];

/// Check slots, requests in flight, completions that nobody reaped (which takes the ring's header), and the unit that runs the process.
#[test]
fn gauges() {
    let mut fixture = Fixture::spawn();
    fixture.setup(128);
    fixture.run("poll #0 5");
    fixture.run("complete #0 2");
    let said = metrics();
    let value = |name| value_in(&said, name, &OWNER);
    assert_eq!(value("aio_reserved_events"), Some(128.0), "{said}");
    assert_eq!(value("aio_inflight_requests"), Some(3.0), "{said}");
    assert_eq!(value("aio_unreaped_completions"), Some(2.0), "{said}");
    drop(fixture);
    assert_eq!(value_in(&metrics(), "aio_reserved_events", &OWNER), None);
}

/// Check that a failed io_setup is counted for its unit.
#[test]
fn failures() {
    let mut fixture = Fixture::spawn();
    let [unit, comm] = OWNER;
    let failures = || value_in(&metrics(), "aio_setup_failures_total", &[unit, comm, "errno=\"EAGAIN\""]);
    let before = failures().unwrap_or(0.0);
    fixture.try_run(&format!("setup {}", aio_max_nr() + 1)).unwrap_err();
    until("a failure more", || failures().is_some_and(|now| (now - before - 1.0).abs() < 1e-9));
}

/// Check that it says by which hook it watches: on a kernel that has them, the one that costs others nothing.
#[test]
fn hook() {
    assert_eq!(value_in(&metrics(), "aioinspect_probe_attached", &["probe=\"fentry\""]), Some(1.0));
}
