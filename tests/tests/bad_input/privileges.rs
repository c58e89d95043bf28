//! As nobody, with no capability and with few: what is refused names what would do, and the least set that does.

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::programs::Output;
use rustix::thread::CapabilitySet;

use crate::refused::{can, no_panic, refused};
use crate::sandbox::{NOBODY, Yard, names_in};

const BPF: CapabilitySet = CapabilitySet::BPF.union(CapabilitySet::PERFMON);
/// Enough for everything `list` shows and `check` judges.
const LOOK: CapabilitySet = BPF.union(CapabilitySet::SYS_PTRACE);
/// Enough for a dump of anybody's process.
const DUMP: CapabilitySet = LOOK.union(CapabilitySet::DAC_READ_SEARCH);

/// A process of root's with an idle context.
fn target() -> (Fixture, String) {
    let mut fixture = Fixture::spawn();
    fixture.setup(16);
    let pid = fixture.pid().to_string();
    (fixture, pid)
}

/// The last line of doctor: whether dump would work, and what is missing.
fn last_line(doctor: &Output) -> (i32, &str) {
    no_panic(doctor);
    (doctor.code, doctor.stdout.lines().last().unwrap_or_default())
}

/// Check that without any capability list falls back and says so, and that check, dump and doctor name what is needed.
#[test]
fn none() {
    if !can("none") {
        return;
    }
    let (yard, (mut fixture, pid)) = (Yard::new(), target());
    let dir = yard.dir("images", NOBODY);
    let none = CapabilitySet::empty();

    let list = yard.nobody(none, &["list"]);
    assert_eq!(list.code, 0, "{list:?}");
    assert!(list.stdout.contains("source proc") && list.stdout.contains("attributed -"), "{list:?}");
    assert!(!list.stdout.contains(&pid), "{list:?}");
    for word in ["CAP_BPF", "CAP_PERFMON", "aioinspect doctor", "could not be read", "CAP_SYS_PTRACE"] {
        assert!(list.stderr.contains(word), "no {word} in {list:?}");
    }
    let json = yard.nobody(none, &["list", "-J"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(
        (&json["system"]["source"], &json["system"]["attributed"]),
        (&"proc".into(), &serde_json::Value::Null)
    );

    let needs = ["CAP_BPF", "CAP_PERFMON"];
    refused(&yard.nobody(none, &["check", &pid]), 4, &needs);
    refused(&yard.nobody(none, &["check", &pid, "--freeze", "ptrace"]), 4, &needs);
    refused(&yard.nobody(none, &["dump", &pid, "-D", dir.to_str().unwrap()]), 4, &needs);
    let unverified = yard.nobody(none, &["dump", &pid, "-D", dir.to_str().unwrap(), "--unverified"]);
    assert_eq!(unverified.code, 4, "{unverified:?}");
    assert!(unverified.stderr.contains("CAP_SYS_PTRACE"), "{unverified:?}");
    assert_eq!(names_in(&dir), [""; 0]);

    let doctor = yard.nobody(none, &["doctor"]);
    let (answer, last_line) = last_line(&doctor);
    assert_eq!(answer, 4, "{doctor:?}");
    for word in ["dump would not work", "CAP_BPF", "CAP_PERFMON", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"] {
        assert!(last_line.contains(word), "no {word} in {doctor:?}");
    }
    assert_eq!(fixture.truth().contexts.len(), 1);
}

/// Check that headroom always knows what is free, and without BPF says of the holders that it does not know.
#[test]
fn headroom() {
    if !can("headroom") {
        return;
    }
    let (yard, (_fixture, pid)) = (Yard::new(), target());
    let none = CapabilitySet::empty();
    let text = yard.nobody(none, &["headroom", "--need", "1"]);
    assert_eq!(text.code, 0, "{text:?}");
    assert!(text.stdout.starts_with("free ") && text.stdout.contains("\nneed 1: yes\n"), "{text:?}");
    assert!(text.stdout.contains("not known without BPF") && !text.stdout.contains(&pid), "{text:?}");
    for word in ["CAP_BPF", "CAP_PERFMON", "aioinspect doctor"] {
        assert!(text.stderr.contains(word), "no {word} in {text:?}");
    }
    let json = |capabilities| {
        let output = yard.nobody(capabilities, &["headroom", "-J"]);
        assert_eq!(output.code, 0, "{output:?}");
        serde_json::from_str::<serde_json::Value>(&output.stdout).unwrap()
    };
    let all = json(none);
    assert_eq!((&all["system"]["source"], all["system"]["attributed"].is_null()), (&"proc".into(), true));
    assert!(all["free"].as_i64().unwrap() <= all["system"]["aio_max_nr"].as_i64().unwrap() - 16, "{all}");
    // Some process of nobody's may have contexts; how many slots is not known either.
    assert!(all["holders"].as_array().unwrap().iter().all(|holder| holder["slots"].is_null()), "{all}");
    let all = json(CapabilitySet::SYS_PTRACE);
    let ours = |all: &serde_json::Value| {
        let holders = all["holders"].as_array().unwrap().iter();
        holders.filter(|holder| holder["pid"].to_string() == pid).cloned().collect::<Vec<_>>()
    };
    assert_eq!((&ours(&all)[0]["contexts"], &ours(&all)[0]["slots"]), (&1.into(), &serde_json::Value::Null));
    assert_eq!(ours(&json(BPF))[0]["slots"], 16);
}

/// Check that either half of what BPF needs alone is refused by naming both.
#[test]
fn half_of_bpf() {
    if !can("half_of_bpf") {
        return;
    }
    let (yard, (_fixture, pid)) = (Yard::new(), target());
    for half in [CapabilitySet::BPF, CapabilitySet::PERFMON] {
        refused(&yard.nobody(half, &["check", &pid]), 4, &["CAP_BPF", "CAP_PERFMON"]);
        let list = yard.nobody(half, &["list"]);
        assert_eq!(list.code, 0, "{list:?}");
        assert!(list.stdout.contains("source proc") && list.stderr.contains("CAP_BPF"), "{list:?}");
    }
}

/// Check that with BPF alone list attributes every slot and says that UNREAPED takes CAP_SYS_PTRACE.
#[test]
fn bpf_alone() {
    if !can("bpf_alone") {
        return;
    }
    let (yard, (_fixture, pid)) = (Yard::new(), target());
    let dir = yard.dir("images", NOBODY);
    let list = yard.nobody(BPF, &["list", "-H", "-p", &pid, "-o", "PID,MAX_REQS,IN_FLIGHT,UNREAPED"]);
    assert_eq!(list.code, 0, "{list:?}");
    let row: Vec<_> = list.stdout.lines().next().unwrap_or_default().split_whitespace().collect();
    assert_eq!(row, [&pid, "16", "0", "-"], "{list:?}");
    assert!(yard.nobody(BPF, &["list"]).stdout.contains("source bpf"));
    assert!(list.stderr.contains("UNREAPED") && list.stderr.contains("CAP_SYS_PTRACE"), "{list:?}");

    refused(&yard.nobody(BPF, &["check", &pid]), 4, &["CAP_SYS_PTRACE", &pid]);
    refused(&yard.nobody(BPF, &["dump", &pid, "-D", dir.to_str().unwrap()]), 4, &["CAP_SYS_PTRACE", &pid]);
    assert_eq!(names_in(&dir), [""; 0]);
    let doctor = yard.nobody(BPF, &["doctor"]);
    let missing = "dump would not work: CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH missing";
    assert_eq!(last_line(&doctor), (4, missing), "{doctor:?}");
}

/// Check that without BPF an image is made only by who accepts what is not proven, and that it says what that is.
#[test]
fn ptrace_alone() {
    if !can("ptrace_alone") {
        return;
    }
    let (yard, (_fixture, pid)) = (Yard::new(), target());
    let dir = yard.dir("images", NOBODY);
    let path = dir.to_str().unwrap();
    let set = CapabilitySet::SYS_PTRACE.union(CapabilitySet::DAC_READ_SEARCH);
    refused(&yard.nobody(set, &["dump", &pid, "-D", path]), 4, &["CAP_BPF", "CAP_PERFMON"]);
    assert_eq!(names_in(&dir), [""; 0]);
    let output = yard.nobody(set, &["dump", &pid, "-D", path, "--unverified"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stdout.contains("requests in flight"), "{output:?}");
    assert_eq!(names_in(&dir), [format!("aioinspect-{pid}.evidence"), format!("mm-{pid}.img")]);
}

/// Check that list and check of others take three capabilities, and dump a fourth, which its refusal names.
#[test]
fn the_least_sets() {
    if !can("the_least_sets") {
        return;
    }
    let (yard, (mut fixture, pid)) = (Yard::new(), target());
    let dir = yard.dir("images", NOBODY);
    let path = dir.to_str().unwrap();
    let list = yard.nobody(LOOK, &["list", "-H", "-p", &pid, "-o", "PID,MAX_REQS,IN_FLIGHT,UNREAPED"]);
    let row: Vec<_> = list.stdout.lines().next().unwrap_or_default().split_whitespace().collect();
    assert_eq!((row, &*list.stderr), (vec![&*pid, "16", "0", "0"], ""), "{list:?}");
    for freeze in ["none", "ptrace"] {
        let check = yard.nobody(LOOK, &["check", &pid, "--wait", "30s", "--freeze", freeze]);
        assert_eq!(check.code, 0, "{check:?}");
    }
    refused(&yard.nobody(LOOK, &["dump", &pid, "-D", path]), 4, &["CAP_DAC_READ_SEARCH", "auxv"]);
    assert_eq!(names_in(&dir), [""; 0]);
    let doctor = yard.nobody(LOOK, &["doctor"]);
    assert_eq!(last_line(&doctor), (4, "dump would not work: CAP_DAC_READ_SEARCH missing"), "{doctor:?}");

    for enough in [DUMP, LOOK.union(CapabilitySet::DAC_OVERRIDE)] {
        let doctor = yard.nobody(enough, &["doctor"]);
        assert_eq!(last_line(&doctor), (0, "dump would work"), "{doctor:?}");
        let dir = yard.dir(if enough == DUMP { "least" } else { "container" }, NOBODY);
        let dump = yard.nobody(enough, &["dump", &pid, "-D", dir.to_str().unwrap(), "--wait", "30s"]);
        assert_eq!((dump.code, &*dump.stderr), (0, ""), "{dump:?}");
        assert_eq!(names_in(&dir).len(), 2);
    }
    // One less is one too few.
    for one in DUMP.iter() {
        let output = yard.nobody(DUMP.difference(one), &["dump", &pid, "-D", path]);
        no_panic(&output);
        assert_eq!(output.code, 4, "without {one:?}: {output:?}");
    }
    assert_eq!(names_in(&dir), [""; 0]);
    assert_eq!(fixture.truth().contexts.len(), 1);
}

/// Check that a process of one's own is dumped with what BPF needs, and nothing else.
#[test]
fn of_ones_own() {
    if !can("of_ones_own") {
        return;
    }
    let (yard, (mut fixture, pid)) = (Yard::new(), target());
    fixture.run(&format!("set-uid {NOBODY}"));
    // Who changes its user is not dumpable until it says so: /proc then shows its files as root's.
    let dir = yard.dir("images", NOBODY);
    let dump = || yard.nobody(BPF, &["dump", &pid, "-D", dir.to_str().unwrap(), "--wait", "30s"]);
    refused(&dump(), 4, &["CAP_SYS_PTRACE"]);
    fixture.run("dumpable 1");
    let output = dump();
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(names_in(&dir).len(), 2);
}
