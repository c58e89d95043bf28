//! Processes that are not one leader with one memory of its own.

use std::time::Duration;

use aioinspect_kernel::look::evidence_source::Hold;
use aioinspect_kernel::look::live::Live;
use aioinspect_model::picture::Proof;
use aioinspect_model::units::Pid;
use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::programs::run_aioinspect;

use crate::tool::{aios, at_rest, can_run, check, dump, list, look, names, proof, run_on, states};

/// Check that contexts of a CLONE_VM sibling belong to the shared memory, whichever of the two is asked, that a freeze holds
/// both, and that they stay when the sibling has gone.
#[test]
fn clone_vm_sibling() {
    if !can_run("clone_vm_sibling") {
        return;
    }
    let mut fixture = Fixture::spawn();
    let pid = fixture.pid();
    fixture.setup(16);
    let sibling = fixture.pid_of("clone-vm-child 2 7 stay");
    fixture.pid_of("clone-vm-child 1 9 exit");
    fixture.run("poll #2 1");
    for asked in [pid, sibling] {
        at_rest(sibling);
        let (code, json) = check(asked, &[]);
        assert_eq!((code, &json["verdict"]), (5, &"not-idle".into()), "{json}");
        let contexts = json["contexts"].as_array().unwrap();
        let sizes: Vec<_> = contexts.iter().map(|one| one["max_reqs"].as_u64().unwrap()).collect();
        assert_eq!((sizes.len(), sizes.iter().sum::<u64>()), (4, 16 + 7 + 7 + 9));
        assert!(contexts.iter().all(|one| one["pid"] == pid.min(sibling)), "{json}");
        assert_eq!(list(asked)["contexts"].as_array().unwrap().len(), 4);
    }
    let mut live = Live::new(true, 0);
    for asked in [pid, sibling] {
        let (evidence, picture) = look(&mut live, asked, Hold::Ptrace(Duration::from_secs(20)));
        assert_eq!(proof(&picture), Proof::Consistent);
        let mut held: Vec<Pid> = evidence.spaces[0].looks[0]
            .before
            .iter()
            .flat_map(|word| &word.tasks)
            .map(|task| task.pid)
            .collect();
        held.sort_unstable();
        let mut both = [Pid(pid), Pid(sibling)];
        both.sort_unstable();
        assert_eq!(held, both, "the freeze holds both");
        assert_eq!(picture.spaces[0].pids, both);
    }
    fixture.run("cancel #2 1");
    fixture.run("reap #2 1");
    fixture.run(&format!("child-exit {sibling}"));
    let (dumped, into) = dump(pid, &[]);
    assert_eq!(dumped.code, 0, "{dumped:?}");
    let mut reqs: Vec<u64> = aios(&into, pid).into_iter().map(|(_, nr_req, _)| nr_req).collect();
    reqs.sort_unstable();
    assert_eq!(reqs, [7, 7, 9, 16]);
}

/// Check that a process whose leader has exited is listed, checked and dumped by its thread-group id.
#[test]
fn leader_exited() {
    if !can_run("leader_exited") {
        return;
    }
    let mut fixture = Fixture::spawn();
    let pid = fixture.pid();
    let id = fixture.setup(128);
    let ring_len = fixture.truth().contexts[0].ring_len;
    fixture.run("leader-exit");
    at_rest(pid);
    assert!(states(pid).contains('Z'));
    let contexts = list(pid)["contexts"].clone();
    assert_eq!(contexts[0]["context"], format!("{id:#x}"), "{contexts}");
    assert_eq!(contexts[0]["mapped"], true);
    for freeze in ["none", "ptrace"] {
        let (code, json) = check(pid, &["--freeze", freeze]);
        assert_eq!((code, &json["verdict"]), (0, &"idle".into()), "{json}");
    }
    let (dumped, into) = dump(pid, &[]);
    // What a zombie leader's stat does not tell of the memory layout, no image may make up.
    match dumped.code {
        0 => assert_eq!(aios(&into, pid), [(id, 128, ring_len)]),
        _ => assert!(names(&into).is_empty() && dumped.stderr.contains("leader"), "{dumped:?}"),
    }
    fixture.run("poll #0 2");
    let text = run_on("check", pid, &[]);
    assert!(text.code == 5 && text.stdout.contains("2 requests in flight"), "{text:?}");
}

