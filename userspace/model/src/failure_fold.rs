//! Failures that repeat, folded: the first of a kind is told at once, the others as a number at intervals.
//!
//! A kind is who (the owner and the name of the program: one that crashes and is started again has another PID each time),
//! which call, which errno and which cause. The numbers of what is told add up to the number of failures: the first counts as
//! what it stands for, and [`Repeats::count`] is what came since the line before.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{Event, Timed};
use crate::setup_failure;
use crate::units::{Instant, Pid};

/// Kinds that are told apart at a time; what is beyond is counted together.
pub const MOST_KINDS: usize = 256;
/// Processes of one kind that are counted.
pub const MOST_PROCESSES: usize = 64;
/// After the first failure of a kind, and after its first repeat, when repeats are told first.
const SOON_NS: u64 = 1_000_000_000;
/// After that, how often; and after how long without another it has stopped.
const EVERY_NS: u64 = 10_000_000_000;

/// What makes two failures the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kind {
    owner: String,
    comm: Vec<u8>,
    call: &'static str,
    errno: i32,
    cause: &'static str,
}

/// Failures of one kind that came since the line before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeats {
    /// When this is told, nanoseconds since 1970.
    pub unix_ns: u64,
    /// The last of them.
    pub last: Timed,
    /// Whether they are of kinds that were not told apart: then `last` is one of them and stands for none of the others.
    pub mixed: bool,
    /// How many there were; 0 once they have stopped.
    pub count: u64,
    /// In how long: since the line before.
    pub over_ns: u64,
    /// How long ago the last one was.
    pub quiet_ns: u64,
    /// How many there were in all, with the first.
    pub total: u64,
    /// When the first was, nanoseconds since 1970.
    pub since_unix_ns: u64,
    /// How many processes there were, up to [`MOST_PROCESSES`].
    pub processes: usize,
}

/// What is known of one kind.
#[derive(Clone, Debug)]
struct Run {
    last: Timed,
    count: u64,
    total: u64,
    since_unix_ns: u64,
    told_at: Instant,
    last_at: Instant,
    due: Instant,
    has_repeated: bool,
    pids: BTreeSet<Pid>,
}

/// Folds a stream of events.
#[derive(Clone, Debug, Default)]
pub struct FailureFold {
    kinds: BTreeMap<Kind, Run>,
    others: Option<Run>,
}

impl FailureFold {
    /// Takes an event that was fetched at `now`. Returns what is to be told now: all but failures that repeat.
    pub fn take(&mut self, timed: Timed, now: Instant) -> Option<Timed> {
        let Some((kind, count)) = kind(&timed.event) else { return Some(timed) };
        if let Some(run) = self.kinds.get_mut(&kind) {
            run.add(timed, count, now);
            return None;
        }
        if self.kinds.len() < MOST_KINDS {
            self.kinds.insert(kind, Run::new(&timed, count, 0, now));
            return Some(timed);
        }
        match &mut self.others {
            Some(run) => run.add(timed, count, now),
            // Nothing of these is told at once, so all of them are told later.
            None => self.others = Some(Run::new(&timed, count, count, now)),
        }
        None
    }

    /// When something is to be told next; `None`: not before another failure.
    pub fn due(&self) -> Option<Instant> {
        self.kinds.values().chain(&self.others).map(|run| run.due).min()
    }

    /// What is to be told at `now`, oldest failure first.
    pub fn told(&mut self, now: Instant) -> Vec<Repeats> {
        let mut told = Vec::new();
        self.kinds.retain(|_, run| run.tell(now, false, &mut told));
        let is_kept = self.others.as_mut().is_none_or(|run| run.tell(now, true, &mut told));
        if !is_kept {
            self.others = None;
        }
        told.sort_by_key(|repeats| repeats.last.at);
        told
    }

