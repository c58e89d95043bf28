//! A storm of everything: afterwards the map in the kernel equals a census equals the host's own sum, and the events are as many as the
//! calls, or what was lost is counted.

use std::collections::HashSet;
use std::time::Duration;

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::host::{HostLock, aio_nr, is_own_machine};
use aioinspect_tests::many::{Crowd, RaisedLimit, of_one_process};
use aioinspect_tests::pages;
use aioinspect_tests::programs::{is_root, run_aioinspect, skip};
use aioinspect_tests::watch::{Ended, Watch, calm_hooks, hooks, is_of, may_miss};
use serde_json::Value;

/// For how long, in milliseconds: on the hook that is used without a choice, and on each of the others.
fn lengths() -> (u32, u32) {
    if is_own_machine() { (5000, 3000) } else { (30_000, 4000) }
}

/// Bytes of the buffer where emulated CPUs run side by side: together they make calls faster than one that is as slow as they are can tell of them.
const LARGE_BUFFER: &str = "67108864";

/// Arguments of a watch that is to lose nothing. No other machine or host needs any.
fn room() -> &'static [&'static str] {
    let cpus = std::thread::available_parallelism().unwrap().get();
    if is_own_machine() && cpus > 2 { &["--buffer", LARGE_BUFFER] } else { &[] }
}

struct Storm {
    watch: Watch,
    fixtures: [Fixture; 2],
    answers: [Value; 2],
    _host: HostLock,
}

/// Two processes, one of them with children that exit, exec and are killed.
fn storm(args: &[&str], milliseconds: u32) -> Storm {
    let host = HostLock::take();
    let watch = Watch::start(args).unwrap_or_else(|ended| panic!("{args:?}: {}", ended.stderr));
    let mut fixtures = [Fixture::spawn_alone(&host), Fixture::spawn_alone(&host)];
    let orders = [format!("storm {milliseconds} 48 0 1"), format!("storm {milliseconds} 16 6 2")];
    for (fixture, order) in fixtures.iter_mut().zip(&orders) {
        fixture.send(order);
    }
    // The answer takes as long as the storm, which may be as long as the driver's patience in a slow machine.
    std::thread::sleep(Duration::from_millis(u64::from(milliseconds)));
    let answers = [0, 1].map(|nth: usize| fixtures[nth].receive(&orders[nth]).unwrap());
    Storm { watch, fixtures, answers, _host: host }
}

fn count(answer: &Value, key: &str) -> usize {
    usize::try_from(answer[key].as_u64().unwrap()).unwrap()
}

/// The sum of `max_reqs` by the census, and what of aio-nr it leaves.
fn census() -> (u64, u64) {
    let list: Value = serde_json::from_str(&run_aioinspect(&["list", "-J"]).stdout).unwrap();
    (list["system"]["attributed"].as_u64().unwrap(), aio_nr())
}

fn exact(args: &[&str], milliseconds: u32) -> Ended {
    let storm = storm(args, milliseconds);
    let (attributed, nr) = census();
    assert_eq!(attributed, nr, "{args:?}");
    let ended = storm.watch.end();
    let [entries, contexts, differences] = ended.comparison();
    assert_eq!((entries, differences), (contexts, 0), "{args:?}: {}", ended.stderr);
    let alive: usize = storm.answers.iter().map(|answer| count(answer, "live")).sum();
    assert_eq!(usize::try_from(entries).unwrap(), alive, "{args:?}");
    println!(
        "{args:?}: {:?} in {milliseconds} ms, {} events, {} lost, {} healed, {} comparisons",
        storm.answers,
        ended.events.len(),
        ended.counted("lost"),
        ended.counted("healed"),
        ended.stderr.matches("settle: pass 1,").count()
    );
    for (fixture, answer) in storm.fixtures.iter().zip(&storm.answers) {
        let pid = fixture.pid();
        let seen = ["setup", "setup-failed", "destroy"].map(|kind| ended.of(pid, kind).len());
        let did = ["setups", "failures", "destroys"].map(|key| count(answer, key));
        let lost = usize::try_from(ended.counted("lost") + ended.counted("healed")).unwrap();
        let missing: usize = did.iter().zip(seen).map(|(did, seen)| did.abs_diff(seen)).sum();
        assert!(missing <= lost, "{args:?}: did {did:?}, seen {seen:?}, lost or healed {lost}");
    }
    ended
}

