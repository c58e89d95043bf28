//! Which processes share an address space, where BPF does not tell.

use std::io;

use crate::freeze::tracee::{RawTid, share_mm};
use crate::proc::files::{ProcDir, ProcError, processes};
use aioinspect_model::units::{Pid, Tid};
use rustix::io::Errno;

/// The processes that share one address space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MmProcesses {
    /// Them, ascending.
    pub pids: Vec<Pid>,
    /// Processes that we are not permitted to compare (CAP_SYS_PTRACE): any of them might belong to it.
    pub unknown: usize,
}

/// Finds the processes that share the address space of `pid`, itself included, by kcmp(2).
///
/// Every process is compared: whatever would be cheaper to look at first is something a process can make differ.
/// One call takes less than a microsecond.
pub fn processes_sharing_mm(pid: Pid) -> Result<MmProcesses, ProcError> {
    let own = raw(pid, ProcDir::open(pid)?.live_thread()?)?;
    let mut found = MmProcesses { pids: vec![pid], unknown: 0 };
    for other in processes().map_err(|error| failed(pid, error))? {
        if other == pid {
            continue;
        }
        let Ok(leader) = RawTid::try_from(other.0) else { continue };
        match share_mm(own, leader) {
            Ok(true) => found.pids.push(other),
            // A dead leader has no address space, but its threads may still have one.
            Ok(false) if lives_on_without_leader(own, other) => found.pids.push(other),
            Ok(false) | Err(Errno::SRCH) => {}
            Err(Errno::PERM) => found.unknown = found.unknown.saturating_add(1),
            Err(error) => return Err(failed(pid, error.into())),
        }
    }
    found.pids.sort_unstable();
    Ok(found)
}

fn lives_on_without_leader(own: RawTid, other: Pid) -> bool {
    let Ok(dir) = ProcDir::open(other) else { return false };
    // The cheapest test first: a lone thread is either alive or all there was.
    if dir.thread_count().is_ok_and(|count| count < 2) {
        return false;
    }
    let thread = dir.live_thread().unwrap_or(Tid(other.0));
    thread.0 != other.0 && raw(other, thread).is_ok_and(|tid| share_mm(own, tid) == Ok(true))
}

fn raw(pid: Pid, tid: Tid) -> Result<RawTid, ProcError> {
    RawTid::try_from(tid.0).map_err(|_| ProcError::NoSuchProcess(pid))
}

fn failed(pid: Pid, source: io::Error) -> ProcError {
    ProcError::Io { pid, file: "the processes that share its memory".to_owned(), source }
}
