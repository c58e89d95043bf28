//! Calls that meet.

use std::collections::BTreeMap;

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::programs::{is_root, skip};
use aioinspect_tests::watch::{Ended, Watch, calm_hooks, is_of, may_miss, may_miss_few};

use crate::hooks::each;

/// Check that of many who destroy one context one succeeds, and one event says so.
#[test]
fn one_destroys() {
    each("one_destroys", |hook, mut watch| {
        let mut fixture = Fixture::spawn();
        let pid = fixture.pid();
        for _ in 0..3 {
            assert_eq!(fixture.number("race-destroy 8", "ok"), 1);
        }
        drop(fixture);
        let begun = watch.events.len();
        assert_eq!(begun, 0);
        let last = |event: &serde_json::Value| is_of(event, pid) && event["event"] == "destroy";
        watch.expect("an end", last);
        let ended = watch.end();
        let (setups, destroys) = (ended.of(pid, "setup").len(), ended.of(pid, "destroy").len());
        let missed = ended.counted("lost") + ended.counted("healed");
        // Nothing is told twice, and each that is not told is counted as missed.
        assert!(setups <= 3 && destroys <= 3, "{hook}: {setups} setups, {destroys} destroys");
        let untold = u64::try_from(6 - setups - destroys).unwrap();
        assert!(untold <= missed, "{hook}: {untold} not told, {missed} missed");
        assert!(missed > 0 || ended.of(pid, "exit").is_empty(), "{hook}: nothing was left");
        assert!(missed == 0 || may_miss_few(hook), "{hook}: {missed} missed");
    });
}

/// Check that an address that is used again before the io_destroy of its first context has returned is two contexts.
#[test]
fn an_address_used_again() {
    each("an_address_used_again", |hook, mut watch| {
        let mut fixture = Fixture::spawn();
        let pid = fixture.pid();
        let answer = fixture.run("race-reuse 15");
        let count = |name: &str| usize::try_from(answer[name].as_u64().unwrap()).unwrap();
        assert!(count("reused") > 0, "{answer}");
        fixture.setup(77);
        drop(fixture);
        let exit = watch.expect("the exit", |event| is_of(event, pid) && event["event"] == "exit");
        assert_eq!(exit["contexts"], 1, "{hook}");
        let ended = watch.end();
        assert_eq!(ended.of(pid, "setup").len(), count("setups") + 1, "{hook}");
        assert_eq!(ended.of(pid, "destroy").len(), count("destroys"), "{hook}");
        assert_eq!((ended.counted("lost"), ended.counted("healed")), (0, 0), "{hook}");
    });
}

/// Births minus deaths by context, with every death after its birth in time.
fn balance(ended: &Ended, pid: u32) -> BTreeMap<String, i64> {
    let mut balance = BTreeMap::new();
    for event in ended.events.iter().filter(|event| is_of(event, pid)) {
        let change = match event["event"].as_str() {
            Some("existing" | "setup") => 1,
            Some("destroy") => -1,
            _ => continue,
        };
        *balance.entry(event["context"].as_str().unwrap().to_owned()).or_default() += change;
    }
    balance
}

/// Check that what happens while the watch begins is told without gap and without double: each context is born once, as existing
/// or by a call, and dies once.
#[test]
fn while_it_begins() {
    if !is_root() {
        return skip("while_it_begins", "needs root (CAP_BPF, CAP_PERFMON)");
    }
    for hook in calm_hooks("while_it_begins") {
        let mut fixture = Fixture::spawn();
        let pid = fixture.pid();
        fixture.run("setup-many 5 10");
        fixture.send("storm 1500 16 0 7");
        let watch = Watch::start(&["--hook", hook]).unwrap_or_else(|ended| panic!("{}", ended.stderr));
        let answer = fixture.receive("storm").unwrap();
        let ended = watch.end();
        let balance = balance(&ended, pid);
        let alive: i64 = balance.values().sum();
        let live = answer["live"].as_i64().unwrap() + 5;
        let missed = ended.counted("lost") + ended.counted("healed");
        if may_miss(hook) {
            assert!(alive.abs_diff(live) <= missed, "{alive} of {live}, {missed} missed: {}", ended.stderr);
            continue;
        }
        assert_eq!(alive, live, "{hook}: {answer} {}", ended.stderr);
        assert!(balance.values().all(|alive| (0..=1).contains(alive)), "{hook}: {balance:?}");
        assert!(ended.of(pid, "existing").len() >= 5, "{hook}");
        assert_eq!(missed, 0, "{hook}");
    }
}

/// Check that a worker of io_uring, which is a thread of its process and never made a call, does not look like one that is about to make
/// a context: of what was there before is told.
#[test]
fn beside_a_worker() {
    if !is_root() {
        return skip("beside_a_worker", "needs root (CAP_BPF, CAP_PERFMON)");
    }
    let mut fixture = Fixture::spawn();
    let pid = fixture.pid();
    fixture.run("io-uring-worker");
    let context = format!("{:#x}", fixture.setup(7));
    let mut watch = Watch::start(&[]).unwrap_or_else(|ended| panic!("{}", ended.stderr));
    watch.expect("what was there before", |event| {
        is_of(event, pid) && event["event"] == "existing" && event["context"] == context.as_str()
    });
    assert_eq!(watch.end().code, Some(0));
}

/// Check the events of a mixed life against the mappings that the process has in the end.
#[test]
fn against_smaps() {
    each("against_smaps", |hook, mut watch| {
        let mut fixture = Fixture::spawn();
        let pid = fixture.pid();
        fixture.run("storm 500 8 0 3");
        fixture.run("setup-many 20 3");
        let marker = format!("{:#x}", fixture.setup(199));
        watch.expect("the last setup", |event| is_of(event, pid) && event["context"] == marker.as_str());
        let rings = fixture.proc("smaps").lines().filter(|line| line.contains("/[aio]")).count();
        let ended = watch.end();
        let alive: i64 = balance(&ended, pid).values().sum();
        let rings = i64::try_from(rings).unwrap();
        let missed = ended.counted("lost") + ended.counted("healed");
        assert!(missed == 0 || may_miss_few(hook), "{hook}: {missed} missed");
        assert!(alive.abs_diff(rings) <= missed, "{hook}: {alive} of {rings}, {missed} missed");
    });
}

/// Check that no call vanishes whose return a hook missed, though its thread ends and never calls again.
#[test]
fn threads_that_end() {
    each("threads_that_end", |hook, mut watch| {
        let mut last = Fixture::spawn();
        last.setup(1);
        let (mut calls, mut pids) = (0, Vec::new());
        for seed in 1..=3 {
            let mut fixture = Fixture::spawn();
            let answer = fixture.run(&format!("storm 50 48 0 {seed}"));
            let made = ["setups", "failures", "destroys"].map(|key| answer[key].as_u64().unwrap());
            calls += made.iter().sum::<u64>();
            pids.push(fixture.pid());
        }
        let pid = last.pid();
        drop(last);
        watch.expect("the last end", |event| is_of(event, pid) && event["event"] == "exit");
        let ended = watch.end();
        let kinds = ["setup", "setup-failed", "destroy"];
        let told = pids.iter().flat_map(|pid| kinds.map(|kind| ended.of(*pid, kind).len())).sum::<usize>();
        let told = u64::try_from(told).unwrap();
        let missed = ended.counted("lost") + ended.counted("healed");
        assert!(
            told <= calls && calls <= told + missed,
            "{hook}: {told} of {calls} calls told, {missed} missed"
        );
        assert!(missed == 0 || may_miss(hook), "{hook}: {missed} missed");
    });
}
