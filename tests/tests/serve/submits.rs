//! `--collect submit`: calls of io_submit by owner, as the fixture made them.

use aioinspect_tests::cgroup::Cgroup;
use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::host::HostLock;
use aioinspect_tests::serving::{Serving, value_in};

const COMM: &str = "comm=\"aio-fixture\"";
const FAMILIES: [&str; 3] = ["aio_submit_calls_total", "aio_submit_errors_total", "aio_submit_short_total"];

/// Makes calls of every kind: 3 empty, 5 good, 7 short, 11, 13 and 17 that fail.
fn submit(fixture: &mut Fixture) {
    for line in ["empty 3", "ok 5", "short 7", "einval 11", "ebadf 13", "efault 17"] {
        fixture.run(&format!("submit-raw {line}"));
    }
}

/// Checks that the counts of these labels are those of as many rounds of `submit`.
#[track_caller]
fn counted(said: &str, labels: &[&str], rounds: u32) {
    let value = |name: &str, more: &[&str]| value_in(said, name, &[labels, more].concat());
    let times = |count: u32| Some(f64::from(count * rounds));
    assert_eq!(value("aio_submit_calls_total", &[]), times(3 + 5 + 7 + 11 + 13 + 17), "{said}");
    assert_eq!(value("aio_submit_short_total", &[]), times(7), "{said}");
    for (errno, count) in [("EINVAL", 11), ("EBADF", 13), ("EFAULT", 17)] {
        assert_eq!(
            value("aio_submit_errors_total", &[&format!("errno=\"{errno}\"")]),
            times(count),
            "{said}"
        );
    }
    let kinds = said.lines().filter(|line| {
        line.starts_with("aio_submit_errors_total{") && labels.iter().all(|label| line.contains(label))
    });
    assert_eq!(kinds.count(), 3, "{said}");
}

/// Check that every call is counted once under its owner, on and on, and that the counts stay when the process has ended.
#[test]
fn calls_are_counted() {
    let host = HostLock::take();
    let serving = Serving::start(&["--collect", "submit"]).unwrap();
    assert_eq!(serving.metric("aio_submit_calls_total", &[COMM]), None);
    let mut fixture = Fixture::spawn_alone(&host);
    submit(&mut fixture);
    counted(&serving.metrics(), &[COMM], 1);
    counted(&serving.metrics(), &[COMM], 1);
    submit(&mut fixture);
    counted(&serving.metrics(), &[COMM], 2);
    fixture.finish();
    for _ in 0..3 {
        counted(&serving.metrics(), &[COMM], 2);
    }
    // One of the same name that nobody asked about while it lived is of the same owner.
    let mut brief = Fixture::spawn_alone(&host);
    submit(&mut brief);
    brief.finish();
    for _ in 0..3 {
        counted(&serving.metrics(), &[COMM], 3);
    }
    assert_eq!(serving.metric("aioinspect_lost_events_total", &[]), Some(0.0));
}

/// Check that what a container's process did since the last reading stays its own when it has ended meanwhile.
#[test]
fn containers_keep_theirs() {
    let host = HostLock::take();
    let container = format!("{:032x}{:032x}", std::process::id(), 4);
    let cgroup = Cgroup::new(&format!("system.slice/docker-{container}.scope"));
    let serving = Serving::start(&["--collect", "submit"]).unwrap();
    let mut fixture = Fixture::spawn_alone(&host);
    cgroup.take(fixture.pid());
    let id = format!("container_id=\"{container}\"");
    let labels = [COMM, "runtime=\"docker\"", &id];
    submit(&mut fixture);
    counted(&serving.metrics(), &labels, 1);
    submit(&mut fixture);
    fixture.finish();
    let said = serving.metrics();
    counted(&said, &labels, 2);
    let owners =
        said.lines().filter(|line| line.starts_with("aio_submit_calls_total{") && line.contains(COMM));
    assert_eq!(owners.count(), 1, "{said}");
}

/// Check that owners beyond the limit are summed, and none of their calls lost.
#[test]
fn the_rest_is_summed() {
    let host = HostLock::take();
    let serving = Serving::start(&["--collect", "submit", "--max-owners", "1"]).unwrap();
    for name in ["61", "62", "63"] {
        let mut fixture = Fixture::spawn_alone(&host);
        fixture.run(&format!("set-comm {name}"));
        submit(&mut fixture);
        counted(&serving.metrics(), &["comm=\"a\""], 1);
    }
    counted(&serving.metrics(), &["comm=\"other\""], 2);
    assert_eq!(
        serving.metric("aioinspect_dropped_series", &[]),
        Some(10.0),
        "of each: its calls, its short ones, and three errors"
    );
}

/// Check that without the option the families are absent, and with it they are there before anybody calls.
#[test]
fn only_where_it_is_asked_for() {
    let host = HostLock::take();
    let (with, without) = (Serving::start(&["--collect", "submit"]).unwrap(), Serving::start(&[]).unwrap());
    let mut fixture = Fixture::spawn_alone(&host);
    submit(&mut fixture);
    let said = without.metrics();
    assert!(!said.contains("aio_submit_"), "{said}");
    let said = with.metrics();
    for family in FAMILIES {
        assert!(said.contains(&format!("# TYPE {family} counter")), "{family}: {said}");
        assert!(
            value_in(
                &said,
                family,
                &[COMM, if family.contains("errors") { "errno=\"EBADF\"" } else { COMM }]
            )
            .is_some()
        );
    }
}
