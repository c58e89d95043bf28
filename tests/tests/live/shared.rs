//! Another process that can write the ring's head, also while the owner is stopped.

use std::time::Duration;

use aioinspect_kernel::look::evidence_source::Hold;
use aioinspect_kernel::look::live::Live;
use aioinspect_model::finding::Finding;
use aioinspect_model::header::RingHeader;
use aioinspect_model::picture::Proof;
use aioinspect_model::units::Pid;
use aioinspect_model::verdict::{DumpVerdict, Policy, judge_dump};
use aioinspect_tests::fixture::{Fixture, forks_copy_rings};
use aioinspect_tests::programs::skip;
use rustix::process::{Signal, kill_process};

use crate::tool::{at_rest, can_run, check, dump, eventually, findings, look, names, proof, run_on, states};

fn signal(pid: u32, signal: Signal) {
    kill_process(rustix::process::Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

/// Check that a process that someone else holds stopped is proven idle as it is, and that a head which another process writes
/// meanwhile is seen.
#[test]
fn written_while_stopped() {
    if !can_run("written_while_stopped") {
        return;
    }
    if !forks_copy_rings() {
        return skip("written_while_stopped", "this kernel's fork does not copy AIO rings");
    }
    let mut fixture = Fixture::spawn();
    let pid = fixture.pid();
    fixture.setup(128);
    let child = fixture.pid_of("fork-ghost");
    fixture.run(&format!("child-write-head {child} #0 5 on-usr1"));
    fixture.run("self-stop");
    eventually("it is stopped", || states(pid) == "T");
    let text = run_on("check", pid, &[]);
    assert!(text.code == 0 && text.stdout.contains("stopped by someone else"), "{text:?}");
    let (dumped, into) = dump(pid, &["--freeze", "none"]);
    assert_eq!((dumped.code, names(&into).len()), (0, 2), "{dumped:?}");
    signal(child, Signal::USR1);
    let mut last = serde_json::Value::Null;
    eventually("the child's head is seen", || {
        last = check(pid, &[]).1;
        last["verdict"] == "not-idle"
    });
    assert_eq!(findings(&last["contexts"][0]), ["forged-header", "shared-ring"]);
    assert_eq!((&last["manner"], &last["proof"]), (&"held".into(), &"consistent".into()));
    assert_eq!(states(pid), "T", "nobody let it go on");
    signal(pid, Signal::CONT);
    assert_eq!(fixture.run(&format!("child-fired {child} #0"))["fired"], true);
    let (dumped, into) = dump(pid, &[]);
    assert_eq!((dumped.code, names(&into).len()), (5, 0), "{dumped:?}");
}

/// Check that each verdict on a process whose head another one writes all the time follows from the head that was read in it, frozen or
/// not, and that the other one is named each time.
#[test]
fn written_all_the_time() {
    if !can_run("written_all_the_time") {
        return;
    }
    if !forks_copy_rings() {
        return skip("written_all_the_time", "this kernel's fork does not copy AIO rings");
    }
    let mut fixture = Fixture::spawn();
    let pid = fixture.pid();
    fixture.setup(128);
    let child = fixture.pid_of("fork-ghost");
    fixture.run(&format!("child-toggle-head {child} #0 0 5"));
    at_rest(pid);
    let mut live = Live::new(true, 0);
    let mut met = [0; 2];
    for round in 0..2_000 {
        let hold = if round % 4 == 0 { Hold::Ptrace(Duration::from_secs(10)) } else { Hold::NoTouch };
        let (evidence, picture) = look(&mut live, pid, hold);
        if proof(&picture) == Proof::Busy {
            // It is on its way to sleep again after the freeze before.
            continue;
        }
        let bytes = evidence.spaces[0].looks[0].headers[0].bytes.unwrap();
        let head = RingHeader::decode(&bytes).head;
        let found = &picture.contexts[0].findings;
        assert!(found.contains(&Finding::SharedRing), "{found:?}");
        assert_eq!(found.contains(&Finding::ForgedHeader), head == 5, "head {head}: {picture:?}");
        let verdict = judge_dump(&evidence, &picture, Pid(pid), &Policy::default());
        assert_eq!(matches!(verdict, DumpVerdict::Idle { .. }), head == 0, "head {head}: {verdict:?}");
        met[usize::from(head == 5)] += 1;
        if met.iter().all(|count| *count >= 20) {
            break;
        }
    }
    assert!(met.iter().all(|count| *count > 0), "head was 0 and 5 so often: {met:?}");
    fixture.run(&format!("child-rest {child}"));
}

/// Check that a child which waits for the freeze to write the head gets nothing into an image but what it wrote.
#[test]
fn written_inside_the_freeze() {
    if !can_run("written_inside_the_freeze") {
        return;
    }
    if !forks_copy_rings() {
        return skip("written_inside_the_freeze", "this kernel's fork does not copy AIO rings");
    }
    let mut fixture = Fixture::spawn();
    let pid = fixture.pid();
    fixture.setup(128);
    let child = fixture.pid_of("fork-ghost");
    fixture.run(&format!("child-write-head {child} #0 5 when-stopped"));
    let mut fired = false;
    for _ in 0..50 {
        let (dumped, into) = dump(pid, &[]);
        match dumped.code {
            0 => assert!(dumped.stdout.contains("shared-ring"), "{dumped:?}"),
            5 => assert!(dumped.stderr.contains("head is 5") && names(&into).is_empty(), "{dumped:?}"),
            _ => panic!("{dumped:?}"),
        }
        at_rest(pid);
        // Asking ends the child's watch, so it is asked only when it must have seen a freeze.
        fired |= dumped.code == 5;
        if fired {
            break;
        }
    }
    if fired {
        assert_eq!(fixture.run(&format!("child-fired {child} #0"))["fired"], true);
    } else {
        println!("the freeze was too short for the child 50 times");
    }
}
