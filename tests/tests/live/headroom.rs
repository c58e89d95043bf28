//! `headroom`: the numbers of /proc, who holds what, and waiting for room.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use aioinspect_tests::cgroup::{Cgroup, hierarchies};
use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::host::{HostLock, aio_max_nr, aio_nr};
use aioinspect_tests::many::RaisedLimit;
use aioinspect_tests::programs::{Output, bin, run_aioinspect, skip};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::tool::{PATIENCE, can_run, eventually, json};

/// What the fixture of most tests holds.
const HELD: u32 = 600;

/// `headroom -J`, which must answer with this code.
fn room(more: &[&str], code: i32) -> Value {
    let output = run_aioinspect(&[&["headroom", "-J"], more].concat());
    assert_eq!((output.code, output.stderr.as_str()), (code, ""), "{output:?}");
    json(&output)
}

/// A number of slots that is free only when the fixture has given back its own.
fn too_many() -> u64 {
    aio_max_nr() - aio_nr() + u64::from(HELD / 2)
}

/// Check that the numbers are those of /proc, that the holder is named with what it holds, and that all of it adds up.
#[test]
fn numbers() {
    if !can_run("numbers") {
        return;
    }
    let host = HostLock::take();
    let mut fixture = Fixture::spawn_alone(&host);
    fixture.run("setup-many 3 200");
    // Other programs of the host may come and go between two readings.
    eventually("the numbers agree", || {
        let (used, limit) = (aio_nr(), aio_max_nr());
        let room = room(&[], 0);
        let system = &room["system"];
        used == aio_nr()
            && system["aio_nr"] == used
            && system["aio_max_nr"] == limit
            && room["free"].as_i64().unwrap() == i64::try_from(limit).unwrap() - i64::try_from(used).unwrap()
    });
    let room = room(&[], 0);
    let holders = room["holders"].as_array().unwrap();
    let ours = holders.iter().find(|holder| holder["pid"] == fixture.pid()).unwrap();
    assert_eq!(
        (&ours["comm"], &ours["contexts"], &ours["slots"]),
        (&"aio-fixture".into(), &3.into(), &600.into())
    );
    let slots: Vec<i64> = holders.iter().map(|holder| holder["slots"].as_i64().unwrap()).collect();
    assert!(slots.is_sorted_by(|a, b| a >= b), "{room}");
    let rest = room["system"]["unattributed"].as_i64().unwrap();
    assert_eq!(slots.iter().sum::<i64>() + rest, room["system"]["aio_nr"].as_i64().unwrap());
    let text = run_aioinspect(&["headroom"]);
    // A line is an owner's: whoever else of ours has contexts shares it, and fewer slots.
    let largest = format!(" aio-fixture[{}] ", fixture.pid());
    assert!(text.code == 0 && text.stdout.lines().any(|line| line.contains(&largest)), "{text:?}");
    assert!(text.stdout.starts_with("free "), "{text:?}");
}

/// Check the answers to --need: yes, not now, and never, which is not waited for.
#[test]
fn need() {
    if !can_run("need") {
        return;
    }
    let host = HostLock::take();
    let mut fixture = Fixture::spawn_alone(&host);
    fixture.setup(HELD);
    let yes = room(&["--need", "1"], 0);
    assert_eq!((&yes["need"], &yes["enough"]), (&1.into(), &true.into()));
    let no = room(&["--need", &too_many().to_string()], 5);
    assert_eq!(no["enough"], false);
    let begun = Instant::now();
    let never = (aio_max_nr() + 1).to_string();
    let output = run_aioinspect(&["headroom", "--need", &never, "--wait", "5m"]);
    assert_eq!(output.code, 5, "{output:?}");
    assert!(output.stdout.contains("never") && output.stdout.contains("fs.aio-max-nr"), "{output:?}");
    assert!(begun.elapsed() < PATIENCE, "it waited");
}

/// Check that it waits for as long as there is too little, and not longer.
#[test]
fn wait_for_room() {
    if !can_run("wait_for_room") {
        return;
    }
    let host = HostLock::take();
    let mut fixture = Fixture::spawn_alone(&host);
    fixture.setup(HELD);
    let need = too_many().to_string();
    let output: Output = thread::scope(|scope| {
        let waiting = scope.spawn(|| run_aioinspect(&["headroom", "-J", "--need", &need, "--wait", "5m"]));
        thread::sleep(Duration::from_millis(500));
        assert!(!waiting.is_finished(), "it did not wait");
        fixture.run("destroy #0");
        let given_back = Instant::now();
        let output = waiting.join().unwrap();
        assert!(given_back.elapsed() < PATIENCE, "it waited on");
        output
    });
    assert_eq!(output.code, 0, "{output:?}");
    let room = json(&output);
    assert_eq!(room["enough"], true);
    let holds = room["holders"].as_array().unwrap().iter().any(|holder| holder["pid"] == fixture.pid());
    assert!(!holds, "{room}");
}

