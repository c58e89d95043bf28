//! Looking without touching: a blocked call never returns for it.

use aioinspect_kernel::look::evidence_source::{Hold, Source};
use aioinspect_kernel::look::live::Live;
use aioinspect_model::evidence::Manner;
use aioinspect_model::picture::Proof;
use aioinspect_model::units::Pid;
use aioinspect_model::verdict::{DumpVerdict, Policy, judge_dump};
use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::programs::run_aioinspect;
use aioinspect_tests::truth::ThreadTruth;

use crate::tool::{at_rest, can_run, check, dump, eventually, list, look, proof, states};

fn disturbed(threads: &[ThreadTruth]) -> Vec<&str> {
    threads
        .iter()
        .filter(|thread| thread.eintr + thread.woken > 0)
        .map(|thread| thread.kind.as_str())
        .collect()
}

/// Check that a process blocked in io_getevents, with and without a time-out, and in epoll_wait is proven idle a thousand times, and that no
/// call of it ever returns EINTR; nor for a host-wide list; and a few times through the program.
#[test]
fn a_thousand_checks() {
    if !can_run("a_thousand_checks") {
        return;
    }
    let mut fixture = Fixture::spawn();
    let pid = fixture.pid();
    fixture.setup(128);
    for kind in ["getevents", "getevents-timeout", "epoll", "pipe", "sleep"] {
        fixture.run(&format!("threads 1 {kind}"));
    }
    at_rest(pid);
    let mut live = Live::new(true, 0);
    for round in 0..1_000 {
        let (evidence, picture) = look(&mut live, pid, Hold::NoTouch);
        assert_eq!(proof(&picture), Proof::Consistent, "round {round}: {evidence:#?}");
        assert_eq!(evidence.spaces[0].looks[0].manner, Manner::Running);
        let verdict = judge_dump(&evidence, &picture, Pid(pid), &Policy::default());
        assert!(matches!(&verdict, DumpVerdict::Idle { contexts, .. } if contexts.len() == 3), "{verdict:?}");
        if round % 20 == 0 {
            live.host(true).unwrap();
        }
    }
    for _ in 0..5 {
        assert_eq!(check(pid, &[]).0, 0);
        assert_eq!(list(pid)["contexts"].as_array().unwrap().len(), 3);
        assert_eq!(run_aioinspect(&["list", "--no-bpf", "-p", &pid.to_string()]).code, 0);
    }
    let threads = fixture.truth().threads;
    assert_eq!(threads.len(), 5);
    assert_eq!(disturbed(&threads), Vec::<&str>::new(), "{threads:?}");
}

/// Check that dump leaves a not idle process alone too, that its freeze of an idle one is felt by io_getevents and epoll_wait, as the
/// help says, and by no other call, and that everybody runs on.
#[test]
fn what_a_freeze_costs() {
    if !can_run("what_a_freeze_costs") {
        return;
    }
    let mut fixture = Fixture::spawn();
    let pid = fixture.pid();
    fixture.setup(128);
    fixture.run("threads 5");
    fixture.run("poll #0 1");
    let (output, _) = dump(pid, &[]);
    assert_eq!(output.code, 5, "{output:?}");
    let threads = fixture.truth().threads;
    assert_eq!(disturbed(&threads), Vec::<&str>::new(), "refused without a freeze: {threads:?}");
    fixture.run("cancel #0 1");
    fixture.run("reap #0 1");
    let (output, _) = dump(pid, &[]);
    assert_eq!(output.code, 0, "{output:?}");
    let felt = ["getevents", "getevents-timeout", "epoll"];
    eventually("each blocked call returned", || disturbed(&fixture.truth().threads).len() == felt.len());
    let threads = fixture.truth().threads;
    let mut kinds = disturbed(&threads);
    kinds.sort_unstable();
    let mut wanted = felt;
    wanted.sort_unstable();
    assert_eq!(kinds, wanted, "{threads:?}");
    assert!(threads.iter().all(|thread| thread.woken == 0), "{threads:?}");
    at_rest(pid);
    assert_eq!(states(pid), "SSSSSS");
    for thread in threads {
        let status = fixture.proc(&format!("task/{}/status", thread.tid));
        assert!(status.contains("\nTracerPid:\t0\n"), "{status}");
    }
}
