//! Contexts that are in no table any more: threads that wait in io_destroy, exit and exec for requests in flight.
//!
//! Of a process that waits in exec nothing in /proc is read but `status`: a reader of most other files waits as long as it does.

use std::cell::Cell;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::host::HostLock;
use aioinspect_tests::programs::{Output, bin, run_aioinspect};
use aioinspect_tests::yard::{NOBODY, Yard};
use rustix::process::{Signal, kill_process};
use rustix::thread::CapabilitySet;
use serde_json::Value;

use crate::tool::{can_run, directory, eventually, findings, has_slow_reads, json, names, states};

/// A process with contexts that are waited for.
struct Dying {
    fixture: Fixture,
    pid: u32,
    /// The threads that wait, in the order of the contexts.
    tids: Vec<u64>,
    ids: Vec<String>,
    kind: &'static str,
    /// Whether every option was tried on it: once is enough where a machine is emulated.
    is_tried: Cell<bool>,
}

/// Words of a wait, as `check` and `list` say them.
fn place(kind: &str) -> &'static str {
    match kind {
        "destroy" => "waits in io_destroy for ",
        "exec" => "waits in exec for ",
        _ => "waits in exit for ",
    }
}

/// What `check` finds of it.
fn codes(kind: &str) -> &'static [&'static str] {
    if kind == "destroy" { &["dying"] } else { &["dying", "exiting"] }
}

impl Dying {
    /// A child with contexts of 64 and slow reads, which ends in that way.
    fn new(fixture: Fixture, kind: &'static str, contexts: u32, reads: u32) -> Dying {
        let mut fixture = fixture;
        let answer = fixture.run(&format!("dying-child {kind} {contexts} {reads} 64"));
        let each = |key: &str| answer[key].as_array().unwrap_or_else(|| panic!("no {key}: {answer}")).clone();
        Dying {
            pid: u32::try_from(answer["pid"].as_u64().unwrap()).unwrap(),
            tids: each("tids").iter().map(|tid| tid.as_u64().unwrap()).collect(),
            ids: each("ids").iter().map(|id| id.as_str().unwrap().to_owned()).collect(),
            fixture,
            kind,
            is_tried: Cell::new(false),
        }
    }

    fn finish(&mut self, count: u32) -> Value {
        self.fixture.run(&format!("finish-dying {} {count}", self.pid))
    }

    fn run(&self, verb: &str, more: &[&str]) -> Output {
        run_aioinspect(&[&[verb, self.pid.to_string().as_str()], more].concat())
    }

    /// Its contexts in `list -J` of the host.
    fn listed(&self) -> Vec<Value> {
        let list = json(&run_aioinspect(&["list", "-J"]));
        let contexts = list["contexts"].as_array().unwrap().clone();
        contexts.into_iter().filter(|one| one["pid"] == self.pid).collect()
    }
}

/// Whether the test can run; it says what is missing if not.
fn can(test: &str) -> bool {
    can_run(test) && has_slow_reads(test)
}

