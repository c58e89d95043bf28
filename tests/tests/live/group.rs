//! Processes that are judged as one, and held until their requests have completed.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use aioinspect_tests::cgroup::{Cgroup, hierarchies};
use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::programs::{Output, run_aioinspect, skip};
use aioinspect_tests::truth::ContextTruth;
use serde_json::Value;

use crate::tool::{aios, at_rest, can_run, directory, json, names, run_on, states};

/// A fixture with a context of 128, and a forked child with one of 16 of its own.
fn family() -> (Fixture, u32, u32) {
    let mut fixture = Fixture::spawn();
    let pid = fixture.pid();
    fixture.setup(128);
    let child = fixture.pid_of("fork-ghost");
    fixture.run(&format!("child-setup {child} 16"));
    (fixture, pid, child)
}

fn on_tree(verb: &str, root: u32, more: &[&str]) -> Output {
    let root = root.to_string();
    let mut args = vec![verb, "--tree", &root];
    args.extend(more);
    run_aioinspect(&args)
}

/// `check --tree PID -J`, and the JSON of its processes.
fn tree(root: u32, more: &[&str]) -> (i32, Value, Vec<u64>) {
    let mut args = vec!["-J"];
    args.extend(more);
    let output = on_tree("check", root, &args);
    let json = json(&output);
    let processes = json["processes"].as_array().unwrap_or_else(|| panic!("{output:?}"));
    let pids = processes.iter().map(|one| one["pid"].as_u64().unwrap()).collect();
    (output.code, json, pids)
}

/// Lets the polls of a fixture complete that wait on a pipe, from outside: it may be stopped. Those are the pipes of which it has both ends.
fn fire_pipes(pid: u32) {
    let mut seen = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
        let path = entry.unwrap().path();
        let Ok(to) = fs::read_link(&path) else { continue };
        if !to.to_string_lossy().starts_with("pipe:") {
            continue;
        }
        if seen.contains(&to) {
            OpenOptions::new().write(true).open(path).unwrap().write_all(&[1]).unwrap();
        }
        seen.push(to);
    }
}

/// A fixture with one poll in flight, on a pipe.
fn one_poll() -> (Fixture, u32) {
    let mut fixture = Fixture::spawn();
    let pid = fixture.pid();
    fixture.setup(128);
    fixture.run("poll #0 2");
    // The first one waits on an eventfd.
    fixture.run("complete #0 1");
    fixture.run("reap #0 1");
    at_rest(pid);
    (fixture, pid)
}

/// Check that a tree is its root and all below it, judged as one: without touching it, and frozen together.
#[test]
fn a_tree_is_judged_as_one() {
    if !can_run("a_tree_is_judged_as_one") {
        return;
    }
    let (mut fixture, pid, child) = family();
    for (more, manner) in [(&[][..], "running"), (&["--freeze", "ptrace", "--wait", "20s"][..], "frozen")] {
        at_rest(pid);
        at_rest(child);
        let (code, json, pids) = tree(pid, more);
        assert_eq!((code, &json["verdict"], &json["tree"]), (0, &"idle".into(), &pid.into()), "{json}");
        assert_eq!(pids, [u64::from(pid), u64::from(child)]);
        let contexts: Vec<usize> =
            [0, 1].map(|place| json["processes"][place]["contexts"].as_array().unwrap().len()).into();
        assert_eq!(contexts, [1, 1], "{json}");
        // An idle tree is not frozen for a check.
        assert_eq!(json["processes"][0]["manner"], "running", "{manner}");
    }
    fixture.run("poll #0 3");
    at_rest(pid);
    let output = on_tree("check", pid, &[]);
    assert_eq!(output.code, 5, "{output:?}");
    assert!(output.stdout.starts_with(&format!("tree of pid {pid} is not idle: 1 of 2 processes")));
    assert!(output.stdout.contains("3 requests in flight"), "{output:?}");
    // The child alone is idle.
    assert_eq!(run_on("check", child, &[]).code, 0);
}

/// Check that the images of a tree are written together, each with its own contexts and no ghost, or none of them.
#[test]
fn a_tree_is_dumped_whole() {
    if !can_run("a_tree_is_dumped_whole") {
        return;
    }
    let (mut fixture, pid, child) = family();
    let into = directory();
    let place = into.path().to_str().unwrap();
    let output = on_tree("dump", pid, &["-D", place, "--wait", "20s"]);
    assert_eq!(output.code, 0, "{output:?}");
    let mut expected = ["aioinspect.evidence".to_owned(), format!("mm-{pid}.img"), format!("mm-{child}.img")];
    expected.sort();
    assert_eq!(names(&into), expected);
    let ContextTruth { id, ring_len, .. } = *fixture.truth().context(0).unwrap();
    assert_eq!(aios(&into, pid), [(id, 128, ring_len)]);
    let of_child = aios(&into, child);
    assert_eq!(of_child.len(), 1, "the ghost is not in it: {of_child:?}");
    assert_eq!(of_child[0].1, 16);
    let evidence = into.path().join("aioinspect.evidence");
    let again = on_tree("check", pid, &["--from", evidence.to_str().unwrap()]);
    assert!(again.code == 0 && again.stdout.contains("all frozen together"), "{again:?}");
    // What is there already stops all of it.
    let second = on_tree("dump", pid, &["-D", place, "--wait", "20s"]);
    assert!(second.code == 1 && second.stderr.contains("exists already"), "{second:?}");
    fixture.run("poll #0 1");
    let empty = directory();
    let refused = on_tree("dump", pid, &["-D", empty.path().to_str().unwrap()]);
    assert_eq!((refused.code, names(&empty).len()), (5, 0), "{refused:?}");
}

