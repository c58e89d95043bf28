//! The plain answer about a PID that cannot be looked at: whatever is wrong with it, /proc knows.
//!
//! Asked once something has failed, for the one process that the user named: it may read more than a look may.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{PidfdFlags, getpid, pidfd_open};

use crate::census::waiters::BRIEF;
use crate::freeze::error::FreezeError;
use crate::look::evidence_source::SourceError;
use crate::proc::barrier::{Access, Barrier};
use crate::proc::files::{ProcDir, ProcError, processes};
use crate::proc::group::GroupError;
use crate::proc::memory::MemoryError;
use aioinspect_model::units::Pid;
use aioinspect_parse::proc::mountinfo::options_at;
use aioinspect_parse::proc::status::Status;

const PAUSE: Duration = Duration::from_millis(2);
/// How many processes with that number in their own PID namespaces are named.
const NAMED: usize = 3;

/// What `look` finds of process `pid`, or plainly why it could not be looked at. One that lives, but was not there for a moment, is about to end
/// (its threads go one by one, each with the files we read) or becomes another program: it is looked at again until one of them is so.
pub(super) fn seen<T>(pid: Pid, mut look: impl FnMut() -> Result<T, SourceError>) -> Result<T, SourceError> {
    let begun = Instant::now();
    loop {
        match look().map_err(|error| plain(pid, error)) {
            Err(SourceError::Proc(ProcError::Unseen(_))) if begun.elapsed() < BRIEF => {
                std::thread::sleep(PAUSE);
            }
            other => return other,
        }
    }
}

/// Says it plainly: why process `pid` could not be looked at.
pub fn plain(pid: Pid, error: SourceError) -> SourceError {
    match error {
        SourceError::Proc(error)
        | SourceError::Freeze(FreezeError::Proc(error))
        | SourceError::Group(GroupError::Proc(error)) => proc(pid, error).into(),
        SourceError::Freeze(FreezeError::Gone(gone)) if gone == pid => {
            let error = proc(pid, ProcError::NoSuchProcess(pid));
            // It was there, and is not any more.
            if matches!(error, ProcError::NoSuchProcess(_)) {
                FreezeError::Gone(gone).into()
            } else {
                error.into()
            }
        }
        SourceError::Freeze(FreezeError::NotPermitted { pid, .. }) => {
            FreezeError::NotPermitted { pid, barrier: Barrier::of(pid, Access::Trace) }.into()
        }
        SourceError::Memory(MemoryError::NotPermitted(_)) => {
            let barrier = Barrier::of(pid, Access::Read("CAP_SYS_PTRACE"));
            ProcError::NotPermitted { pid, file: "the memory".to_owned(), barrier }.into()
        }
        SourceError::Closed { closed, contexts, in_flight } => {
            SourceError::Closed { closed: Box::new(plain(pid, *closed)), contexts, in_flight }
        }
        other @ (SourceError::Freeze(_)
        | SourceError::Group(_)
        | SourceError::Memory(_)
        | SourceError::Probe(_)
        | SourceError::Host(_)
        | SourceError::Text { .. }) => other,
    }
}