/// Checks every verb of a process that waits: what is listed, what check says, that nothing is dumped, however it may be held.
fn assert_dying(of: &Dying, reads: &[u64]) {
    let listed = of.listed();
    let is_named =
        |one: &&Value| one["context"].as_str().is_some_and(|id| of.ids.iter().any(|own| own == id));
    let found: Vec<&Value> = listed.iter().filter(is_named).collect();
    let numbers: Vec<String> = listed
        .iter()
        .map(|one| format!("{} max_reqs {} in_flight {}", one["context"], one["max_reqs"], one["in_flight"]))
        .collect();
    println!("{} of {} contexts: {} found: {numbers:?}", of.kind, of.ids.len(), found.len());
    // Each that is waited for is found, and nothing else is shown.
    let waited_for = reads.iter().filter(|count| **count > 0).count();
    assert_eq!((found.len(), listed.len()), (waited_for, waited_for), "{listed:?}");
    for one in &found {
        let at = of.ids.iter().position(|id| one["context"] == id.as_str()).unwrap();
        assert_eq!((&one["max_reqs"], one["in_flight"].as_u64()), (&64.into(), Some(reads[at])), "{one}");
        assert!(one["unreaped"].is_null() && one["mapped"].is_null(), "{one}");
    }
    for one in &listed {
        assert_eq!(findings(one), codes(of.kind), "{one}");
    }
    if of.is_tried.replace(true) && std::env::var_os("AIOINSPECT_VM").is_some() {
        return;
    }
    let table = run_aioinspect(&["list", "-p", &of.pid.to_string()]);
    assert!(table.code == 0 && table.stderr.is_empty(), "{table:?}");
    let codes = codes(of.kind).join(",");
    assert_eq!(table.stdout.lines().filter(|line| line.ends_with(&codes)).count(), listed.len(), "{table:?}");
    for options in [&[][..], &["--freeze", "ptrace"], &["--freeze", "none"], &["--allow-unreaped"]] {
        let check = of.run("check", options);
        assert_eq!(check.code, 5, "{options:?}: {check:?}");
        for words in ["is not idle", place(of.kind)] {
            assert!(check.stdout.contains(words), "no {words:?} in {check:?}");
        }
        // The footer of what is left is of the contexts that were found.
        for one in &found {
            let left = one["in_flight"].as_u64().unwrap();
            let left =
                if left == 1 { "1 request is left".into() } else { format!("{left} requests are left") };
            assert!(check.stdout.contains(&left), "no {left:?} in {check:?}");
        }
    }
    let check = of.run("check", &["-J"]);
    let said = json(&check);
    assert_eq!((check.code, &said["verdict"]), (5, &"not-idle".into()), "{said}");
    assert_eq!(said["contexts"].as_array().unwrap().len(), listed.len(), "{said}");
    let into = directory();
    let path = into.path().to_str().unwrap();
    for options in [&[][..], &["--freeze", "none"], &["--freeze", "ptrace"], &["--unverified"]] {
        let dump = of.run("dump", &[&["-D", path], options].concat());
        assert_eq!((dump.code, dump.stdout.as_str()), (5, ""), "{options:?}: {dump:?}");
        assert!(dump.stderr.contains(place(of.kind)), "{dump:?}");
    }
    assert!(names(&into).is_empty(), "{:?}", names(&into));
}

/// Check io_destroy of one context and of three: each line, its requests, and how they go; then the process is idle.
#[test]
fn destroy() {
    if !can("destroy") {
        return;
    }
    for contexts in [1, 3] {
        let mut of = Dying::new(Fixture::spawn(), "destroy", contexts, 4);
        let mut reads = vec![4; usize::try_from(contexts).unwrap()];
        assert_dying(&of, &reads);
        // Each thread waits for one context, so each is found.
        assert_eq!(of.listed().len(), reads.len());
        let text = of.run("check", &[]).stdout;
        for tid in &of.tids {
            assert!(
                text.contains(&format!("4 requests are left; thread {tid} {}", place("destroy"))),
                "{text}"
            );
        }
        of.finish(2);
        reads[0] = 2;
        assert_dying(&of, &reads);
        of.finish(contexts * 4 - 2);
        let idle = of.run("check", &[]);
        assert!(idle.code == 0 && idle.stdout.contains("is idle"), "{idle:?}");
        assert!(of.listed().is_empty());
    }
}

/// Check the exits: by itself, by SIGKILL, and of the last thread of a process whose leader is dead; with one context and with several.
#[test]
fn exit() {
    if !can("exit") {
        return;
    }
    for (kind, contexts) in [("exit", 1), ("exit", 3), ("kill", 2), ("leader", 2)] {
        let mut of = Dying::new(Fixture::spawn(), kind, contexts, 4);
        let mut reads = vec![4; usize::try_from(contexts).unwrap()];
        assert_dying(&of, &reads);
        of.finish(3);
        reads[0] = 1;
        assert_dying(&of, &reads);
        of.finish(contexts * 4 - 3);
        // The fixture has waited for it.
        let gone = of.run("check", &[]);
        assert_eq!(gone.code, 3, "{gone:?}");
        assert!(gone.stderr.contains(&format!("no process {}", of.pid)), "{gone:?}");
    }
}