    /// What was not told yet, at the end of the watch.
    pub fn ended(&mut self, now: Instant) -> Vec<Repeats> {
        let kinds = self.kinds.values().filter(|run| run.count > 0).map(|run| run.repeats(now, false));
        let others = self.others.iter().filter(|run| run.count > 0).map(|run| run.repeats(now, true));
        let mut told: Vec<Repeats> = kinds.chain(others).collect();
        told.sort_by_key(|repeats| repeats.last.at);
        (self.kinds, self.others) = (BTreeMap::new(), None);
        told
    }
}

impl Run {
    /// `untold`: how many of the first ones were not told at once.
    fn new(first: &Timed, count: u64, untold: u64, now: Instant) -> Self {
        Self {
            last: first.clone(),
            count: untold,
            total: count,
            since_unix_ns: first.unix_ns,
            told_at: now,
            last_at: now,
            due: after(now, SOON_NS),
            has_repeated: untold > 0,
            pids: first.event.actor().map(|actor| actor.pid).into_iter().collect(),
        }
    }

    fn add(&mut self, timed: Timed, count: u64, now: Instant) {
        self.count = self.count.saturating_add(count);
        self.total = self.total.saturating_add(count);
        if !self.has_repeated {
            self.due = self.due.min(after(now, SOON_NS));
        }
        (self.last_at, self.has_repeated) = (now, true);
        if let Some(actor) = timed.event.actor().filter(|_| self.pids.len() < MOST_PROCESSES) {
            self.pids.insert(actor.pid);
        }
        self.last = timed;
    }

    /// Tells what is due, and says whether the kind is to be remembered.
    fn tell(&mut self, now: Instant, mixed: bool, told: &mut Vec<Repeats>) -> bool {
        if self.due > now {
            return true;
        }
        if self.count > 0 {
            told.push(self.repeats(now, mixed));
            (self.count, self.told_at, self.due) = (0, now, after(now, EVERY_NS));
            return true;
        }
        let over = after(self.last_at, EVERY_NS);
        if over > now {
            self.due = over;
            return true;
        }
        // Of one that did not repeat everything is said.
        if self.has_repeated {
            told.push(self.repeats(now, mixed));
        }
        false
    }

    fn repeats(&self, now: Instant, mixed: bool) -> Repeats {
        let quiet_ns = now.0.saturating_sub(self.last_at.0);
        Repeats {
            unix_ns: self.last.unix_ns.saturating_add(now.0.saturating_sub(self.last.at.0)),
            last: self.last.clone(),
            mixed,
            count: self.count,
            over_ns: now.0.saturating_sub(self.told_at.0),
            quiet_ns,
            total: self.total,
            since_unix_ns: self.since_unix_ns,
            processes: self.pids.len(),
        }
    }
}

fn after(at: Instant, ns: u64) -> Instant {
    Instant(at.0.saturating_add(ns))
}

/// What kind of failure an event is, and for how many calls it stands; `None`: it is none.
pub(crate) fn kind(event: &Event) -> Option<(Kind, u64)> {
    let of = |by: &crate::event::Actor, call, errno, cause| Kind {
        owner: by.owner.as_deref().map(|owner| owner.workload().to_owned()).unwrap_or_default(),
        comm: by.comm.clone(),
        call,
        errno,
        cause,
    };
    match event {
        Event::SetupFailed { by, failure } => {
            Some((of(by, "io_setup", failure.errno, setup_failure::cause(failure)), event.stands_for()))
        }
        Event::SubmitFailed { by, failure } => {
            let kind = of(by, failure.call.name(), failure.errno, failure.cause.word());
            Some((kind, failure.count))
        }
        Event::Existing { .. }
        | Event::Setup { .. }
        | Event::Destroy { .. }
        | Event::Exec { .. }
        | Event::Exit { .. }
        | Event::Dying { .. }
        | Event::Gone { .. }
        | Event::Growth { .. }
        | Event::Lost { .. }
        | Event::Healed { .. } => None,
    }
}

#[cfg(test)]
mod tests;
