//! Why a freeze did not come about. In each case every thread runs as before.

use rustix::io::Errno;

use crate::proc::barrier::Barrier;
use crate::proc::files::{ProcDir, ProcError};
use aioinspect_model::units::{Pid, Tid};

/// Why a freeze did not come about.
#[derive(Debug, thiserror::Error)]
pub enum FreezeError {
    /// It does not exist, or all its threads exited meanwhile.
    #[error("process {0} is gone")]
    Gone(Pid),
    /// It replaced its program meanwhile: there is another address space now.
    #[error("process {0} executed another program meanwhile")]
    Exec(Pid),
    /// One thread has one tracer.
    #[error("process {pid} is already traced by process {tracer}")]
    AlreadyTraced {
        /// The process that was to be frozen.
        pid: Pid,
        /// Thread id of its tracer.
        tracer: Tid,
    },
    /// The kernel refused: EPERM.
    #[error("not permitted to freeze process {pid}: {barrier}")]
    NotPermitted {
        /// The process that was to be frozen.
        pid: Pid,
        /// What is in the way.
        barrier: Barrier,
    },
    /// It has no address space.
    #[error("process {0} is a kernel thread: it cannot be frozen")]
    KernelThread(Pid),
    /// It is us, or a thread of ours.
    #[error("process {0} is aioinspect itself: it cannot freeze itself")]
    OwnProcess(Pid),
    /// A thread did not stop in time.
    #[error("thread {tid} of process {pid} did not stop in time: state {state}{}", waits_in(wchan.as_deref()))]
    TimedOut {
        /// The process of the thread.
        pid: Pid,
        /// The thread that did not stop.
        tid: Tid,
        /// Its state, as in `/proc/PID/stat`: D, if it sleeps uninterruptibly; `?`, if it could not be read.
        state: char,
        /// The function of the kernel it waits in, where that can be known.
        wchan: Option<String>,
    },
    /// A signal to end this program arrived; it takes effect now.
    #[error("interrupted")]
    Interrupted,
    /// It makes threads faster than they can be seized.
    #[error("process {0} keeps creating threads")]
    Restless(Pid),
    /// A file in `/proc`.
    #[error(transparent)]
    Proc(#[from] ProcError),
    /// A system call failed that should not.
    #[error("cannot {0}: {1}")]
    System(&'static str, Errno),
}

fn waits_in(wchan: Option<&str>) -> String {
    wchan.map(|name| format!(", in {name}")).unwrap_or_default()
}

impl FreezeError {
    /// A thread that did not stop; what it waits for is added by [`with_witness`](Self::with_witness), after the thaw.
    pub(super) fn timed_out(pid: Pid, tid: Tid) -> Self {
        Self::TimedOut { pid, tid, state: '?', wchan: None }
    }

    /// Adds to a timeout what `/proc` says of the thread.
    pub(super) fn with_witness(self, processes: &[ProcDir]) -> Self {
        let Self::TimedOut { pid, tid, state: '?', wchan: None } = self else { return self };
        let process = processes.iter().find(|one| one.pid() == pid);
        let state = process.and_then(|one| one.state_of(tid).ok()).map_or('?', |state| state.letter);
        Self::TimedOut { pid, tid, state, wchan: process.and_then(|one| one.wchan(tid)) }
    }
}
