//! Where evidence comes from: the running kernel, or a file.

use std::io;
use std::time::Duration;

use crate::bpf::error::ProbeError;
use crate::freeze::error::FreezeError;
use crate::proc::files::ProcError;
use crate::proc::group::{Group, GroupError};
use crate::proc::memory::MemoryError;
use aioinspect_model::evidence::Evidence;
use aioinspect_model::units::Pid;

/// How a process is held while it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Not at all.
    NoTouch,
    /// Every thread is stopped by ptrace; a thread that does not stop within the time ends the attempt.
    Ptrace(Duration),
    /// The same, and held until no request is in flight any more, or for `drain` at most.
    Drain {
        /// As for [`Hold::Ptrace`].
        stop_within: Duration,
        /// How long the processes may be held for it.
        drain: Duration,
    },
    /// Not at all by us: somebody else holds the processes. Waits until no request is in flight, or for that long at most.
    DrainHeld(Duration),
}

/// What is to be read of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The process to be read: any of those that share its memory.
    pub pid: Pid,
    /// How it is held.
    pub hold: Hold,
    /// Whether what an image needs is read too.
    pub image: bool,
    /// Whether to do without the kernel's word where it cannot be had, rather than fail.
    pub without_kernel: bool,
}

/// Why nothing could be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A process, by its files.
    #[error(transparent)]
    Proc(#[from] ProcError),
    /// The kernel's word.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// The process could not be stopped.
    #[error(transparent)]
    Freeze(#[from] FreezeError),
    /// The process's memory.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The process cannot be read, and the kernel's word on its contexts is all there is.
    #[error("{closed}; {}", word_alone(*.contexts, *.in_flight))]
    Closed {
        /// What was refused.
        closed: Box<SourceError>,
        /// How many contexts the kernel named.
        contexts: usize,
        /// Their requests in flight, or those of the ones that are known to have some; `None`: not known.
        in_flight: Option<u64>,
    },
    /// Something of the host.
    #[error("{0}")]
    Host(#[from] io::Error),
    /// Who is in a group.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// A text of the kernel's that is not what we know.
    #[error("cannot parse {what} of process {pid}: {why}")]
    Text {
        /// The process whose file it is.
        pid: Pid,
        /// The file below `/proc/PID`, such as `smaps`.
        what: &'static str,
        /// What is missing, in a sentence.
        why: String,
    },
}

impl SourceError {
    /// What it says of a process that belongs to a group.
    pub(super) fn fate(&self) -> Fate {
        let of_proc = |error: &ProcError| match error {
            ProcError::NoSuchProcess(_) | ProcError::Zombie(_) | ProcError::KernelThread(_) => Fate::Gone,
            ProcError::Exiting { .. } | ProcError::Locked(_) | ProcError::Unseen(_) => Fate::Changing,
            ProcError::Thread { .. }
            | ProcError::Elsewhere { .. }
            | ProcError::Hidden { .. }
            | ProcError::ForeignProc(_)
            | ProcError::NotPermitted { .. }
            | ProcError::TooLarge { .. }
            | ProcError::Io { .. } => Fate::Unknown,
        };
        match self {
            SourceError::Proc(error) | SourceError::Freeze(FreezeError::Proc(error)) => of_proc(error),
            SourceError::Freeze(FreezeError::Gone(_)) => Fate::Gone,
            SourceError::Freeze(FreezeError::Exec(_)) => Fate::Changing,
            SourceError::Probe(_)
            | SourceError::Freeze(_)
            | SourceError::Memory(_)
            | SourceError::Closed { .. }
            | SourceError::Host(_)
            | SourceError::Group(_)
            | SourceError::Text { .. } => Fate::Unknown,
        }
    }
}

/// What became of a process that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It has ended, or has no memory to look at: its group does without it.
    Gone,
    /// It ends, or becomes another program: in a moment it is gone, or can be read.
    Changing,
    /// Something else is wrong.
    Unknown,
}

/// What the kernel's word says without the process's.
fn word_alone(contexts: usize, in_flight: Option<u64>) -> String {
    let contexts = match contexts {
        1 => "1 context".to_owned(),
        several => format!("{several} contexts"),
    };
    let what = match in_flight {
        Some(0) => "no request in flight; its rings cannot be read, so it is not proven idle".to_owned(),
        Some(1) => "1 request in flight: it is not idle".to_owned(),
        Some(several) => format!("{several} requests in flight: it is not idle"),
        None => "it is not known how many requests in flight".to_owned(),
    };
    format!("BPF shows {contexts}, {what}")
}

/// A source of evidence: the live host or a recorded one, and no third.
pub trait Source {
    /// Reads every context of the host, without touching anybody. `owners`: cgroups too.
    fn host(&mut self, owners: bool) -> Result<Evidence, SourceError>;
    /// Reads one process.
    fn process(&mut self, ask: &Ask) -> Result<Evidence, SourceError>;
    /// Reads all processes of a group at one instant; `Ask::pid` is not looked at. Those that have no memory any more are left out.
    fn group(&mut self, group: &Group, ask: &Ask) -> Result<Evidence, SourceError>;
    /// What the user should know of the last reading: which part of the host could not be seen.
    fn notes(&mut self) -> Vec<String>;
}

/// A recorded evidence: it says the same whatever is asked.
#[derive(Clone, Debug)]
pub struct Recorded(pub Evidence);

impl Source for Recorded {
    fn host(&mut self, _owners: bool) -> Result<Evidence, SourceError> {
        Ok(self.0.clone())
    }

    fn process(&mut self, _ask: &Ask) -> Result<Evidence, SourceError> {
        Ok(self.0.clone())
    }

    fn group(&mut self, _group: &Group, _ask: &Ask) -> Result<Evidence, SourceError> {
        Ok(self.0.clone())
    }

    fn notes(&mut self) -> Vec<String> {
        Vec::new()
    }
}