/// Check exec, whose memory of before is waited for while nobody can read its files; then the new program has nothing.
#[test]
fn exec() {
    if !can("exec") {
        return;
    }
    for contexts in [1, 2] {
        let mut of = Dying::new(Fixture::spawn(), "exec", contexts, 2);
        assert_dying(&of, &vec![2; usize::try_from(contexts).unwrap()]);
        assert_eq!(of.finish(contexts * 2)["exec"], true);
        let idle = of.run("check", &[]);
        assert!(idle.code == 0 && idle.stdout.contains("is idle: 0 contexts"), "{idle:?}");
        of.fixture.run(&format!("child-exit {}", of.pid));
    }
}

/// Check that what is shown of dying contexts is no part of the sum: aio-nr is met to the last slot while they wait.
#[test]
fn the_footer_meets() {
    if !can("the_footer_meets") {
        return;
    }
    for kind in ["destroy", "exit", "exec"] {
        let host = HostLock::take();
        let mut fixture = Fixture::spawn_alone(&host);
        fixture.setup(33);
        let of = Dying::new(fixture, kind, 2, 2);
        // Other programs of the host may come and go between two readings.
        eventually("nothing is unattributed", || {
            let list = json(&run_aioinspect(&["list", "-J"]));
            let contexts = list["contexts"].as_array().unwrap();
            let is_dying = |one: &&Value| findings(one).contains(&"dying");
            let dying = contexts.iter().filter(is_dying).filter(|one| one["pid"] == of.pid).count();
            let sum: u64 = contexts
                .iter()
                .filter(|one| !is_dying(one))
                .map(|one| one["max_reqs"].as_u64().unwrap())
                .sum();
            let system = &list["system"];
            dying > 0
                && (&system["unattributed"], &system["attributed"]) == (&0.into(), &system["aio_nr"])
                && system["aio_nr"] == sum
        });
        let room = json(&run_aioinspect(&["headroom", "-J"]));
        let holders = room["holders"].as_array().unwrap();
        assert!(holders.iter().all(|holder| holder["pid"] != of.pid), "{holders:?}");
    }
}

/// Check that `--wait` waits for io_destroy and then says idle, and that its time runs out while reads are held.
#[test]
fn waited_for() {
    if !can("waited_for") {
        return;
    }
    let mut of = Dying::new(Fixture::spawn(), "destroy", 1, 4);
    let begun = Instant::now();
    let check = of.run("check", &["--wait", "700ms"]);
    assert!(check.code == 6 && begun.elapsed() >= Duration::from_millis(700), "{check:?}");
    assert!(check.stdout.contains(place("destroy")), "{check:?}");
    let into = directory();
    let dump = of.run("dump", &["--wait", "300ms", "-D", into.path().to_str().unwrap()]);
    assert_eq!((dump.code, names(&into).len()), (6, 0), "{dump:?}");
    let pid = of.pid.to_string();
    let output = thread::scope(|scope| {
        let waiting = scope.spawn(|| run_aioinspect(&["check", &pid, "--wait", "2m"]));
        thread::sleep(Duration::from_millis(500));
        assert!(!waiting.is_finished(), "it did not wait");
        of.finish(3);
        thread::sleep(Duration::from_millis(200));
        assert!(!waiting.is_finished(), "it did not wait for the last");
        of.finish(1);
        waiting.join().unwrap()
    });
    assert!(output.code == 0 && output.stdout.contains("is idle"), "{output:?}");
}