/// Check that a control group is found by its directory and by its path, with those below it.
#[test]
fn a_control_group_is_judged_as_one() {
    if !can_run("a_control_group_is_judged_as_one") {
        return;
    }
    for hierarchy in hierarchies() {
        let name = format!("aioinspect-group-{}", std::process::id());
        let (mut one, mut other) = (Fixture::spawn(), Fixture::spawn());
        one.setup(1);
        other.setup(2);
        let outer = Cgroup::below(&hierarchy, &name);
        let inner = Cgroup::below(&hierarchy, &format!("{name}/inner"));
        outer.take(one.pid());
        inner.take(other.pid());
        let directory = hierarchy.mount.join(&name);
        for path in [directory.to_str().unwrap(), &format!("/{name}")] {
            at_rest(one.pid());
            at_rest(other.pid());
            // The same name may be in no other hierarchy.
            if !Path::new(path).is_dir() && !hierarchy.is_v2 && hierarchies().len() > 1 {
                continue;
            }
            let output = run_aioinspect(&["check", "--cgroup", path, "-J", "--wait", "20s"]);
            let json = json(&output);
            assert_eq!((output.code, &json["verdict"]), (0, &"idle".into()), "{output:?}");
            assert_eq!(json["processes"].as_array().unwrap().len(), 2, "{json}");
        }
        drop((one, other));
        drop(inner);
    }
    if hierarchies().is_empty() {
        skip("a_control_group_is_judged_as_one", "no hierarchy of control groups takes processes here");
    }
}

/// Check that a process with a request in flight is held until that has completed, and not longer, and that its pause is told.
#[test]
fn held_until_requests_complete() {
    if !can_run("held_until_requests_complete") {
        return;
    }
    let (mut fixture, pid) = one_poll();
    let seen = run_on("check", pid, &["--freeze", "ptrace", "--allow-unreaped"]);
    assert_eq!(seen.code, 5, "{seen:?}");
    let output = thread::scope(|scope| {
        scope.spawn(|| {
            let begun = Instant::now();
            // On a loaded host a freeze that met a thread too late is begun again: only one that lasts is a hold.
            let mut held = Duration::ZERO;
            while held < Duration::from_millis(200) {
                assert!(begun.elapsed() < Duration::from_secs(40), "it is let go with a request in flight");
                thread::sleep(Duration::from_millis(10));
                let is_held = states(pid).contains('t');
                held = if is_held { held + Duration::from_millis(10) } else { Duration::ZERO };
            }
            fire_pipes(pid);
        });
        run_on("check", pid, &["--freeze", "ptrace", "--drain", "50s", "--allow-unreaped", "-J"])
    });
    let json = json(&output);
    assert_eq!((output.code, &json["verdict"], &json["manner"]), (0, &"idle".into(), &"frozen".into()));
    let pause = Duration::from_nanos(json["pause_ns"].as_u64().unwrap());
    assert!(pause >= Duration::from_millis(200) && pause < Duration::from_secs(50), "{pause:?}");
    assert_eq!(json["contexts"][0]["unreaped"], 1, "{json}");
    fixture.truth();
}

/// Check that what does not complete is refused by name when the time is up, and the process runs on.
#[test]
fn drained_in_vain() {
    if !can_run("drained_in_vain") {
        return;
    }
    let (mut fixture, pid) = one_poll();
    let begun = Instant::now();
    let output = run_on("check", pid, &["--freeze", "ptrace", "--drain", "300ms"]);
    assert_eq!(output.code, 6, "{output:?}");
    assert!(output.stdout.contains("1 request in flight"), "{output:?}");
    assert!(begun.elapsed() >= Duration::from_millis(300));
    let into = directory();
    let dumped = run_on("dump", pid, &["--drain", "100ms", "-D", into.path().to_str().unwrap()]);
    assert_eq!((dumped.code, names(&into).len()), (6, 0), "{dumped:?}");
    assert!(!states(pid).contains('t'), "it is let go");
    fixture.truth();
    // Who may hold nobody, and finds nobody held, does not wait.
    let begun = Instant::now();
    let output = run_on("check", pid, &["--drain", "10m"]);
    assert_eq!(output.code, 5, "{output:?}");
    assert!(output.stderr.contains("nobody holds it stopped"), "{output:?}");
    assert!(begun.elapsed() < Duration::from_secs(300));
}

/// Check that a group that is none has the exit code of that.
#[test]
fn no_such_group() {
    if !can_run("no_such_group") {
        return;
    }
    let output = run_aioinspect(&["check", "--tree", "4194303"]);
    assert!(output.code == 3 && output.stderr.contains("4194303"), "{output:?}");
    let output = run_aioinspect(&["check", "--cgroup", "/nonesuch/group"]);
    assert!(output.code == 3 && output.stderr.contains("no control group /nonesuch/group"), "{output:?}");
    let output = run_aioinspect(&["check", "--cgroup", "/", "--tree", "1"]);
    assert_eq!(output.code, 2, "{output:?}");
}
