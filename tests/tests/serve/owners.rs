//! How many owners have series of their own, and what becomes of the rest.

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::host::HostLock;
use aioinspect_tests::programs::run_aioinspect;
use aioinspect_tests::serving::{Serving, value_in};

/// A fixture of this name with a context of so many slots.
fn named(host: &HostLock, comm: &str, slots: u32) -> Fixture {
    let mut fixture = Fixture::spawn_alone(host);
    let hex: String = comm.bytes().map(|byte| format!("{byte:02x}")).collect();
    fixture.run(&format!("set-comm {hex}"));
    fixture.setup(slots);
    fixture
}

/// Check that those with the most slots are told apart, the rest summed and counted, and nothing lost.
#[test]
fn the_rest_is_summed() {
    let host = HostLock::take();
    let _owners: Vec<Fixture> = [("one", 500), ("two", 400), ("three", 30), ("four", 20), ("five", 10)]
        .into_iter()
        .map(|(comm, slots)| named(&host, comm, slots))
        .collect();
    let serving = Serving::start(&["--max-owners", "2"]).unwrap();
    let said = serving.metrics();
    let reserved = |comm: &str| value_in(&said, "aio_reserved_events", &[&format!("comm=\"{comm}\"")]);
    assert_eq!([reserved("one"), reserved("two"), reserved("other")], [Some(500.0), Some(400.0), Some(60.0)]);
    assert_eq!(reserved("three"), None);
    assert_eq!(value_in(&said, "aio_contexts", &["comm=\"other\""]), Some(3.0));
    // Eight gauges for each of three owners.
    assert_eq!(value_in(&said, "aioinspect_dropped_series", &[]), Some(24.0));
    assert_eq!(value_in(&said, "aio_system_reserved_events", &[]), Some(960.0));
    assert_eq!(value_in(&said, "aio_system_unattributed_events", &[]), Some(0.0));
    assert!(!said.contains("pid=\""), "a pid without --per-process: {said}");
}

/// Check that processes of one name are summed, and told apart where that is asked for.
#[test]
fn by_process() {
    let host = HostLock::take();
    let (a, b) = (named(&host, "twin", 5), named(&host, "twin", 6));
    let summed = Serving::start(&[]).unwrap();
    assert_eq!(summed.metric("aio_reserved_events", &["comm=\"twin\""]), Some(11.0));
    let apart = Serving::start(&["--per-process"]).unwrap();
    for (fixture, slots) in [(&a, 5.0), (&b, 6.0)] {
        let pid = format!("pid=\"{}\"", fixture.pid());
        assert_eq!(apart.metric("aio_reserved_events", &["comm=\"twin\"", &pid]), Some(slots));
    }
}

/// Check that a hostile name is one label, and that the document and `list` say the same of its owner.
#[test]
fn hostile_names() {
    let host = HostLock::take();
    let fixture = named(&host, "a\"b\\\n{}#", 77);
    let serving = Serving::start(&[]).unwrap();
    let said = serving.metrics();
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("aio_reserved_events{")).collect();
    assert_eq!(lines, ["aio_reserved_events{comm=\"a\\\"b\\\\\\\\\\\\n{}#\"} 77"], "{said}");
    let document = serving.contexts();
    let one = &document["contexts"][0];
    assert_eq!(
        (one["pid"].as_u64(), one["comm"].as_str()),
        (Some(fixture.pid().into()), Some("a\"b\\\\\\n{}#"))
    );
    let listed = run_aioinspect(&["list", "-J"]);
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(listed["contexts"][0], *one);
    assert!(!serving.get("/").text().contains("a\"b"), "the name is not escaped");
}
