//! Seizing one thread, which stops nobody, and why it is refused.

use std::time::Duration;

use aioinspect_model::units::{Pid, Tid};
use rustix::io::Errno;

use crate::freeze::error::FreezeError;
use crate::freeze::tracee::{RawTid, seize};
use crate::proc::barrier::Barrier;
use crate::proc::files::{ProcDir, ProcError};

/// How often a thread is seized before a refusal is taken for lack of permission, and how long we wait between.
const TRIES: u32 = 12;
const RETRY: Duration = Duration::from_micros(500);

/// Whether a thread is ours now.
pub(super) enum Seized {
    /// It is.
    Yes,
    /// It has exited, or was never one that runs the process's code.
    Dead,
}

/// Seizes one thread, or says why not.
pub(super) fn seize_one(
    process: &ProcDir,
    tid: Tid,
    raw_tid: RawTid,
    tracer: RawTid,
) -> Result<Seized, FreezeError> {
    for _ in 0..TRIES {
        match seize(raw_tid) {
            Ok(()) => return Ok(Seized::Yes),
            Err(Errno::SRCH) => return Ok(Seized::Dead),
            Err(Errno::PERM) => {}
            Err(error) => return Err(FreezeError::System("seize a thread", error)),
        }
        if let Some(seized) = why_refused(process, tid, tracer)? {
            return Ok(seized);
        }
        // The refused one may have been a leader that died for another thread's exec, which has its number now.
        std::thread::sleep(RETRY);
    }
    Err(FreezeError::NotPermitted { pid: process.pid(), barrier: Barrier::Needs("CAP_SYS_PTRACE") })
}

/// EPERM has many reasons (kernel/ptrace.c:ptrace_attach); `None`: the one that is left is lack of permission.
fn why_refused(process: &ProcDir, tid: Tid, tracer: RawTid) -> Result<Option<Seized>, FreezeError> {
    let pid = process.pid();
    let state = match process.state_of(tid) {
        Ok(state) => state,
        Err(ProcError::NoSuchProcess(_)) => return Ok(Some(Seized::Dead)),
        Err(error) => return Err(error.into()),
    };
    // A worker of the kernel's in the process is none of those who can touch its memory.
    if state.is_dead() || state.is_worker() {
        return Ok(Some(Seized::Dead));
    }
    if state.is_kernel_thread() {
        return Err(FreezeError::KernelThread(pid));
    }
    match process.tracer_of(tid) {
        Ok(Tid(0)) => Ok(None),
        Err(ProcError::NoSuchProcess(_)) => Ok(Some(Seized::Dead)),
        // Born of a thread that was seized a moment ago.
        Ok(Tid(by)) if raw(by).is_ok_and(|by| by == tracer) => Ok(Some(Seized::Yes)),
        Ok(tracer) => Err(FreezeError::AlreadyTraced { pid, tracer }),
        Err(error) => Err(error.into()),
    }
}

/// A thread id as ptrace(2) takes it.
pub(super) fn raw(id: u32) -> Result<RawTid, FreezeError> {
    RawTid::try_from(id).map_err(|_| FreezeError::Gone(Pid(id)))
}
