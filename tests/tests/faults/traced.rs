//! Targets that somebody else traces or stopped.

use std::time::Duration;

use aioinspect_kernel::freeze::tracee::{Seen, detach, interrupt, peek, seize};
use aioinspect_tests::programs::run_aioinspect;
use rustix::process::Signal;

use crate::victim::{Left, Victim, can, finish, refused, take_files, within};

/// Who traces each thread, and its state.
fn tracers(victim: &Victim) -> Vec<(u32, u32)> {
    let dir =
        aioinspect_kernel::proc::files::ProcDir::open(aioinspect_model::units::Pid(victim.fixture.pid()))
            .unwrap();
    dir.threads().unwrap().into_iter().map(|tid| (tid.0, dir.tracer_of(tid).unwrap().0)).collect()
}

fn own_tid() -> u32 {
    rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned()
}

/// Check that the other tracer is named and kept, whether it traces all threads or one, and that without touching
/// the target can be judged all the same.
#[test]
fn by_another() {
    if !can("by_another") {
        return;
    }
    for all in [true, false] {
        let mut victim = Victim::new(2, 3);
        let tids: Vec<_> = tracers(&victim).into_iter().map(|(tid, _)| tid.cast_signed()).collect();
        let seized = if all { &tids[..] } else { &tids[tids.len() - 1..] };
        for tid in seized {
            seize(*tid).unwrap();
        }
        let before = tracers(&victim);
        let tracer = format!("already traced by process {}", own_tid());
        for _ in 0..5 {
            refused(&finish(&mut victim.dump()), 1, &[&tracer]);
            let pid = victim.pid();
            let check = run_aioinspect(&["check", &pid, "--freeze", "ptrace"]);
            // On a busy machine the counting thread may be waiting for a CPU all the while: proof enough, without a freeze.
            if check.code != 0 || !check.stdout.contains("not stopped") {
                refused(&check, 1, &[&tracer]);
            }
        }
        assert_eq!(tracers(&victim), before);
        assert_eq!(before.iter().filter(|(_, tracer)| *tracer == own_tid()).count(), seized.len());
        assert_eq!(take_files(victim.dir.path(), victim.fixture.pid()), Left::Nothing);
        let report = victim.fixture.run("spin-report");
        assert!(report["readings"].as_u64().unwrap() > 0, "it does not run on");

        for tid in seized {
            stop(*tid);
            detach(*tid, 0).unwrap();
        }
        victim.assert_unharmed();
        assert_eq!(finish(&mut victim.dump()).code, 0);
        assert_eq!(take_files(victim.dir.path(), victim.fixture.pid()), Left::Both);
    }
}

/// Stops a thread that we trace.
fn stop(tid: i32) {
    interrupt(tid).unwrap();
    assert!(within(|| matches!(peek(tid), Seen::Stopped(_))));
}

/// Check that what another tracer holds stopped is dumped by `--freeze none`, as held, and stays held.
#[test]
fn held_by_another() {
    if !can("held_by_another") {
        return;
    }
    let mut victim = Victim::new(2, 3);
    let tids: Vec<_> = tracers(&victim).into_iter().map(|(tid, _)| tid.cast_signed()).collect();
    for tid in &tids {
        seize(*tid).unwrap();
    }
    for tid in &tids {
        stop(*tid);
    }
    let before = tracers(&victim);
    let check = run_aioinspect(&["check", &victim.pid()]);
    assert_eq!(check.code, 0, "{check:?}");
    assert!(check.stdout.contains("stopped by someone else"), "{check:?}");
    let output = finish(victim.dump().args(["--freeze", "none"]));
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(take_files(victim.dir.path(), victim.fixture.pid()), Left::Both);
    assert_eq!(tracers(&victim), before);
    for tid in &tids {
        detach(*tid, 0).unwrap();
    }
    victim.assert_unharmed();
}

/// Check that a process that SIGSTOP stopped is judged and dumped, in every way, and stays stopped until SIGCONT.
#[test]
fn stopped_by_a_signal() {
    if !can("stopped_by_a_signal") {
        return;
    }
    let mut victim = Victim::new(2, 3);
    let pid = victim.fixture.pid();
    let dir = aioinspect_kernel::proc::files::ProcDir::open(aioinspect_model::units::Pid(pid)).unwrap();
    let all_stopped = || {
        dir.threads().unwrap().into_iter().all(|tid| dir.state_of(tid).is_ok_and(|state| state.letter == 'T'))
    };
    victim.fixture.send("self-stop");
    assert!(within(all_stopped));
    for _ in 0..5 {
        for freeze in ["none", "ptrace"] {
            let check = run_aioinspect(&["check", &victim.pid(), "--freeze", freeze]);
            assert_eq!(check.code, 0, "{check:?}");
            if freeze == "none" {
                assert!(check.stdout.contains("stopped by someone else"), "{check:?}");
            }
            let output = finish(victim.dump().args(["--freeze", freeze]));
            assert_eq!(output.code, 0, "{output:?}");
            assert_eq!(take_files(victim.dir.path(), pid), Left::Both);
            // It may take a moment until each has stopped again after the thaw, but it never runs on.
            assert!(within(all_stopped));
            std::thread::sleep(Duration::from_millis(20));
            assert!(all_stopped());
        }
    }
    let raw = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(raw, Signal::CONT).unwrap();
    victim.fixture.receive("self-stop").unwrap();
    victim.assert_unharmed();
}
