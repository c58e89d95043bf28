//! What `watch` tells: contexts that come and go, calls that fail, and what was missed.

use std::sync::Arc;

use crate::awaited::Awaited;
use crate::evidence::Doing;
use crate::owner_growth::Growing;
use crate::picture::Owner;
use crate::submit_failure::SubmitFailure;
use crate::units::{ContextId, Instant, Pid, Tid};

/// One event, and when it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timed {
    /// On CLOCK_MONOTONIC: orders events.
    pub at: Instant,
    /// Nanoseconds since 1970, for the reader.
    pub unix_ns: u64,
    /// What happened, to whom.
    pub event: Event,
}

/// A thread that did something.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Actor {
    /// The process (thread group) of the thread.
    pub pid: Pid,
    /// Itself; 0 where no thread is known (a context that was there before).
    pub tid: Tid,
    /// `comm` of the process; any bytes, to be escaped by whoever prints it.
    pub comm: Vec<u8>,
    /// Who ran the process at that moment; `None` if nobody knows.
    pub owner: Option<Arc<Owner>>,
}

/// What a watch saw: a call that ended, an address space that ended, a wait, or what it missed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A context was there before the watch began.
    Existing {
        /// A process that lives with it.
        by: Actor,
        /// The context's id: the address of its ring.
        context: ContextId,
        /// The argument of io_setup.
        max_reqs: u32,
    },
    /// io_setup succeeded.
    Setup {
        /// The thread that called io_setup.
        by: Actor,
        /// The new context.
        context: ContextId,
        /// The argument of io_setup.
        max_reqs: u32,
    },
    /// io_setup failed.
    SetupFailed {
        /// The thread that called io_setup.
        by: Actor,
        /// Why, and what there was.
        failure: Failure,
    },
    /// Calls of io_submit, io_getevents or io_pgetevents failed; only where that was asked for. Counted in the kernel, and told together.
    SubmitFailed {
        /// The process, by its last such call.
        by: Actor,
        /// How, why, and how often.
        failure: SubmitFailure,
    },
    /// io_destroy succeeded.
    Destroy {
        /// The thread that called io_destroy.
        by: Actor,
        /// The context that is gone.
        context: ContextId,
        /// The argument of the io_setup that made it.
        max_reqs: u32,
        /// For how long the call lasted, in nanoseconds: it waits for requests in flight.
        took_ns: u64,
    },
    /// A process that had contexts became another program.
    Exec {
        /// The thread that called exec.
        by: Actor,
        /// How many contexts died with the old program.
        contexts: u32,
    },
    /// The last process of an address space that had contexts ended.
    Exit {
        /// The last thread of the address space.
        by: Actor,
        /// How many contexts died with it.
        contexts: u32,
    },
    /// A thread waits for the requests of contexts that are in no table any more. Dated when the wait began.
    Dying {
        /// The thread that waits.
        by: Actor,
        /// For what.
        of: Awaited,
        /// In which call.
        doing: Doing,
        /// For how long it had waited when it was seen, in nanoseconds; `None`: this kernel does not tell.
        waited_ns: Option<u64>,
    },
    /// Such a wait is over.
    Gone {
        /// The thread that waited.
        by: Actor,
        /// The context; [`ContextId::UNKNOWN`] where it could not be named.
        context: ContextId,
        /// For how long, in nanoseconds; since it was first seen where this kernel does not tell more.
        waited_ns: u64,
    },
    /// Events that were not seen: the buffer was full, or a program could not run.
    Lost {
        /// Number of events.
        count: u64,
    },
    /// Entries of the map in the kernel that a new census put right.
    Healed {
        /// Number of entries.
        count: u64,
    },
    /// An owner grows: told when it begins to be so, and then seldom.
    Growth {
        /// Who, since when, how fast.
        growing: Box<Growing>,
        /// `fs.aio-max-nr - fs.aio-nr` then: may be negative.
        free: i64,
        /// `fs.aio-max-nr` then.
        limit: u64,
    },
}

