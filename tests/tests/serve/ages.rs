//! Since when a context is there: by a server that saw it being made, for itself and for `list`.

use std::time::{Duration, Instant};

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::host::HostLock;
use aioinspect_tests::programs::run_aioinspect;
use aioinspect_tests::serving::Serving;

/// Check that a context that the server saw being made has an age, which grows, that one of before has none, never 0, and that `list` says the
/// same where it is asked.
#[test]
fn of_contexts() {
    let host = HostLock::take();
    let mut fixture = Fixture::spawn_alone(&host);
    let before = format!("{:#x}", fixture.setup(8));
    let serving = Serving::start(&[]).unwrap();
    let made = format!("{:#x}", fixture.setup(16));
    let age = |id: &str| {
        let served = serving.contexts();
        let contexts = served["contexts"].as_array().unwrap();
        contexts.iter().find(|context| context["context"] == id).unwrap()["age_seconds"].clone()
    };
    let first = age(&made).as_f64().unwrap();
    assert!(first > 0.0 && first < 60.0, "{first}");
    assert!(age(&before).is_null());
    assert!(age(&made).as_f64().unwrap() > first);
    let pid = fixture.pid().to_string();
    let list = |more: &[&str]| run_aioinspect(&[&["list", "-p", &pid], more].concat());
    let rows = list(&["-H", "-o", "CONTEXT,AGE"]);
    let row = |id: &str| {
        rows.stdout.lines().find_map(|line| line.trim().strip_prefix(id)).unwrap().trim().to_owned()
    };
    assert!(row(&made).ends_with(" s") && row(&before) == "-", "{rows:?}");
    let young = list(&["-H", "-o", "CONTEXT", "-Q", "AGE < 60"]);
    assert_eq!(young.stdout.trim(), made, "{young:?}");
    assert!(!list(&["-J"]).stdout.contains("age_seconds"));
    assert!(list(&["-J", "-o", "AGE"]).stdout.contains("age_seconds"));
    // The place of a context that is gone says nothing of the one that comes after it.
    fixture.run("destroy #1");
    let again = format!("{:#x}", fixture.setup(16));
    assert!(age(&again).as_f64().unwrap() < 60.0);
    drop(serving);
    // The kernel takes its time to let go of what nobody uses any more.
    let begun = Instant::now();
    loop {
        let rows = list(&["-H", "-o", "AGE"]);
        if rows.stdout.lines().all(|line| line.trim() == "-") {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{rows:?}");
    }
}
