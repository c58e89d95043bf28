//! Who holds processes that we do not hold ourselves: a tracer, or the freezer of their control groups.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::proc::error::ProcError;
use crate::proc::files::{ProcDir, cgroup_of};
use aioinspect_model::owner::memberships;
use aioinspect_model::units::{Pid, Tid};
use aioinspect_parse::proc::mountinfo::places_of;
use aioinspect_parse::proc::stat::TaskState;
use aioinspect_parse::proc::status::Status;

/// Further up nobody is asked whose child we are.
const FARTHEST: usize = 64;

/// Who holds all threads of some processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// One tracer has stopped every thread.
    Tracer(Tid),
    /// The freezer of control groups.
    Freezer,
    /// At least this thread may run.
    Nobody(Tid),
}

/// Who holds every thread of these processes now; those that are dead count for nothing.
pub fn holder(pids: &[Pid]) -> Result<Holder, ProcError> {
    let mut by: Option<Tid> = None;
    let mut free = None;
    for pid in pids {
        let dir = match ProcDir::open(*pid) {
            Ok(dir) => dir,
            Err(ProcError::NoSuchProcess(_)) => continue,
            Err(error) => return Err(error),
        };
        let threads = match dir.threads() {
            Ok(threads) => threads,
            Err(ProcError::NoSuchProcess(_)) => continue,
            Err(error) => return Err(error),
        };
        for tid in threads {
            let state = match dir.state_of(tid) {
                Ok(state) => state,
                Err(ProcError::NoSuchProcess(_)) => continue,
                Err(error) => return Err(error),
            };
            if state.is_dead() {
                continue;
            }
            let tracer = match dir.tracer_of(tid) {
                Ok(tracer) => tracer,
                Err(ProcError::NoSuchProcess(_)) => continue,
                Err(error) => return Err(error),
            };
            if tracer.0 == 0 || !is_stopped(state) || by.is_some_and(|by| by != tracer) {
                free.get_or_insert(tid);
            }
            by = Some(tracer);
        }
    }
    Ok(match (free, by) {
        (None, Some(tracer)) => Holder::Tracer(tracer),
        (None, None) => Holder::Nobody(Tid(0)),
        (Some(_), _) if pids.iter().all(|pid| is_frozen(*pid)) => Holder::Freezer,
        (Some(free), _) => Holder::Nobody(free),
    })
}

/// Whether it stands in a stop of ptrace or of a signal.
fn is_stopped(state: TaskState) -> bool {
    matches!(state.letter, 't' | 'T')
}

/// Whether the freezer of a control group that it is in, v2 or v1, has it frozen; a zombie needs none.
fn is_frozen(pid: Pid) -> bool {
    if ProcDir::open(pid).and_then(|dir| dir.state_of(Tid(pid.0))).is_ok_and(TaskState::is_dead) {
        return true;
    }
    let (Ok(groups), Ok(mounts)) = (cgroup_of(pid), fs::read("/proc/self/mountinfo")) else { return false };
    memberships(&String::from_utf8_lossy(&groups)).any(|of| {
        let inner = Path::new(of.path.trim_start_matches('/'));
        match of.hierarchy {
            "0" => says(&mounts, b"cgroup2", &inner.join("cgroup.events"), "frozen 1"),
            _ => {
                of.controllers.split(',').any(|one| one == "freezer")
                    && says(&mounts, b"cgroup", &inner.join("freezer.state"), "FROZEN")
            }
        }
    })
}

/// Whether a file of a control group, in any hierarchy of that kind, has that line.
fn says(mounts: &[u8], kind: &[u8], file: &Path, line: &str) -> bool {
    places_of(mounts, kind).into_iter().any(|place| {
        fs::read_to_string(place.join(file)).is_ok_and(|text| text.lines().any(|one| one == line))
    })
}

/// Whether that process is our parent, or the parent of that, and so on.
pub fn is_ancestor(pid: Pid) -> bool {
    let mut at = Pid(std::process::id());
    for _ in 0..FARTHEST {
        let status = fs::read(format!("/proc/{at}/status")).ok().and_then(|text| Status::parse(&text).ok());
        match status.and_then(|status| status.parent) {
            Some(parent) if parent == pid => return true,
            Some(parent) if parent.0 > 0 => at = parent,
            Some(_) | None => return false,
        }
    }
    false
}

/// Whether a process has a network namespace other than ours.
pub fn has_other_network(pid: Pid) -> io::Result<bool> {
    let place = |of: &str| fs::metadata(format!("/proc/{of}/ns/net")).map(|meta| (meta.dev(), meta.ino()));
    Ok(place(&pid.to_string())? != place("self")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that a process that runs is held by nobody, that our parent is one, and that our network is our own.
    #[test]
    fn nobody_holds_us() {
        let ours = Pid(std::process::id());
        assert!(matches!(holder(&[ours]).unwrap(), Holder::Nobody(_)));
        assert_eq!(holder(&[]).unwrap(), Holder::Nobody(Tid(0)));
        assert!(is_ancestor(Pid(std::os::unix::process::parent_id())));
        assert!(!is_ancestor(ours));
        assert!(!has_other_network(ours).unwrap());
    }
}
