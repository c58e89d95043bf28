//! Rings without a context, and files that only look like rings.

use aioinspect_kernel::look::evidence_source::{Ask, Hold, Source};
use aioinspect_kernel::look::live::Live;
use aioinspect_model::finding::Finding;
use aioinspect_model::picture::ContextView;
use aioinspect_model::reconcile::reconcile;
use aioinspect_model::units::Pid;
use aioinspect_tests::fixture::{Fixture, forks_copy_rings};
use aioinspect_tests::programs::{run_aioinspect, skip};
use serde_json::{Value, json};

use crate::tool::{Looks, PATIENCE, aios, assert_looks, can_run, check, dump, findings, list, names, run_on};

fn ghosts(of: &Value) -> Vec<Value> {
    of["ghosts"].as_array().unwrap().clone()
}

/// Check that a forked child's ring is named as a ghost and is no context, in every output, also when the parent has destroyed its own.
#[test]
fn a_ghost_outlives_its_context() {
    if !can_run("a_ghost_outlives_its_context") {
        return;
    }
    if !forks_copy_rings() {
        return skip("a_ghost_outlives_its_context", "this kernel's fork does not copy AIO rings");
    }
    let mut fixture = Fixture::spawn();
    let id = fixture.setup(128);
    fixture.run("poll #0 3");
    let child = fixture.pid_of("fork-ghost");
    let ring_len = fixture.truth().contexts[0].ring_len;
    let wanted = [json!({"pid": child, "address": format!("{id:#x}"), "ring_len": ring_len})];
    for destroyed in [false, true] {
        if destroyed {
            fixture.run("destroy #0");
        }
        let text = run_on("check", child, &[]);
        assert_eq!(text.code, 0, "{text:?}");
        let line = format!("ghost-ring: {id:#x}: {ring_len} bytes of a ring without a context");
        assert!(text.stdout.contains("is idle: 0 contexts") && text.stdout.contains(&line), "{text:?}");
        let (code, checked) = check(child, &[]);
        assert_eq!((code, ghosts(&checked)), (0, wanted.to_vec()));
        let listed = list(child);
        assert_eq!(ghosts(&listed), wanted);
        assert!(listed["contexts"].as_array().unwrap().is_empty(), "{listed}");
        let table = run_aioinspect(&["list", "-p", &child.to_string()]);
        let line =
            format!("ghost-ring: pid {child} (aio-fixture) maps 1 ring without a context, {ring_len} bytes");
        assert!(table.code == 0 && table.stdout.contains(&line), "{table:?}");
        let (dumped, into) = dump(child, &[]);
        assert_eq!(dumped.code, 0, "{dumped:?}");
        assert_eq!(aios(&into, child), [], "a ghost never becomes an entry");
        // Frozen it is the same.
        let (code, frozen) = check(child, &["--freeze", "ptrace"]);
        assert_eq!((code, ghosts(&frozen)), (0, wanted.to_vec()));
        assert!(ghosts(&list(fixture.pid())).is_empty());
    }
}

/// Check that a ghost beside a context of the child's own does not stand against it, and is not dumped with it.
#[test]
fn a_ghost_beside_a_context() {
    if !can_run("a_ghost_beside_a_context") {
        return;
    }
    if !forks_copy_rings() {
        return skip("a_ghost_beside_a_context", "this kernel's fork does not copy AIO rings");
    }
    let mut fixture = Fixture::spawn();
    fixture.setup(128);
    let child = fixture.pid_of("fork-ghost");
    let own = fixture.number(&format!("child-setup {child} 16"), "id");
    let (code, json) = check(child, &[]);
    assert_eq!(code, 0, "{json}");
    let contexts = json["contexts"].as_array().unwrap();
    assert_eq!((contexts.len(), ghosts(&json).len()), (1, 1));
    assert_eq!(contexts[0]["context"], format!("{own:#x}"));
    let (dumped, into) = dump(child, &[]);
    assert_eq!(dumped.code, 0, "{dumped:?}");
    assert_eq!(aios(&into, child).iter().map(|(id, ..)| *id).collect::<Vec<_>>(), [own]);
    // The parent is told who else can write its ring; it is idle all the same.
    let says = ["shared-ring", &format!("pid {child} (aio-fixture) maps it at")];
    assert_looks(&mut fixture, &Looks { handle: 0, code: 0, findings: &["shared-ring"], says: &says });
    assert_eq!(findings(&list(fixture.pid())["contexts"][0]), ["shared-ring"]);
}

