//! Becoming the tracer of every thread that has the address space, while all of them run on.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::freeze::catch::Caught;
use crate::freeze::error::FreezeError;
use crate::freeze::handshake::Handshake;
use crate::freeze::seize::{Seized, raw, seize_one};
use crate::freeze::snag::Snag;
use crate::freeze::tracee::{RawTid, share_mm};
use crate::freeze::wait::{Deadline, is_stuck};
use crate::host::signals::end_is_pending;
use crate::proc::files::{ProcDir, ProcError};
use aioinspect_model::units::{self, Pid, Tid};

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
    /// Its directory in `/proc`.
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
    shared: &Handshake,
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
    shared: &Handshake,
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