/// Whether there is something to watch: a process with memory, or one that is exiting.
pub fn can_be_watched(pid: Pid) -> Result<(), SourceError> {
    let found = ProcDir::open(pid).and_then(|dir| dir.live_thread());
    match found.map_err(|error| proc(pid, error)) {
        Ok(_) | Err(ProcError::Exiting { .. } | ProcError::Locked(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn proc(pid: Pid, error: ProcError) -> ProcError {
    match error {
        ProcError::NoSuchProcess(missing) if missing == pid => absent(pid),
        ProcError::Zombie(of) | ProcError::Exiting { pid: of, .. } if of == pid => ended(pid, error),
        ProcError::NotPermitted { pid, file, barrier: Barrier::Needs(needs) } => {
            // Where even this is refused it is the mount that refuses.
            match hiding().filter(|_| file == "status") {
                Some(option) => ProcError::Hidden { pid, option },
                None => ProcError::NotPermitted { pid, file, barrier: Barrier::of(pid, Access::Read(needs)) },
            }
        }
        other @ (ProcError::NoSuchProcess(_)
        | ProcError::Thread { .. }
        | ProcError::Elsewhere { .. }
        | ProcError::Hidden { .. }
        | ProcError::ForeignProc(_)
        | ProcError::Unseen(_)
        | ProcError::KernelThread(_)
        | ProcError::Zombie(_)
        | ProcError::Exiting { .. }
        | ProcError::Locked(_)
        | ProcError::NotPermitted { .. }
        | ProcError::TooLarge { .. }
        | ProcError::Io { .. }) => other,
    }
}

/// Something of it was not there: it, or only that.
fn absent(pid: Pid) -> ProcError {
    let found = ProcDir::open(pid).and_then(|dir| dir.live_thread().map(|_| dir));
    match found {
        // It lives, and every file that we read is there of whoever lives: it became another program just then, or BPF passed it over.
        Ok(dir) => match dir.open_maps() {
            Ok(_) => ProcError::Unseen(pid),
            Err(ProcError::NoSuchProcess(_)) => missing(pid),
            Err(error) => proc(pid, error),
        },
        Err(ProcError::NoSuchProcess(_)) => missing(pid),
        Err(error) => proc(pid, error),
    }
}

/// There is no such process in /proc: who has the number, then?
fn missing(pid: Pid) -> ProcError {
    let status = status_of(pid).unwrap_or_default();
    if let Some(process) = status.tgid.filter(|process| *process != pid) {
        return ProcError::Thread { tid: pid, process };
    }
    let number = i32::try_from(pid.0).ok().and_then(rustix::process::Pid::from_raw);
    if number.is_some_and(|number| pidfd_open(number, PidfdFlags::empty()).is_ok()) {
        // It may have been born meanwhile; then it is in /proc now.
        if let Some(option) = hiding() {
            return ProcError::Hidden { pid, option };
        }
        if proc_is_foreign() {
            return ProcError::ForeignProc(pid);
        }
    }
    let mut here: Vec<Pid> = processes().unwrap_or_default();
    here.retain(|other| *other != pid && inner_number(*other) == Some(pid));
    here.truncate(NAMED);
    if here.is_empty() { ProcError::NoSuchProcess(pid) } else { ProcError::Elsewhere { pid, here } }
}

fn status_of(pid: Pid) -> Option<Status> {
    Status::parse(&fs::read(format!("/proc/{pid}/status")).ok()?).ok()
}

/// The number of a process in its own PID namespace, if that is not ours.
fn inner_number(pid: Pid) -> Option<Pid> {
    match status_of(pid)?.ns_pids.as_slice() {
        [_, .., inner] => Some(*inner),
        [_] | [] => None,
    }
}

/// The option of the mount of /proc that hides processes of others.
fn hiding() -> Option<String> {
    let text = fs::read("/proc/self/mountinfo").ok()?;
    let options = String::from_utf8(options_at(&text, b"/proc")?.to_vec()).ok()?;
    let hides =
        |option: &&str| option.strip_prefix("hidepid=").is_some_and(|value| !matches!(value, "0" | "off"));
    options.split(',').find(hides).map(str::to_owned)
}

/// Whether /proc knows us by another number than we do.
fn proc_is_foreign() -> bool {
    let ours = getpid().as_raw_nonzero().get().to_string();
    fs::read_link("/proc/self").is_ok_and(|name| name.as_os_str() != ours.as_str())
}

/// It has ended or is about to. An exit takes its moment, and is told as a state only if it lasts.
fn ended(pid: Pid, mut error: ProcError) -> ProcError {
    let begun = Instant::now();
    while matches!(error, ProcError::Exiting { .. }) && begun.elapsed() < BRIEF {
        std::thread::sleep(PAUSE);
        error = match ProcDir::open(pid).and_then(|dir| dir.live_thread()) {
            Err(error) => error,
            // The number is another's now.
            Ok(_) => return ProcError::NoSuchProcess(pid),
        };
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that who was not there for a moment is looked at again, and that who never is there is told as such.
    #[test]
    fn looked_at_again() {
        let ours = Pid(std::process::id());
        let missed = || SourceError::from(ProcError::NoSuchProcess(ours));
        let mut left = 3;
        let found = seen(ours, || {
            left -= 1;
            if left > 0 { Err(missed()) } else { Ok(7) }
        });
        assert_eq!((found.unwrap(), left), (7, 0));
        let never = seen::<()>(ours, || Err(missed()));
        assert!(matches!(never, Err(SourceError::Proc(ProcError::Unseen(of))) if of == ours), "{never:?}");
    }

    /// Check that one that is gone is told at once.
    #[test]
    fn gone() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = Pid(child.id());
        child.wait().unwrap();
        let mut looks = 0;
        let answer = seen::<()>(pid, || {
            looks += 1;
            Err(ProcError::NoSuchProcess(pid).into())
        });
        assert!(
            matches!(answer, Err(SourceError::Proc(ProcError::NoSuchProcess(of))) if of == pid),
            "{answer:?}"
        );
        assert_eq!(looks, 1);
    }
}