/// Check that a regular file that is mapped from a path called `/[aio]`, deleted or not, is no ring, for any verb.
#[test]
fn a_file_by_the_name_of_a_ring() {
    if !can_run("a_file_by_the_name_of_a_ring") {
        return;
    }
    let mut fixture = Fixture::spawn();
    for kind in ["tmpfs", "tmpfs deleted", "root", "root deleted"] {
        let pid = fixture.pid_of(&format!("spoof {kind}"));
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
        assert!(maps.contains(" /[aio]"), "{maps}");
        for seen in [list(pid), check(pid, &[]).1] {
            let none = json!([]);
            assert_eq!((&seen["contexts"], &seen["ghosts"]), (&none, &none), "{kind}: {seen}");
        }
        let without = run_aioinspect(&["list", "-J", "--no-bpf", "-p", &pid.to_string()]);
        let without: Value = serde_json::from_str(&without.stdout).unwrap();
        assert_eq!(without["contexts"], json!([]), "{kind}");
        let (dumped, into) = dump(pid, &[]);
        assert_eq!((dumped.code, names(&into).len()), (0, 2), "{kind}: {dumped:?}");
        assert_eq!(aios(&into, pid), [], "{kind}");
    }
}

/// Check that without the iterator over mappings (kernels before 5.12) the processes' own files say the same: contexts, ghosts, sharers.
#[test]
fn without_the_iterator() {
    if !can_run("without_the_iterator") {
        return;
    }
    let mut fixture = Fixture::spawn();
    fixture.setup(128);
    fixture.setup(3000);
    let child = fixture.pid_of("fork-ghost");
    fixture.run(&format!("child-setup {child} 16"));
    fixture.setup(1);
    fixture.run("munmap #2 all hold");
    let pids = [Pid(fixture.pid()), Pid(child)];
    let truth = |mut live: Live| {
        let picture = reconcile(&live.host(false).unwrap());
        let host = (
            picture.contexts.into_iter().filter(|one| pids.contains(&one.pid)).collect::<Vec<_>>(),
            picture.ghosts.into_iter().filter(|one| pids.contains(&one.pid)).collect::<Vec<_>>(),
        );
        let each = pids.map(|pid| {
            let holds = [Hold::NoTouch, Hold::Ptrace(PATIENCE)];
            holds.map(|hold| {
                let ask = Ask { pid, hold, image: false, without_kernel: false };
                let picture = reconcile(&live.process(&ask).unwrap());
                (picture.contexts, picture.ghosts)
            })
        });
        // A machine may hold processes with more capabilities than its root's.
        let notes = live.notes();
        assert!(
            notes.is_empty() || notes.iter().all(|_| some_are_closed()),
            "root can read all of them: {notes:?}"
        );
        (host, each)
    };
    let stand_in = truth(Live::new(true, 0).without_ring_iterator());
    assert_eq!(stand_in, truth(Live::new(true, 0)));
    let sharers = |contexts: &[ContextView]| {
        contexts.iter().filter(|one| one.findings.contains(&Finding::SharedRing)).count()
    };
    // A fork copies rings, or on newer kernels does not: whichever, both say what the mappings are.
    let copied = stand_in.0.1.len();
    assert!(copied == 0 || copied == 2, "{copied} ghosts");
    assert_eq!(sharers(&stand_in.0.0), copied, "{:?}", stand_in.0.0);
    assert_eq!(sharers(&stand_in.1[0][0].0), copied);
}

/// Whether there are processes whose mappings we may not read.
fn some_are_closed() -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let denied =
        |maps| std::fs::read(maps).is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
    processes.map(|entry| entry.path().join("maps")).any(denied)
}
