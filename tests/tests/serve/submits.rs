//! `--collect submit`: calls of io_submit by owner.

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::host::HostLock;
use aioinspect_tests::serving::Serving;

const COMM: &str = "comm=\"aio-fixture\"";

/// Check the counts of a process by what it did, also after its end; and that without the option there are none.
#[test]
fn by_owner() {
    let host = HostLock::take();
    let serving = Serving::start(&["--collect", "submit"]).unwrap();
    let mut fixture = Fixture::spawn_alone(&host);
    for (kind, times) in [("ok", 4), ("short", 3), ("einval", 2), ("ebadf", 1)] {
        fixture.run(&format!("submit-raw {kind} {times}"));
    }
    let agrees = || {
        serving.await_metric("aio_submit_calls_total", &[COMM], 10.0);
        assert_eq!(serving.metric("aio_submit_short_total", &[COMM]), Some(3.0));
        assert_eq!(serving.metric("aio_submit_errors_total", &[COMM, "errno=\"EINVAL\""]), Some(2.0));
        assert_eq!(serving.metric("aio_submit_errors_total", &[COMM, "errno=\"EBADF\""]), Some(1.0));
    };
    agrees();
    drop(fixture);
    agrees();
    // The next of the same name counts on.
    let mut fixture = Fixture::spawn_alone(&host);
    fixture.run("submit-raw ok 5");
    serving.await_metric("aio_submit_calls_total", &[COMM], 15.0);
    let without = Serving::start(&[]).unwrap();
    assert!(!without.metrics().contains("aio_submit"));
}
