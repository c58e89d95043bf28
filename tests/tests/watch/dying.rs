//! Contexts that are dying: told when the wait for their requests begins and when it is over.

use std::thread::sleep;
use std::time::{Duration, Instant};

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::programs::{is_root, skip};
use aioinspect_tests::watch::{Watch, is_of};
use serde_json::Value;

fn can(test: &str) -> bool {
    if !is_root() {
        skip(test, "needs root (CAP_BPF, CAP_PERFMON)");
    }
    is_root()
}

fn start(args: &[&str]) -> Watch {
    Watch::start(args).unwrap_or_else(|ended| panic!("{args:?}: {}", ended.stderr))
}

fn word<'a>(event: &'a Value, pid: u32, word: &str) -> Option<&'a Value> {
    (is_of(event, pid) && event["event"] == word).then_some(event)
}

fn seconds(event: &Value) -> f64 {
    event["waited_seconds"].as_f64().unwrap_or_else(|| panic!("no length: {event}"))
}

/// Whether two events have one time, but for what the clock of the day is off from one reading of it to the next.
fn is_at_once(one: &Value, other: &Value) -> bool {
    let [one, other] = [one, other].map(|event| {
        let time = event["time"].as_str().unwrap_or_default();
        let seconds = time.rsplit(':').next().unwrap_or_default().trim_end_matches('Z');
        (
            time.get(..17).unwrap_or_default().to_owned(),
            seconds.parse::<f64>().unwrap_or_else(|e| panic!("{time}: {e}")),
        )
    });
    one.0 == other.0 && (one.1 - other.1).abs() < 0.001
}

/// Check that a thread that waits in io_destroy is told while it waits, with its requests, and that the end has the length and the time of the
/// call; once each.
#[test]
fn io_destroy() {
    if !can("dying::io_destroy") {
        return;
    }
    let mut fixture = Fixture::spawn();
    let id = format!("{:#x}", fixture.setup(16));
    let pid = fixture.pid();
    let mut watch = start(&[]);
    fixture.run(&format!("slow-read {id} 4"));
    let begun = Instant::now();
    let tid = fixture.number(&format!("destroy-waiting {id}"), "tid");
    let dying = watch.expect("dying", |event| word(event, pid, "dying").is_some());
    let parts = |event: &Value| ["context", "tid"].map(|key| event[key].clone());
    assert_eq!(parts(&dying), [Value::from(id.clone()), Value::from(tid)], "{dying}");
    assert_eq!(
        (&dying["doing"], &dying["in_flight"], &dying["max_reqs"]),
        (&"destroy".into(), &4.into(), &16.into())
    );
    assert_eq!(dying["comm"], "aio-fixture");
    assert!(dying["owner"].is_object(), "{dying}");
    assert!(seconds(&dying) <= begun.elapsed().as_secs_f64(), "{dying}");
    sleep(Duration::from_millis(600));
    fixture.run("finish-reads 4");
    let longest = begun.elapsed().as_secs_f64();
    fixture.run(&format!("destroyed {tid}"));
    let gone = watch.expect("gone", |event| word(event, pid, "gone").is_some());
    assert_eq!(parts(&gone), parts(&dying), "{gone}");
    let waited = seconds(&gone);
    assert!((0.6..longest + 1.0).contains(&waited), "{gone}, {longest}");
    let ended = watch.end();
    for one in ["dying", "gone", "destroy"] {
        assert_eq!(ended.of(pid, one).len(), 1, "{one}: {:#?}", ended.events);
    }
    // Its end is that of the call, not of the look that missed it.
    assert!(is_at_once(&gone, ended.of(pid, "destroy")[0]), "{:#?}", ended.events);
}

/// Check the same of a process that exits and of one that is killed, by its PID alone, each context once and none unnamed that was named.
#[test]
fn exit() {
    if !can("dying::exit") {
        return;
    }
    let mut fixture = Fixture::spawn();
    for kind in ["exit", "kill"] {
        let pid = fixture.pid_of("reading-child 1 3 16");
        let mut watch = start(&["-p", &pid.to_string()]);
        fixture.run(&format!("die {pid} {kind}"));
        let dying = watch.expect("dying", |event| word(event, pid, "dying").is_some());
        assert_eq!((&dying["doing"], &dying["in_flight"]), (&"exit".into(), &3.into()), "{kind}: {dying}");
        fixture.run(&format!("finish-dying {pid}"));
        watch.expect("gone", |event| word(event, pid, "gone").is_some());
        let ended = watch.end();
        let (exit, gone) = (ended.of(pid, "exit"), ended.of(pid, "gone"));
        assert_eq!((exit.len(), gone.len(), ended.of(pid, "dying").len()), (1, 1, 1), "{:#?}", ended.events);
        assert!(is_at_once(gone[0], exit[0]), "{:#?}", ended.events);
        assert_eq!(gone[0]["context"], dying["context"]);
        assert!(ended.events.iter().all(|event| is_of(event, pid)), "{:#?}", ended.events);
    }
}

/// Check that a program that executes another is told, and that what is under way when the watch begins is told with its whole age.
#[test]
fn under_way_before() {
    if !can("dying::under_way_before") {
        return;
    }
    let mut fixture = Fixture::spawn();
    let exec = fixture.pid_of("dying-child exec 1 2 16");
    let exit = fixture.pid_of("dying-child exit 2 1 16");
    sleep(Duration::from_millis(1500));
    let mut watch = start(&[]);
    let dying = watch.expect("exec", |event| word(event, exec, "dying").is_some());
    assert_eq!((&dying["doing"], &dying["in_flight"]), (&"exec".into(), &2.into()), "{dying}");
    assert!(seconds(&dying) >= 1.5, "{dying}");
    // Of several contexts of one exit, those that cannot be named are told together.
    let told = |events: &[Value]| -> u64 {
        let of = events.iter().filter_map(|event| word(event, exit, "dying"));
        of.map(|event| event["contexts"].as_u64().unwrap_or_else(|| panic!("{event}"))).sum()
    };
    watch.expect("exit", |event| word(event, exit, "dying").is_some());
    fixture.run(&format!("finish-dying {exec}"));
    fixture.run(&format!("finish-dying {exit}"));
    for pid in [exec, exit] {
        let gone = watch.expect("gone", |event| word(event, pid, "gone").is_some());
        assert!(seconds(&gone) >= 1.5, "{gone}");
    }
    let ended = watch.end();
    assert_eq!(told(&ended.events), 2, "{:#?}", ended.events);
    let ends = |word: &str| [exec, exit].map(|pid| ended.of(pid, word).len());
    assert_eq!(ends("dying"), ends("gone"), "{:#?}", ended.events);
}

/// Check that the wait of every io_destroy and of every exit for RCU is no event.
#[test]
fn grace_periods_are_none() {
    if !can("dying::grace_periods_are_none") {
        return;
    }
    let mut watch = start(&[]);
    let mut fixture = Fixture::spawn();
    let pid = fixture.pid();
    for _ in 0..20 {
        let id = fixture.setup(8);
        fixture.run(&format!("destroy {id:#x}"));
    }
    fixture.setup(8);
    drop(fixture);
    watch.expect("exit", |event| word(event, pid, "exit").is_some());
    let ended = watch.end();
    assert_eq!(ended.of(pid, "destroy").len(), 20, "{:#?}", ended.events);
    let told = [ended.of(pid, "dying").len(), ended.of(pid, "gone").len()];
    assert_eq!(told, [0, 0], "{:#?}", ended.events);
}
