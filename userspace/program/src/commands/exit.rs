//! Exit codes: the contract, and which error gets which.

use aioinspect_formats::amendment::AmendError;
use aioinspect_kernel::bpf::denial::Denial;
use aioinspect_kernel::bpf::error::ProbeError;
use aioinspect_kernel::freeze::error::FreezeError;
use aioinspect_kernel::look::evidence_source::SourceError;
use aioinspect_kernel::proc::files::ProcError;
use aioinspect_kernel::proc::group::GroupError;
use aioinspect_kernel::proc::memory::MemoryError;

/// What the program tells its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done, and nothing stands against it.
    Fine = 0,
    /// Something failed.
    Error = 1,
    /// Wrong arguments.
    Usage = 2,
    /// No such process, or nothing matched.
    NotFound = 3,
    /// Not permitted.
    NotPermitted = 4,
    /// Not idle, forged, would not restore.
    CheckFailed = 5,
    /// Time is up.
    TimedOut = 6,
    /// The kernel lacks a feature.
    Lacks = 7,
}

/// Wrong arguments that clap could not see.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct UsageError(pub String);

/// A recording has no picture of the time that was asked for.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NotRecorded(pub String);

/// No value of nr_req re-creates a ring on the host it is meant for.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct WouldNotRestore(pub String);

/// The code for an error, by the first thing in its chain that has one.
pub fn exit_of(error: &anyhow::Error) -> Exit {
    error.chain().find_map(code).unwrap_or(Exit::Error)
}

/// Whether the message has lines of its own: a caret below an expression, the verifier's words. Anywhere else a line end
/// comes from a name.
pub fn has_lines(error: &anyhow::Error) -> bool {
    let refused = |error: &ProbeError| matches!(error, ProbeError::Refused { log, .. } if !log.is_empty());
    error.chain().any(|cause| {
        let by_source = match cause.downcast_ref::<SourceError>() {
            Some(SourceError::Probe(error)) => refused(error),
            Some(_) | None => false,
        };
        by_source || cause.downcast_ref().is_some_and(refused) || cause.is::<UsageError>()
    })
}

fn code(error: &(dyn std::error::Error + 'static)) -> Option<Exit> {
    if let Some(error) = error.downcast_ref::<SourceError>() {
        return Some(of_source(error));
    }
    if let Some(error) = error.downcast_ref::<ProbeError>() {
        return Some(of_probe(error));
    }
    if error.is::<UsageError>() {
        return Some(Exit::Usage);
    }
    if error.is::<NotRecorded>() {
        return Some(Exit::NotFound);
    }
    let refused = matches!(error.downcast_ref(), Some(AmendError::Refused(_)));
    (refused || error.is::<WouldNotRestore>()).then_some(Exit::CheckFailed)
}

/// The code for an error of a source.
pub(super) fn of_source(error: &SourceError) -> Exit {
    match error {
        SourceError::Proc(error) => of_proc(error),
        SourceError::Probe(error) => of_probe(error),
        SourceError::Freeze(error) => of_freeze(error),
        SourceError::Group(error) => of_group(error),
        SourceError::Closed { in_flight: Some(1..), .. } => Exit::CheckFailed,
        SourceError::Closed { closed, .. } => of_source(closed),
        SourceError::Memory(MemoryError::Gone(_)) => Exit::NotFound,
        SourceError::Memory(MemoryError::NotPermitted(_)) => Exit::NotPermitted,
        SourceError::Memory(MemoryError::Failed(..)) | SourceError::Host(_) | SourceError::Text { .. } => {
            Exit::Error
        }
    }
}

fn of_group(error: &GroupError) -> Exit {
    match error {
        GroupError::Proc(error) => of_proc(error),
        GroupError::NoCgroup(_) => Exit::NotFound,
        GroupError::Elsewhere(_) | GroupError::Io { .. } => Exit::Error,
    }
}

fn of_proc(error: &ProcError) -> Exit {
    match error {
        ProcError::NoSuchProcess(_)
        | ProcError::Thread { .. }
        | ProcError::Elsewhere { .. }
        | ProcError::Zombie(_) => Exit::NotFound,
        // What it had in flight is not known to be over.
        ProcError::Exiting { .. } | ProcError::Locked(_) => Exit::CheckFailed,
        ProcError::NotPermitted { .. } | ProcError::Hidden { .. } => Exit::NotPermitted,
        ProcError::KernelThread(_)
        | ProcError::ForeignProc(_)
        | ProcError::Unseen(_)
        | ProcError::TooLarge { .. }
        | ProcError::Io { .. } => Exit::Error,
    }
}

fn of_probe(error: &ProbeError) -> Exit {
    match error {
        // No capability helps against lockdown.
        ProbeError::NotPermitted { why: Denial::Lockdown | Denial::MaybeLockdown, .. }
        | ProbeError::Lacks { .. }
        | ProbeError::NoJit { .. } => Exit::Lacks,
        ProbeError::NotPermitted { .. } => Exit::NotPermitted,
        ProbeError::NotBuilt | ProbeError::Object(_) | ProbeError::Refused { .. } | ProbeError::Io { .. } => {
            Exit::Error
        }
    }
}

fn of_freeze(error: &FreezeError) -> Exit {
    match error {
        FreezeError::Gone(_) | FreezeError::Exec(_) => Exit::NotFound,
        FreezeError::NotPermitted { .. } => Exit::NotPermitted,
        FreezeError::TimedOut { .. } => Exit::TimedOut,
        FreezeError::Proc(error) => of_proc(error),
        FreezeError::AlreadyTraced { .. }
        | FreezeError::KernelThread(_)
        | FreezeError::OwnProcess(_)
        | FreezeError::Interrupted
        | FreezeError::Restless(_)
        | FreezeError::System(..) => Exit::Error,
    }
}