/// Check that a process of 64 more threads, blocked in all kinds of calls, is proven idle untouched and dumped frozen.
#[test]
fn many_threads() {
    if !can_run("many_threads") {
        return;
    }
    let mut fixture = Fixture::spawn();
    let pid = fixture.pid();
    fixture.setup(128);
    fixture.run("threads 64");
    let (code, json) = check(pid, &[]);
    assert_eq!((code, &json["verdict"], &json["manner"]), (0, &"idle".into(), &"running".into()), "{json}");
    let (code, json) = check(pid, &["--freeze", "ptrace"]);
    assert_eq!((code, &json["verdict"]), (0, &"idle".into()), "{json}");
    let (dumped, into) = dump(pid, &["--freeze-timeout", "20s"]);
    assert_eq!(dumped.code, 0, "{dumped:?}");
    assert!(dumped.stdout.contains("frozen for "), "{dumped:?}");
    assert_eq!(aios(&into, pid).len(), 2);
    at_rest(pid);
    assert!(states(pid).chars().all(|state| state == 'S'), "{}", states(pid));
    assert_eq!(states(pid).len(), 65);
}

/// Check that 1,100 contexts are found, and dumped with the requests they had: a restore then costs no more of aio-max-nr.
#[test]
fn many_contexts() {
    if !can_run("many_contexts") {
        return;
    }
    let mut fixture = Fixture::spawn();
    let pid = fixture.pid();
    fixture.run("setup-many 1100 1");
    let truth = fixture.truth();
    let (code, json) = check(pid, &[]);
    assert_eq!((code, json["contexts"].as_array().unwrap().len()), (0, 1100));
    assert_eq!(list(pid)["contexts"].as_array().unwrap().len(), 1100);
    let (dumped, into) = dump(pid, &[]);
    assert_eq!(dumped.code, 0, "{dumped:?}");
    let mut found = aios(&into, pid);
    found.sort_unstable();
    let mut wanted: Vec<_> = truth.contexts.iter().map(|one| (one.id, 1, one.ring_len)).collect();
    wanted.sort_unstable();
    assert_eq!(found, wanted);
    fixture.run("poll #700 1");
    let text = run_on("check", pid, &[]);
    assert!(text.code == 5 && text.stdout.contains("is not idle: 1 of 1100 contexts"), "{}", text.stdout);
}

/// Check that no byte of a process's name can act on a terminal or break JSON, in any output.
#[test]
fn control_characters_in_a_name() {
    if !can_run("control_characters_in_a_name") {
        return;
    }
    let mut fixture = Fixture::spawn();
    let pid = fixture.pid();
    fixture.setup(16);
    // ESC [ 3 1 m, BEL, newline, quote, backslash, 0x9b (a CSI in one byte), DEL.
    fixture.run("set-comm 1b5b33316d070a225c9b7f");
    let pid_text = pid.to_string();
    at_rest(pid);
    let mut outputs: Vec<_> =
        [vec!["list", "-p"], vec!["list", "-J", "-p"], vec!["check"], vec!["check", "-J"]]
            .into_iter()
            .map(|args| run_aioinspect(&args.into_iter().chain([pid_text.as_str()]).collect::<Vec<_>>()))
            .collect();
    fixture.run("poll #0 1");
    outputs.push(dump(pid, &[]).0);
    fixture.run("cancel #0 1");
    fixture.run("reap #0 1");
    let (dumped, into) = dump(pid, &[]);
    for name in names(&into) {
        outputs.push(run_aioinspect(&["show", into.path().join(name).to_str().unwrap()]));
    }
    outputs.push(dumped);
    for output in outputs {
        for text in [&output.stdout, &output.stderr] {
            let raw = text.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{fffd}');
            assert_eq!(raw, None, "{output:?}");
        }
        if output.stdout.starts_with('{') {
            serde_json::from_str::<serde_json::Value>(&output.stdout).unwrap();
        }
    }
    let table = run_aioinspect(&["list", "-H", "-p", &pid_text]);
    assert_eq!(table.stdout.lines().next().unwrap().split_whitespace().next(), Some(pid_text.as_str()));
}
