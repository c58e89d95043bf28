//! What is served is what is: by the fixture's own word.

use std::thread;
use std::time::Duration;

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::host::{HostLock, aio_max_nr};
use aioinspect_tests::serving::Serving;
use aioinspect_tests::watch;

const COMM: &str = "comm=\"aio-fixture\"";

/// Check the gauges of an owner through its life: contexts, slots, requests in flight, completions that wait, and that its series end with it.
#[test]
fn gauges_follow_the_process() {
    let host = HostLock::take();
    let serving = Serving::start(&[]).unwrap();
    assert_eq!(serving.metric("aio_contexts", &[COMM]), None);
    let mut fixture = Fixture::spawn_alone(&host);
    let id = fixture.setup(128);
    fixture.setup(7);
    fixture.run(&format!("poll {id:#x} 5 0"));
    let said = serving.metrics();
    let value = |name| aioinspect_tests::serving::value_in(&said, name, &[COMM]);
    assert_eq!(value("aio_contexts"), Some(2.0));
    assert_eq!(value("aio_reserved_events"), Some(135.0));
    assert_eq!(value("aio_inflight_requests"), Some(5.0));
    // What takes headers, which a service without privileges has from the kernel or not at all.
    let heads = watch::reads_heads();
    println!(
        "gauges_follow_the_process: ring headers are {}",
        if heads { "read" } else { "not to be had here" }
    );
    assert_eq!(value("aio_unreaped_completions"), heads.then_some(0.0));
    if watch::walks_mappings() {
        assert_eq!(value("aio_ghost_rings"), Some(0.0));
    }
    let nr_events = fixture.truth().context(0).map(|context| f64::from(context.nr_events)).unwrap();
    let fill = value("aio_context_max_fill_ratio");
    let expected = heads.then_some(5.0 / (nr_events - 1.0));
    assert!(fill.zip(expected).is_none_or(|(fill, expected)| (fill - expected).abs() < 1e-9), "{fill:?}");
    assert_eq!(fill.is_some(), heads, "{fill:?}");
    drop(fixture);
    assert_eq!(serving.metric("aio_contexts", &[COMM]), None, "the series outlives the process");
    let served = serving.end();
    assert_eq!(served.code, Some(0), "{served:?}");
}

/// Check that each failed io_setup is counted with its owner and errno, and each result from the start.
#[test]
fn failures_are_counted() {
    let host = HostLock::take();
    let serving = Serving::start(&[]).unwrap();
    let result = |result: &str| serving.metric("aio_setup_calls_total", &[&format!("result=\"{result}\"")]);
    for name in ["ok", "EAGAIN", "EINVAL", "ENOMEM", "EFAULT", "other"] {
        assert_eq!(result(name), Some(0.0), "{name}");
    }
    let mut fixture = Fixture::spawn_alone(&host);
    let much = aio_max_nr() + 1;
    for _ in 0..3 {
        assert_eq!(fixture.try_run(&format!("setup {much}")).unwrap_err().errno, 11);
    }
    assert_eq!(fixture.try_run("setup 0").unwrap_err().errno, 22);
    fixture.setup(1);
    serving.await_metric("aio_setup_calls_total", &["result=\"ok\""], 1.0);
    assert_eq!(result("EAGAIN"), Some(3.0));
    assert_eq!(serving.metric("aio_setup_failures_total", &[COMM, "errno=\"EAGAIN\""]), Some(3.0));
    assert_eq!(serving.metric("aio_setup_failures_total", &[COMM, "errno=\"EINVAL\""]), Some(1.0));
    #[expect(clippy::cast_precision_loss, reason = "the limit is a small number")]
    let rejected = (3 * much) as f64;
    assert_eq!(serving.metric("aio_setup_rejected_events_total", &[]), Some(rejected));
    assert_eq!(serving.metric("aioinspect_lost_events_total", &[]), Some(0.0));
}

/// Check that io_destroy is timed.
#[test]
fn destroys_are_timed() {
    let serving = Serving::start(&[]).unwrap();
    let mut fixture = Fixture::spawn();
    let before = serving.metric("aio_destroy_duration_seconds_count", &[]).unwrap();
    let id = fixture.setup(4);
    fixture.run(&format!("destroy {id:#x}"));
    let begun = std::time::Instant::now();
    while serving.metric("aio_destroy_duration_seconds_count", &[]).unwrap() <= before {
        assert!(begun.elapsed() < Duration::from_secs(60));
        thread::sleep(Duration::from_millis(20));
    }
    assert!(serving.metric("aio_destroy_duration_seconds_sum", &[]).unwrap() > 0.0);
}