/// Check the storm on each hook.
#[test]
fn the_storm() {
    if !is_root() {
        return skip("the_storm", "needs root (CAP_BPF, CAP_PERFMON)");
    }
    let (long, short) = lengths();
    for (nth, hook) in calm_hooks("the_storm").into_iter().enumerate() {
        let args = [&["--hook", hook], room()].concat();
        let ended = exact(&args, if nth == 0 { long } else { short });
        if !may_miss(hook) {
            assert_eq!((ended.counted("lost"), ended.counted("healed")), (0, 0), "{hook}");
        }
    }
}

/// Check that with a buffer that holds next to nothing losses are counted, to the last one. Each has the map compared with the kernel's
/// tables, in the middle of the storm: the map lost nothing, so nothing may be healed.
#[test]
fn a_small_buffer() {
    if !is_root() {
        return skip("a_small_buffer", "needs root (CAP_BPF, CAP_PERFMON)");
    }
    let (long, short) = lengths();
    // No buffer has less than a page.
    let ended = exact(&["--buffer", &pages::size().to_string()], short.max(long / 3));
    assert!(ended.counted("lost") > 0, "nothing was lost");
    // What a hook has missed the map has missed too.
    if !hooks().first().is_some_and(|hook| may_miss(hook)) {
        assert_eq!(ended.counted("healed"), 0);
    }
}

/// Check that a map that is full breaks nothing: events go on, and the comparison shows what the map has not.
#[test]
fn a_small_map() {
    if !is_root() {
        return skip("a_small_map", "needs root (CAP_BPF, CAP_PERFMON)");
    }
    let watch = Watch::start(&["--map-entries", "4"]).unwrap_or_else(|ended| panic!("{}", ended.stderr));
    let mut fixture = Fixture::spawn();
    let pid = fixture.pid();
    fixture.run("setup-many 20 3");
    fixture.run("destroy #15");
    let ended = watch.end();
    assert_eq!((ended.of(pid, "setup").len(), ended.of(pid, "destroy").len()), (20, 1));
    let [entries, contexts, differences] = ended.comparison();
    assert!(entries <= 4 && differences > 0 && contexts >= 19, "{}", ended.stderr);
    assert!(ended.stderr.contains("the kernel's map of contexts is full"), "{}", ended.stderr);
}

/// How many events of a kind are of those processes.
fn of_all(ended: &Ended, pids: &[u64], kind: &str) -> Vec<Value> {
    let pids: HashSet<u64> = pids.iter().copied().collect();
    let is = |event: &&Value| {
        event["event"] == kind && event["pid"].as_u64().is_some_and(|pid| pids.contains(&pid))
    };
    ended.events.iter().filter(is).cloned().collect()
}

/// Check that 100,000 contexts are told of one by one, by a watch that was there before them and by one that came after, that the map holds them all,
/// and that their ends count them all. What the first lost in that flood is counted.
#[test]
fn a_hundred_thousand_contexts() {
    if !is_root() {
        return skip("a_hundred_thousand_contexts", "needs root (CAP_BPF, CAP_PERFMON)");
    }
    let host = HostLock::take();
    let mut crowd = match Crowd::begin(&host) {
        Ok(crowd) => crowd,
        Err(error) => return skip("a_hundred_thousand_contexts", &format!("fs.aio-max-nr: {error}")),
    };
    let begin = || Watch::start(&[]).unwrap_or_else(|ended| panic!("{}", ended.stderr));
    let before = begin();
    let pids = crowd.grow();
    let after = begin();
    let all = usize::try_from(crowd.contexts()).unwrap();

    let after = after.end();
    let [entries, contexts, differences] = after.comparison();
    println!("after: {entries} entries, {contexts} contexts; {} lost", after.counted("lost"));
    assert_eq!((entries, differences), (contexts, 0), "{}", after.stderr);
    assert!(usize::try_from(contexts).unwrap() >= all, "{contexts}");
    assert_eq!(of_all(&after, &pids, "existing").len(), all);
    assert_eq!((after.counted("lost"), after.counted("healed")), (0, 0), "{}", after.stderr);

    crowd.fixture.run("farm-end");
    // On a slow host the last exits are told a while later.
    std::thread::sleep(Duration::from_secs(3));
    let before = before.end();
    let [entries, contexts, differences] = before.comparison();
    assert_eq!((entries, differences), (contexts, 0), "{}", before.stderr);
    let (lost, healed) = (before.counted("lost"), before.counted("healed"));
    let setups = of_all(&before, &pids, "setup").len();
    let comparisons = before.stderr.matches("settle: pass 1,").count();
    println!("before: {setups} setups of {all}, {lost} lost, {healed} healed, {comparisons} comparisons");
    assert!(setups <= all && all - setups <= usize::try_from(lost + healed).unwrap(), "{setups}");
    let exits = of_all(&before, &pids, "exit");
    let ended: u64 = exits.iter().filter_map(|event| event["contexts"].as_u64()).sum();
    assert!(ended == crowd.contexts() || lost > 0, "{ended} ended, {lost} lost");
}