/// Check that the time runs out with exit code 6, and that the answer is still given.
#[test]
fn wait_in_vain() {
    if !can_run("wait_in_vain") {
        return;
    }
    let host = HostLock::take();
    let mut fixture = Fixture::spawn_alone(&host);
    fixture.setup(HELD);
    let need = too_many().to_string();
    let begun = Instant::now();
    let output = run_aioinspect(&["headroom", "--need", &need, "--wait", "700ms"]);
    let took = begun.elapsed().as_secs_f64();
    assert_eq!(output.code, 6, "{output:?}");
    let said = output.stdout.split_once(&format!("need {need}: no, ")).map_or("", |(_, said)| said);
    let waited = said.split_once(" after ").and_then(|(_, rest)| rest.split_once(" s\n"));
    let waited: f64 = waited.unwrap_or_else(|| panic!("{output:?}")).0.parse().unwrap();
    // It waited its time out, and says how long it was to a tenth: no more than it took from outside.
    assert!((0.7..=took + 0.05).contains(&waited), "{took} s: {output:?}");
    assert!(output.stdout.contains(&fixture.pid().to_string()), "{output:?}");
    assert_eq!(room(&["--need", &need, "--wait", "0"], 6)["enough"], false);
}

/// Check that Ctrl-C ends the waiting at once, without an answer.
#[test]
fn interrupted() {
    if !can_run("interrupted") {
        return;
    }
    let host = HostLock::take();
    let mut fixture = Fixture::spawn_alone(&host);
    fixture.setup(HELD);
    let mut command = Command::new(bin("aioinspect"));
    command.args(["headroom", "--need", &too_many().to_string(), "--wait", "5m"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    thread::sleep(Duration::from_millis(300));
    let begun = Instant::now();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
    assert_eq!(signal, Some(Signal::INT.as_raw()), "{output:?}");
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    assert!(begun.elapsed() < PATIENCE, "it waited on");
}

/// Check that the processes of a unit are one owner, that a group of no known layout is one by its path, and that the line that is said to
/// be enough is: the very call that failed succeeds with it, and would not with one less.
#[test]
fn owners_and_what_to_do() {
    if !can_run("owners_and_what_to_do") {
        return;
    }
    let all = hierarchies();
    let Some(hierarchy) = all.iter().find(|hierarchy| hierarchy.is_v2).or(all.first()) else {
        return skip("owners_and_what_to_do", "needs a mounted hierarchy of control groups");
    };
    let host = HostLock::take();
    let (unit, path) =
        (format!("nginx-{}.service", std::process::id()), format!("t1-{}", std::process::id()));
    let service = Cgroup::below(hierarchy, &format!("system.slice/{unit}"));
    let plain = Cgroup::below(hierarchy, &path);
    let in_group = |group: &Cgroup, slots| {
        let mut fixture = Fixture::spawn_alone(&host);
        group.take(fixture.pid());
        fixture.setup(slots);
        fixture
    };
    let workers: Vec<Fixture> = (0..8).map(|_| in_group(&service, 100)).collect();
    let single = in_group(&plain, 50);
    let said = room(&[], 0);
    let owner = |name: &str| {
        let owners = said["owners"].as_array().unwrap();
        owners.iter().find(|owner| owner["name"] == name).unwrap_or_else(|| panic!("{name}: {said}")).clone()
    };
    let (nginx, t1) = (owner(&unit), owner(&format!("/{path}")));
    assert_eq!(
        (&nginx["processes"], &nginx["contexts"], &nginx["slots"]),
        (&8.into(), &8.into(), &800.into())
    );
    assert_eq!((&t1["processes"], &t1["slots"], &t1["pid"]), (&1.into(), &50.into(), &single.pid().into()));
    assert_eq!(nginx["more_fit"].as_i64().unwrap(), said["free"].as_i64().unwrap() / 800);
    assert!(said["owners"].as_array().unwrap().iter().all(|owner| owner["name"] != ""), "{said}");

    let limit = aio_max_nr();
    let need = limit - aio_nr() + 300;
    let text = run_aioinspect(&["headroom", "--need", &need.to_string()]);
    assert_eq!(text.code, 5, "{text:?}");
    let (short, least) = (300, limit + 300);
    let line =
        format!("short by {short}: set fs.aio-max-nr to at least {least}: sysctl -w fs.aio-max-nr={least}\n");
    assert!(text.stdout.contains(&line), "{text:?}");
    assert!(text.stdout.contains(&format!("{unit} reserves 800 (8 processes)")), "{text:?}");
    let mut asker = Fixture::spawn_alone(&host);
    let ask = format!("setup {need}");
    assert_eq!(asker.try_run(&ask).unwrap_err().errno, 11);
    let raised = RaisedLimit::for_slots(&host, 0).unwrap();
    match raised.set(least - 1) {
        Ok(()) => {}
        Err(error) => return skip("owners_and_what_to_do (the limit)", &format!("fs.aio-max-nr: {error}")),
    }
    assert_eq!(asker.try_run(&ask).unwrap_err().errno, 11);
    raised.set(least).unwrap();
    let ring = asker.run(&ask);
    drop((asker, workers, raised));
    assert!(ring.is_object(), "{ring}");
}