/// Check that a process stopped by somebody else, while a thread of it is in io_destroy, is not called idle for being held.
#[test]
fn held_by_somebody_else() {
    if !can("held_by_somebody_else") {
        return;
    }
    let of = Dying::new(Fixture::spawn(), "destroy", 1, 4);
    let send = |signal| {
        let pid = rustix::process::Pid::from_raw(i32::try_from(of.pid).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    };
    send(Signal::STOP);
    // The thread in io_destroy stops once that returns.
    eventually("all others are stopped", || states(of.pid).chars().filter(|state| *state != 'T').eq(['D']));
    assert_dying(&of, &[4]);
    send(Signal::CONT);
}

/// Check that the evidence of each wait, replayed when it is long over, says word for word what was said.
#[test]
fn replayed() {
    if !can("replayed") {
        return;
    }
    let into = directory();
    for kind in ["destroy", "exit", "exec"] {
        let mut of = Dying::new(Fixture::spawn(), kind, 2, 2);
        let path = into.path().join(kind);
        let path = path.to_str().unwrap();
        let live = of.run("check", &["--evidence", path]);
        of.finish(4);
        for verb in ["check", "dump"] {
            let other = directory();
            let place = ["-D", other.path().to_str().unwrap()];
            let more = if verb == "dump" { &place[..] } else { &[] };
            let again = run_aioinspect(&[&[verb, "--from", path], more].concat());
            assert_eq!((live.code, again.code), (5, 5), "{verb}: {again:?}");
            assert!(names(&other).is_empty());
            if verb == "check" {
                assert_eq!(again.stdout, live.stdout);
            }
        }
        let list = json(&run_aioinspect(&["list", "-J", "--from", path]));
        let contexts = list["contexts"].as_array().unwrap();
        assert!(!contexts.is_empty() && contexts.iter().all(|one| findings(one) == codes(kind)), "{list}");
    }
}

/// Check that a zombie is called one, and that only a zombie is.
#[test]
fn a_zombie() {
    if !can("a_zombie") {
        return;
    }
    let mut child = Command::new(bin("aioinspect")).arg("--version").stdout(Stdio::null()).spawn().unwrap();
    eventually("it has ended", || states(child.id()) == "Z");
    let check = run_aioinspect(&["check", &child.id().to_string()]);
    assert_eq!(check.code, 3, "{check:?}");
    assert!(check.stderr.contains(&format!("process {} is a zombie", child.id())), "{check:?}");
    child.wait().unwrap();
    // Its leader is one, and its last thread waits.
    let of = Dying::new(Fixture::spawn(), "leader", 1, 2);
    let status = fs::read_to_string(format!("/proc/{}/status", of.pid)).unwrap();
    assert!(status.contains("State:\tZ"), "{status}");
    let check = of.run("check", &[]);
    assert!(check.code == 5 && !check.stdout.contains("zombie"), "{check:?}");
    assert!(check.stderr.is_empty(), "{check:?}");
}

/// Check that who may use no BPF gets a plain answer about each of them: never that it is idle, a zombie, or not there.
#[test]
fn without_bpf() {
    if !can("without_bpf") {
        return;
    }
    let yard = Yard::new();
    let into = yard.dir("images", NOBODY);
    let into = into.to_str().unwrap();
    let nobody = |args: &[&str]| yard.nobody(CapabilitySet::empty(), args);
    for kind in ["destroy", "exit", "leader", "exec"] {
        let of = Dying::new(Fixture::spawn(), kind, 1, 2);
        let pid = of.pid.to_string();
        let begun = Instant::now();
        let answers = [
            nobody(&["check", &pid]),
            nobody(&["check", &pid, "--freeze", "ptrace"]),
            nobody(&["dump", &pid, "--unverified", "-D", into]),
            nobody(&["list", "-p", &pid]),
            run_aioinspect(&["list", "--no-bpf", "-p", &pid]),
        ];
        assert!(begun.elapsed() < Duration::from_secs(40), "{kind}: it waited for the process");
        for (ordinal, answer) in answers.iter().enumerate() {
            println!("{kind}: {} {:?}", answer.code, answer.stderr.lines().last());
            for words in ["zombie", "no process", "is idle", "panicked"] {
                let said = answer.stdout.contains(words) || answer.stderr.contains(words);
                assert!(!said, "{kind}: {words:?} in {answer:?}");
            }
            let says_so = answer.stderr.contains(&format!("process {pid} is exiting"));
            // Where /proc hides it that is said.
            let is_hidden = answer.stderr.contains("does not show it");
            // What lives, and is not nobody's; so does one in exec, where the kernel keeps no reader of its files waiting.
            if kind == "destroy" || is_hidden || (kind == "exec" && !says_so) {
                assert_eq!(answer.code, if ordinal == 4 { 0 } else { 4 }, "{kind}: {answer:?}");
            } else {
                assert!(says_so, "{kind}: {answer:?}");
                assert_eq!(answer.code, if ordinal >= 3 { 0 } else { 5 }, "{kind}: {answer:?}");
            }
        }
        assert!(Path::new(&format!("/proc/{pid}")).exists());
    }
}
