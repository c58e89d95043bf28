//! Contexts that are dying: their number and age by owner, on the page, in the stream of events, and in no sum of slots.

use std::thread::sleep;
use std::time::Duration;

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::host::HostLock;
use aioinspect_tests::serving::Serving;

use crate::client::Follower;

/// Check that a process that waits in exit has a number and an age that grows, costs no slot and is no context; that the page and the stream have it;
/// and that the series end with the wait.
#[test]
fn a_process_that_hangs_in_exit() {
    let host = HostLock::take();
    let serving = Serving::start(&["--per-process"]).unwrap();
    let mut follower = Follower::new(&serving, None);
    let mut fixture = Fixture::spawn_alone(&host);
    let pid = fixture.pid_of("reading-child 1 3 16");
    let labels = [format!("pid=\"{pid}\"")];
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    serving.await_metric("aio_contexts", &labels, 1.0);
    serving.await_metric("aio_reserved_events", &labels, 16.0);
    serving.await_metric("aio_dying_contexts", &labels, 0.0);
    assert_eq!(serving.metric("aio_dying_oldest_seconds", &labels), None);
    let before = serving.metric("aio_system_unattributed_events", &[]);

    fixture.run(&format!("die {pid} exit"));
    serving.await_metric("aio_dying_contexts", &labels, 1.0);
    let values = ["aio_contexts", "aio_reserved_events", "aio_ring_slots", "aio_inflight_requests"]
        .map(|name| serving.metric(name, &labels));
    assert_eq!(values, [Some(0.0), Some(0.0), Some(0.0), Some(3.0)]);
    assert_eq!(serving.metric("aio_system_unattributed_events", &[]), before);
    let dying = follower.expect(pid, "dying");
    assert_eq!((&dying.data["doing"], &dying.data["in_flight"]), (&"exit".into(), &3.into()), "{dying:?}");
    sleep(Duration::from_millis(1200));
    let age = || serving.metric("aio_dying_oldest_seconds", &labels);
    let first = age().unwrap();
    assert!(first >= 1.2, "{first}");
    sleep(Duration::from_millis(300));
    assert!(age().unwrap() >= first + 0.3);

    let contexts = serving.contexts();
    let row = contexts["contexts"].as_array().unwrap().iter().find(|row| row["pid"] == pid).unwrap();
    assert!(row["dying_seconds"].as_f64().is_some_and(|seconds| seconds > 1.2), "{row}");
    let page = serving.get("/").text();
    let row = page.lines().find(|line| line.contains(&format!("<tr data-key=\"{pid}:"))).unwrap();
    let age = row.split(">dying</span> ").nth(1).and_then(|rest| rest.split(" s<").next());
    let age = age.and_then(|age| age.parse::<u32>().ok());
    assert!(row.contains(">exiting</span>") && age.is_some_and(|age| age >= 1), "{row}");
    let told = |page: &str, word: &str| {
        let items = page.split("<li ").skip(1);
        let says = |item: &str, text: &str| item.contains(text);
        items
            .map(|item| item.split("</li>").next().unwrap_or_default())
            .any(|item| says(item, &format!("<b>{word}</b>")) && says(item, &format!("[{pid}]</span>")))
    };
    assert!(told(&page, "dying"), "{page}");

    fixture.run(&format!("finish-dying {pid}"));
    let gone = follower.expect(pid, "gone");
    assert!(gone.data["waited_seconds"].as_f64().is_some_and(|seconds| seconds > 1.5), "{gone:?}");
    let said = serving.metrics();
    for name in ["aio_dying_contexts", "aio_dying_oldest_seconds"] {
        let left = said.lines().find(|line| line.starts_with(name) && line.contains(labels[0]));
        assert_eq!(left, None);
    }
    let page = serving.get("/").text();
    assert!(told(&page, "gone"), "{page}");
}
