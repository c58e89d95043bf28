//! A state that changed between the two looks is never called consistent: real readings from before and after a change, put together as
//! if they were one look.

use aioinspect_kernel::look::evidence_source::Hold;
use aioinspect_kernel::look::live::Live;
use aioinspect_model::evidence::Evidence;
use aioinspect_model::picture::Proof;
use aioinspect_model::reconcile::reconcile;
use aioinspect_model::units::Pid;
use aioinspect_model::verdict::{DumpVerdict, Policy, judge_dump};
use aioinspect_tests::fixture::Fixture;

use crate::tool::{at_rest, can_run, look, proof};

/// The kernel's word before `change`, everything else from before or after it, the kernel's word after.
fn spliced(live: &mut Live, fixture: &mut Fixture, change: impl FnOnce(&mut Fixture)) -> [Evidence; 2] {
    at_rest(fixture.pid());
    let (early, _) = look(live, fixture.pid(), Hold::NoTouch);
    change(fixture);
    at_rest(fixture.pid());
    let (late, _) = look(live, fixture.pid(), Hold::NoTouch);
    let mut old_claims = early.clone();
    old_claims.spaces[0].looks[0].after.clone_from(&late.spaces[0].looks[0].after);
    let mut new_claims = late;
    new_claims.spaces[0].looks[0].before.clone_from(&early.spaces[0].looks[0].before);
    [old_claims, new_claims]
}

fn is_idle(evidence: &Evidence, pid: u32) -> bool {
    let picture = reconcile(evidence);
    matches!(judge_dump(evidence, &picture, Pid(pid), &Policy::default()), DumpVerdict::Idle { .. })
}

/// Check that two words of a process that slept between them, however long, prove it.
#[test]
fn nothing_changed() {
    if !can_run("nothing_changed") {
        return;
    }
    let mut fixture = Fixture::spawn();
    fixture.setup(128);
    fixture.run("threads 5");
    let mut live = Live::new(true, 0);
    for evidence in
        spliced(&mut live, &mut fixture, |_| std::thread::sleep(std::time::Duration::from_millis(50)))
    {
        assert_eq!(proof(&reconcile(&evidence)), Proof::Consistent, "{evidence:#?}");
        assert!(is_idle(&evidence, fixture.pid()));
    }
}

/// Check that any life between the two words is seen, whatever it did and although the process is idle before and after it: also what
/// leaves no trace but in the scheduler's counters, and what only a sibling that shares the memory did.
#[test]
fn something_ran() {
    if !can_run("something_ran") {
        return;
    }
    let mut live = Live::new(true, 0);
    let changes: [(&str, &[&str]); 9] = [
        ("it looked about", &["truth"]),
        ("it asked for events that are not there", &["reap #0 1"]),
        ("a request came and went", &["poll #0 1", "complete #0 1", "reap #0 1"]),
        ("reaped by a store alone", &["poll #0 1", "complete #0 1", "reap-by-head #0 1"]),
        ("head there and back", &["forge #0 head 9", "unforge #0"]),
        ("a context came and went", &["setup 5", "destroy #1"]),
        ("moved", &["mremap #0"]),
        ("protected and not", &["mprotect #0 ro", "mprotect #0 rw"]),
        ("a sibling came and went", &["clone-vm-child 0 1 exit"]),
    ];
    for (what, lines) in changes {
        let mut fixture = Fixture::spawn();
        fixture.setup(128);
        let both =
            spliced(&mut live, &mut fixture, |fixture| lines.iter().for_each(|line| drop(fixture.run(line))));
        for evidence in both {
            let picture = reconcile(&evidence);
            assert_eq!(proof(&picture), Proof::Busy, "{what}: {evidence:#?}");
            assert!(!is_idle(&evidence, fixture.pid()), "{what}");
        }
    }
}

/// Check that completions that arrive while every thread sleeps are seen by what they move in the kernel.
#[test]
fn completions_while_it_slept() {
    if !can_run("completions_while_it_slept") || !crate::tool::has_slow_reads("completions_while_it_slept") {
        return;
    }
    let mut fixture = Fixture::spawn();
    fixture.setup(128);
    fixture.run("slow-read #0 4");
    let mut live = Live::new(true, 0);
    for mut evidence in spliced(&mut live, &mut fixture, |fixture| drop(fixture.run("finish-reads"))) {
        // As if the fixture had not had to run for it.
        let look = &mut evidence.spaces[0].looks[0];
        let tasks = look.before.as_ref().unwrap().tasks.clone();
        look.after.as_mut().unwrap().tasks = tasks;
        assert_eq!(proof(&reconcile(&evidence)), Proof::Busy, "{evidence:#?}");
    }
}
