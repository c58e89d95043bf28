//! Becoming the tracer of every thread that has the address space, while all of them run on.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::freeze::Shared;
use crate::freeze::catch::{Caught, Snag};
use crate::freeze::error::FreezeError;
use crate::freeze::tracee::{RawTid, seize, share_mm};
use crate::freeze::wait::{Deadline, is_stuck};
use crate::host::signals::end_is_pending;
use crate::proc::barrier::Barrier;
use crate::proc::files::{ProcDir, ProcError};
use aioinspect_model::units::{self, Pid, Tid};

/// How often a thread is seized before a refusal is taken for lack of permission, and how long we wait between.
const TRIES: u32 = 12;
const RETRY: Duration = Duration::from_micros(500);

/// After as many lists, each with news, a process that is late is late for making threads.
const MANY: u32 = 8;

/// All that is seized, and all that is needed to hold it.
pub(super) struct Attached<'a> {
    /// The processes: those of the plan, and those found to share its address space meanwhile.
    pub processes: Vec<Member<'a>>,
    /// The threads, each with its process.
    pub threads: Vec<(RawTid, RawTid)>,
    /// When the first thread was seized.
    pub since: Instant,
    /// Thread id of the tracer.
    pub tracer: RawTid,
    /// When the thread that was caught beforehand stopped.
    pub begun: Option<(units::Instant, Instant)>,
}

/// Whether there is anything to hold.
pub(super) enum Attaching<'a> {
    /// All are seized.
    All(Attached<'a>),
    /// A thread waits for a child that we would have to hold. Nobody but `caught` was stopped.
    Snagged(Snag),
}

/// A process of the address space.
pub(super) struct Member<'a> {
    /// Its directory.
    pub dir: Dir<'a>,
    /// Its leader exited, but not its last thread.
    pub dead_leader: bool,
}

/// A directory of the plan, or one opened here.
pub(super) enum Dir<'a> {
    /// Of the plan.
    Planned(&'a ProcDir),
    /// Found meanwhile.
    Found(ProcDir),
}

impl std::ops::Deref for Dir<'_> {
    type Target = ProcDir;

    fn deref(&self) -> &ProcDir {
        match self {
            Dir::Planned(dir) => dir,
            Dir::Found(dir) => dir,
        }
    }
}

/// Seizes all threads of `plan`, and lists them again until there is no new one.
///
/// What a seized thread gives birth to is a tracee from birth, so the only threads that can be missed are those whose
/// parent was not seized yet, and a list without news has none of them.
///
/// `caught` is seized and stopped already.
pub(super) fn attach<'a>(
    plan: &'a [ProcDir],
    caught: Option<Caught>,
    tracer: RawTid,
    deadline: Deadline,
    shared: &Shared,
) -> Result<Attaching<'a>, FreezeError> {
    let members = plan.iter().map(|dir| Member { dir: Dir::Planned(dir), dead_leader: false }).collect();
    let begun = caught.as_ref().map(|caught| caught.at);
    let since = begun.map_or_else(Instant::now, |(_, instant)| instant);
    let mut attached = Attached { processes: members, threads: Vec::new(), since, tracer, begun };
    let mut fresh: Vec<_> = caught.into_iter().map(|caught| caught.thread).collect();
    let mut known: BTreeSet<_> = fresh.iter().map(|(tid, _)| *tid).collect();
    let mut passes = 0_u32;
    loop {
        let mut listed = BTreeSet::new();
        for member in &mut attached.processes {
            seize_process(member, tracer, &known, &mut listed, &mut fresh, shared)?;
        }
        known.extend(fresh.iter().map(|(tid, _)| *tid));
        attached.threads.extend(&fresh);
        let found = match relatives(&attached.processes, &fresh) {
            Ok(found) => found,
            Err(snag) => return Ok(Attaching::Snagged(snag)),
        };
        if fresh.is_empty() && found.is_empty() {
            // A number that was used again between the list and the seize is a stranger: it is not stopped, and the
            // tracer's end releases it.
            attached.threads.retain(|(tid, _)| listed.contains(tid));
            break;
        }
        attached.processes.extend(found);
        fresh.clear();
        passes = passes.saturating_add(1);
        if passes > MANY && deadline.is_past() {
            return Err(FreezeError::Restless(first_pid(plan)));
        }
        if end_is_pending() {
            return Err(FreezeError::Interrupted);
        }
    }
    if attached.threads.is_empty() {
        Err(FreezeError::Gone(first_pid(plan)))
    } else {
        Ok(Attaching::All(attached))
    }
}

fn first_pid(plan: &[ProcDir]) -> Pid {
    plan.first().map_or(Pid(0), ProcDir::pid)
}

/// Seizes the threads of one process that are not `known`.
fn seize_process(
    member: &mut Member<'_>,
    tracer: RawTid,
    known: &BTreeSet<RawTid>,
    listed: &mut BTreeSet<RawTid>,
    fresh: &mut Vec<(RawTid, RawTid)>,
    shared: &Shared,
) -> Result<(), FreezeError> {
    let threads = match member.dir.threads() {
        Ok(threads) => threads,
        Err(ProcError::NoSuchProcess(_)) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let leader = raw(member.dir.pid().0)?;
    for tid in threads {
        let raw_tid = raw(tid.0)?;
        listed.insert(raw_tid);
        if known.contains(&raw_tid) {
            continue;
        }
        match seize_one(&member.dir, tid, raw_tid, tracer)? {
            Seized::Yes => {
                fresh.push((raw_tid, leader));
                shared.note((raw_tid, leader));
            }
            Seized::Dead => member.dead_leader |= raw_tid == leader,
        }
    }
    Ok(())
}

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

/// Processes with the same address space that the plan does not know: CLONE_VM children born since it was made.
///
/// An error: one of `fresh` waits for such a child, as vfork does, and would never stop while we hold that child.
fn relatives<'a>(members: &[Member<'_>], fresh: &[(RawTid, RawTid)]) -> Result<Vec<Member<'a>>, Snag> {
    let mut found: Vec<Member<'a>> = Vec::new();
    for (tid, leader) in fresh {
        let of_leader = |one: &&Member<'_>| raw(one.dir.pid().0).is_ok_and(|pid| pid == *leader);
        let (Some(parent), Ok(number)) = (members.iter().find(of_leader), u32::try_from(*tid)) else {
            continue;
        };
        for child in parent.dir.children_of(Tid(number)) {
            if !raw(child.0).is_ok_and(|child| share_mm(*tid, child) == Ok(true)) {
                continue;
            }
            if is_stuck(&parent.dir, Tid(number)) {
                return Err(Snag { pid: parent.dir.pid(), tid: Tid(number) });
            }
            if !members.iter().chain(&found).any(|one| one.dir.pid() == child) {
                let dir = ProcDir::open(child).ok();
                found.extend(dir.map(|dir| Member { dir: Dir::Found(dir), dead_leader: false }));
            }
        }
    }
    Ok(found)
}

pub(super) fn raw(id: u32) -> Result<RawTid, FreezeError> {
    RawTid::try_from(id).map_err(|_| FreezeError::Gone(Pid(id)))
}