/// An io_setup that failed.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Failure {
    /// The errno, positive.
    pub errno: i32,
    /// The argument `nr_events`.
    pub requested: u32,
    /// `fs.aio-max-nr - fs.aio-nr` when it was looked up, just after the failure: may be negative. `None` if it could not be read.
    pub free: Option<i64>,
    /// `fs.aio-max-nr` at that time.
    pub limit: Option<u64>,
    /// What `*ctxp` held, where it could be read: io_setup wants 0.
    pub initial: Option<u64>,
    /// The owners of the most slots at that time, largest first, at most three.
    pub largest: Vec<Holder>,
    /// How many more of the same kind it stands for, of the same process and moment: only in a recording of very many.
    pub more: u64,
}

/// Who has slots reserved: an owner, or a process of one (see [`holders`](crate::holders)).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Holder {
    /// Of an owner, the process with the most slots. Of processes that share the contexts, the lowest PID.
    pub pid: Pid,
    /// The `comm` of that process.
    pub comm: Vec<u8>,
    /// Who runs it; of several processes, what is the same for all.
    pub owner: Owner,
    /// How many processes of it have contexts; those that share them are one.
    pub processes: usize,
    /// Number of its contexts.
    pub contexts: usize,
    /// Sum of their max_reqs.
    pub slots: u64,
}

/// How the watch itself is doing.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct WatchStatus {
    /// The hook in use: `fentry`, `kprobe`, `tracepoint`, `raw-tracepoint`; empty for a recorded evidence.
    pub hook: &'static str,
    /// Events lost since the start.
    pub lost: u64,
    /// Differences healed since the start.
    pub healed: u64,
    /// When the watch began, nanoseconds since 1970.
    pub since_unix_ns: u64,
    /// When the picture was taken, nanoseconds since 1970.
    pub taken_unix_ns: u64,
    /// What the last census of the host took, nanoseconds.
    pub scan_ns: u64,
    /// The owners that grow, the fastest first.
    pub growing: Vec<Growing>,
}

impl Event {
    /// How many events it stands for.
    pub fn stands_for(&self) -> u64 {
        match self {
            Event::SetupFailed { failure, .. } => failure.more.saturating_add(1),
            Event::Lost { count } => *count,
            Event::Existing { .. }
            | Event::Setup { .. }
            | Event::SubmitFailed { .. }
            | Event::Destroy { .. }
            | Event::Exec { .. }
            | Event::Exit { .. }
            | Event::Dying { .. }
            | Event::Gone { .. }
            | Event::Healed { .. }
            | Event::Growth { .. } => 1,
        }
    }

    /// The word for it, in lines and in JSON: a promise.
    pub fn word(&self) -> &'static str {
        match self {
            Event::Existing { .. } => "existing",
            Event::Setup { .. } => "setup",
            Event::SetupFailed { .. } => "setup-failed",
            Event::SubmitFailed { .. } => "submit-failed",
            Event::Destroy { .. } => "destroy",
            Event::Exec { .. } => "exec",
            Event::Exit { .. } => "exit",
            Event::Dying { .. } => "dying",
            Event::Gone { .. } => "gone",
            Event::Lost { .. } => "lost",
            Event::Healed { .. } => "healed",
            Event::Growth { .. } => "growth",
        }
    }

    /// Who did it; `None` where nobody did.
    pub fn actor(&self) -> Option<&Actor> {
        match self {
            Event::Existing { by, .. }
            | Event::Setup { by, .. }
            | Event::SetupFailed { by, .. }
            | Event::SubmitFailed { by, .. }
            | Event::Destroy { by, .. }
            | Event::Exec { by, .. }
            | Event::Exit { by, .. }
            | Event::Dying { by, .. }
            | Event::Gone { by, .. } => Some(by),
            Event::Lost { .. } | Event::Healed { .. } | Event::Growth { .. } => None,
        }
    }
}