/// Check that the context after 40,000 others of one process is seen to come and to go, whether the watch saw those others come or not: nothing is left
/// to the next census.
#[test]
fn a_large_table() {
    if !is_root() {
        return skip("a_large_table", "needs root (CAP_BPF, CAP_PERFMON)");
    }
    let host = HostLock::take();
    let others = of_one_process();
    let _limit = match RaisedLimit::for_slots(&host, u64::from(others)) {
        Ok(limit) => limit,
        Err(error) => return skip("a_large_table", &format!("fs.aio-max-nr: {error}")),
    };
    // What a hook has missed the map has missed too.
    let exact = !hooks().first().is_some_and(|hook| may_miss(hook));
    let begin = || Watch::start(&[]).unwrap_or_else(|ended| panic!("{}", ended.stderr));
    let before = begin();
    let mut fixture = Fixture::spawn_alone(&host);
    let pid = fixture.pid();
    fixture.run(&format!("setup-many {others} 1"));
    let after = begin();
    let last = fixture.setup(1);
    fixture.run(&format!("destroy {last:#x}"));
    // Now into the place of one in the middle, and behind all others again.
    let middle = fixture.run(&format!("destroy #{}", others / 2));
    assert!(middle.is_object());
    let ids = [fixture.setup(2), fixture.setup(3)];
    let ended = [before.end(), after.end()];
    for (ended, seen) in ended.iter().zip([others, 0]) {
        let [entries, contexts, differences] = ended.comparison();
        assert_eq!((entries, differences), (contexts, 0), "{}", ended.stderr);
        assert!(contexts > u64::from(others), "{contexts}");
        assert!(!exact || ended.counted("healed") == 0, "{}", ended.stderr);
        // In the flood of the first ones the buffer may have had no room for all.
        let lost = usize::try_from(ended.counted("lost")).unwrap();
        assert!(!exact || seen > 0 || lost == 0, "{lost}");
        let setups = ended.of(pid, "setup");
        let wanted = usize::try_from(seen).unwrap() + 3;
        println!("{} setups of {wanted}, {lost} lost", setups.len());
        assert!(setups.len() <= wanted && wanted - setups.len() <= lost);
        let hex = |id: u64| Value::from(format!("{id:#x}"));
        let told: Vec<&Value> = setups.iter().rev().take(2).map(|event| &event["context"]).collect();
        assert_eq!(told, [&hex(ids[1]), &hex(ids[0])]);
        assert_eq!(ended.of(pid, "destroy").len(), 2);
        assert_eq!(ended.of(pid, "existing").len(), usize::try_from(others - seen).unwrap());
    }
    // It ends with all of them.
    let mut watch = begin();
    fixture.finish();
    watch.expect("the exit", |event| is_of(event, pid) && event["event"] == "exit");
    let ended = watch.end();
    let exit = ended.of(pid, "exit");
    assert_eq!(exit.len(), 1, "{exit:?}");
    assert_eq!(exit[0]["contexts"], others + 1);
    assert_eq!(ended.comparison()[2], 0, "{}", ended.stderr);
}
