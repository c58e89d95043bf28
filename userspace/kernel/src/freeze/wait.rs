//! Waiting before and after a freeze, while nobody is held.

use std::time::{Duration, Instant};

use crate::freeze::error::FreezeError;
use crate::freeze::tracee::RawTid;
use crate::host::signals::end_is_pending;
use crate::proc::files::{ProcDir, ProcError};
use aioinspect_model::units::{Pid, Tid};

/// When to give up; `None`: never.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(pub Option<Instant>);

impl Deadline {
    /// Whether it is past.
    pub(super) fn is_past(self) -> bool {
        self.0.is_some_and(|end| Instant::now() >= end)
    }
}

const PAUSE: Duration = Duration::from_millis(1);

/// Returns when each thread was seen out of uninterruptible sleep once; until then the target is not touched.
///
/// A thread in state D does not stop, be it for a disk or, as a vfork parent, for a child that we would hold: freezing
/// the others would be in vain.
pub(super) fn until_all_can_stop(processes: &[ProcDir], deadline: Deadline) -> Result<(), FreezeError> {
    let mut stuck = stuck_threads(processes)?;
    while let Some((process, tid)) = stuck.last().copied() {
        if !is_stuck(process, tid) {
            stuck.pop();
            continue;
        }
        if deadline.is_past() {
            return Err(FreezeError::timed_out(process.pid(), tid));
        }
        if end_is_pending() {
            return Err(FreezeError::Interrupted);
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

fn stuck_threads(processes: &[ProcDir]) -> Result<Vec<(&ProcDir, Tid)>, FreezeError> {
    let mut stuck = Vec::new();
    let mut last_gone = Pid(0);
    let mut alive = false;
    for process in processes {
        match process.live_thread() {
            Ok(_) => alive = true,
            Err(ProcError::NoSuchProcess(pid) | ProcError::Zombie(pid) | ProcError::Exiting { pid, .. }) => {
                last_gone = pid;
                continue;
            }
            Err(ProcError::KernelThread(pid)) => return Err(FreezeError::KernelThread(pid)),
            Err(error) => return Err(error.into()),
        }
        let threads = process.threads().unwrap_or_default();
        stuck.extend(threads.into_iter().filter(|tid| is_stuck(process, *tid)).map(|tid| (process, tid)));
    }
    if alive { Ok(stuck) } else { Err(FreezeError::Gone(last_gone)) }
}

/// Whether a thread sleeps uninterruptibly now.
pub(super) fn is_stuck(process: &ProcDir, tid: Tid) -> bool {
    process.state_of(tid).is_ok_and(|state| state.letter == 'D')
}

/// Returns when thread `tid` of ours is gone, and with it, whatever it traced is free.
pub(super) fn until_gone(tid: RawTid) {
    let path = format!("/proc/self/task/{tid}");
    // It runs to its end without waiting for anybody; the bound is for a kernel that would prove us wrong.
    for _ in 0..10_000 {
        if std::fs::symlink_metadata(&path).is_err() {
            return;
        }
        std::thread::sleep(Duration::from_micros(20));
    }
}
