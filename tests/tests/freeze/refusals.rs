//! Targets that cannot be frozen, each with its own error, and none of them touched.

use std::sync::atomic::Ordering;
use std::time::Duration;

use aioinspect_kernel::freeze::error::FreezeError;
use aioinspect_kernel::freeze::tracee;
use aioinspect_kernel::freeze::{FreezePlan, freeze_and};
use aioinspect_kernel::proc::files::ProcDir;
use aioinspect_model::units::{Pid, Tid};
use aioinspect_parse::proc::stat::TaskState;
use aioinspect_tests::programs::skip;

use super::target::{Target, alone, count, within};

/// Check that another tracer is named and not disturbed.
#[test]
fn already_traced() {
    let _alone = alone();
    let target = Target::start(|board| count(&board[0]));
    let tracer = Target::start(|own| {
        tracee::seize(target.raw).unwrap();
        count(&own[0])
    });
    let error = target.freeze(|| ()).unwrap_err();
    let FreezeError::AlreadyTraced { pid, tracer: by } = error else { panic!("{error:?}") };
    assert_eq!((pid, by), (target.pid, Tid(tracer.pid.0)));
    assert_eq!(ProcDir::open(target.pid).unwrap().tracer_of(Tid(target.pid.0)).unwrap(), by);
    assert!(target.moves(0) && tracer.moves(0));
    drop(tracer);
    target.freeze(|| ()).unwrap();
}

/// Check that we do not freeze ourselves, that the absent are gone, and zombies too.
#[test]
fn ourselves_the_absent_and_the_dead() {
    let _alone = alone();
    let own = Pid(std::process::id());
    assert!(matches!(FreezePlan::new(&[own]), Err(FreezeError::OwnProcess(pid)) if pid == own));
    let target = Target::start(|board| count(&board[0]));
    let plan = FreezePlan::new(&[target.pid]).unwrap();
    target.send(libc::SIGKILL);
    assert!(within(|| target.state() == 'Z'));
    let frozen = freeze_and(&plan, Duration::from_secs(5), || ());
    assert!(matches!(frozen, Err(FreezeError::Gone(pid)) if pid == target.pid), "{frozen:?}");
    target.wait();
    let frozen = freeze_and(&plan, Duration::from_secs(5), || ());
    assert!(matches!(frozen, Err(FreezeError::Gone(pid)) if pid == target.pid), "{frozen:?}");
    assert!(matches!(FreezePlan::new(&[target.pid]), Err(FreezeError::Gone(pid)) if pid == target.pid));
}

/// Check that a kernel thread is called one. Only where PIDs of the host are seen, there are any.
#[test]
fn a_kernel_thread() {
    let _alone = alone();
    let all = aioinspect_kernel::proc::files::processes().unwrap();
    let is_kernel = |pid: &Pid| {
        ProcDir::open(*pid).and_then(|dir| dir.state_of(Tid(pid.0))).is_ok_and(TaskState::is_kernel_thread)
    };
    let Some(thread) = all.into_iter().find(is_kernel) else {
        skip("a_kernel_thread", "no kernel thread is visible in this PID namespace");
        return;
    };
    let frozen = freeze_and(&FreezePlan::new(&[thread]).unwrap(), Duration::from_secs(1), || ());
    assert!(matches!(frozen, Err(FreezeError::KernelThread(pid)) if pid == thread), "{frozen:?}");
}

/// Check that without CAP_SYS_PTRACE the missing capability is named, and the target not touched.
#[test]
fn not_permitted() {
    let _alone = alone();
    let target = Target::start(|board| count(&board[0]));
    let freezer = Target::fork(|own| {
        // SAFETY: gives up all privileges of this child.
        assert_eq!(unsafe { libc::setresuid(65534, 65534, 65534) }, 0);
        let error = target.freeze(|| ()).unwrap_err();
        own[1].store(1, Ordering::SeqCst);
        let FreezeError::NotPermitted { pid, ref barrier } = error else { panic!("{error:?}") };
        assert_eq!(pid, target.pid);
        assert!(barrier.to_string().contains("CAP_SYS_PTRACE"), "{barrier}");
    });
    assert_eq!(freezer.wait(), 0);
    assert_eq!(freezer.get(1), 1);
    target.assert_free();
}
