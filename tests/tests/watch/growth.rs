//! What a watch says of owners that grow.

use std::thread;
use std::time::{Duration, Instant};

use aioinspect_tests::cgroup::{Cgroup, hierarchies};
use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::programs::{is_root, skip};
use aioinspect_tests::watch::{Ended, Watch};
use serde_json::Value;

/// So long must an owner grow: in earnest it is half an hour.
const AFTER: &str = "5s";
/// Slots of each context of the one that leaks.
const SLOTS: u32 = 10;
/// Time between two of them.
const BETWEEN: Duration = Duration::from_millis(250);

fn of_growth<'a>(ended: &'a Ended, name: &str) -> Vec<&'a Value> {
    ended.events.iter().filter(|event| event["event"] == "growth" && event["name"] == name).collect()
}

/// Check that of four units the one that leaks contexts is said to grow, with since when, how fast and until when, and seldom: not one that
/// starts with many, nor one that takes and gives back, nor one that ends and returns larger.
#[test]
fn one_leaks() {
    if !is_root() {
        return skip("one_leaks", "needs root (CAP_BPF, CAP_PERFMON)");
    }
    let all = hierarchies();
    let Some(hierarchy) = all.iter().find(|hierarchy| hierarchy.is_v2).or(all.first()) else {
        return skip("one_leaks", "needs a mounted hierarchy of control groups");
    };
    let unit = |kind: &str| format!("{kind}-{}.service", std::process::id());
    let group = |kind: &str| Cgroup::below(hierarchy, &format!("system.slice/{}", unit(kind)));
    let kinds = ["leaks", "starts", "waves", "returns"];
    let groups = kinds.map(group);
    let member = |place: &Cgroup| {
        let fixture = Fixture::spawn();
        place.take(fixture.pid());
        fixture
    };
    let [leaky, starting, wavy, returning] = &groups;
    let mut leaks = member(leaky);
    leaks.setup(SLOTS);
    let mut watch =
        Watch::start(&["--growth-after", AFTER]).unwrap_or_else(|ended| panic!("{}", ended.stderr));
    let mut starts = member(starting);
    let mut waves = member(wavy);
    waves.setup(SLOTS);
    let (mut returns, mut tooth, mut round) = (None, None, 0_u32);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(14) {
        round += 1;
        leaks.setup(SLOTS);
        if round == 4 {
            starts.run("setup-many 50 10");
        }
        // In every window the one gives back what it took, and the other has ended for a look or two.
        match (round % 3, tooth.take()) {
            (0, _) => tooth = Some(waves.setup(1000)),
            (1, Some(id)) => {
                waves.run(&format!("destroy {id:#x}"));
                returns = None;
            }
            (1, None) => {}
            (_, _) => {
                let mut larger = member(returning);
                larger.run(&format!("setup-many {round} 10"));
                returns = Some(larger);
            }
        }
        thread::sleep(BETWEEN);
    }
    let event = watch.expect("growth", |event| event["event"] == "growth" && event["name"] == unit("leaks"));
    let ended = watch.end();
    drop((starts, waves, returns));
    for kind in ["starts", "waves", "returns"] {
        assert_eq!(of_growth(&ended, &unit(kind)), [&Value::Null; 0], "{kind}");
    }
    let told = of_growth(&ended, &unit("leaks"));
    assert!((1..=2).contains(&told.len()), "{told:#?}");
    assert_eq!(event["pid"], leaks.pid(), "{event}");
    let number = |key: &str| event[key].as_f64().unwrap_or_else(|| panic!("no {key}: {event}"));
    assert!((5.0..8.0).contains(&number("grew_seconds")), "{event}");
    // Ten a context, as many as were made in a second of the whole time; the machine may have paused.
    let whole = 10.0 * f64::from(round) / 14.0;
    let rate = number("slots_per_hour") / 3600.0;
    assert!((whole * 0.5..whole * 2.0).contains(&rate), "{rate} a second, {whole} over all: {event}");
    let (more, took) = (number("slots") - number("slots_before"), number("grew_seconds"));
    assert!((whole * 0.5..whole * 2.0).contains(&(more / took)), "{event}");
    let until = number("full_in_seconds");
    let should = number("free") / rate;
    assert!((should * 0.5..=should * 1.01).contains(&until), "{until} of {should}: {event}");
}
