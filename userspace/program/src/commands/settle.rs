//! Looking at one process until there is a verdict: what `check` and `dump` share.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::cli::Freeze;
use crate::commands::exit::Exit;
use aioinspect_kernel::look::evidence_source::{Ask, Hold, Source, SourceError};
use aioinspect_kernel::proc::group::Group;
use aioinspect_model::evidence::{AddressSpace, CensusSource, Evidence, Manner};
use aioinspect_model::finding::Finding;
use aioinspect_model::not_looked_at::strictly;
use aioinspect_model::picture::{Picture, Proof};
use aioinspect_model::reconcile::reconcile;
use aioinspect_model::units::Pid;
use aioinspect_model::verdict::{DumpVerdict, Policy, Reason, judge_dump, space_of};

/// Looks that are kept beside the newest: the first, and the latest ones.
const HISTORY: usize = 8;
/// Pause between two looks of `--wait`: short at first, for I/O that is about to end.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Whom it is about.
#[derive(Clone, Debug)]
pub(super) enum Whom {
    /// One process, with all that share its memory.
    Process(Pid),
    /// Several, judged as one.
    Group(Group),
}

/// What is wanted of a process, or of a group.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub(super) struct Want {
    /// Of whom.
    pub whom: Whom,
    /// How it may be held.
    pub freeze: Freeze,
    /// Whether an idle process is frozen all the same, to be sure of the instant.
    pub freeze_idle: bool,
    /// For how long a freeze may wait for a thread.
    pub freeze_timeout: Duration,
    /// For how long it may be held until its requests have completed.
    pub drain: Option<Duration>,
    /// Whether it is known that somebody else holds it.
    pub is_held: bool,
    /// For how long to try.
    pub wait: Option<Duration>,
    /// Whether what an image needs is read too.
    pub image: bool,
    /// What the user allows.
    pub policy: Policy,
    /// `--strict`: whether I/O that is not looked at stands against it.
    pub strict: bool,
}

/// The verdict on one address space.
#[derive(Clone, Debug)]
pub(super) struct Judged {
    /// The process by which it is named.
    pub pid: Pid,
    /// Whether it can be dumped.
    pub verdict: DumpVerdict,
}

/// The last look, judged.
#[derive(Debug)]
pub(super) struct Settled {
    /// Everything that was read.
    pub evidence: Evidence,
    /// What the judge made of it.
    pub picture: Picture,
    /// The verdict on each address space; of one process there is one.
    pub judged: Vec<Judged>,
    /// Whether the time of `--wait` or `--drain` ran out.
    pub timed_out: bool,
}

impl Settled {
    fn judge(evidence: Evidence, want: &Want) -> Self {
        let picture = reconcile(&evidence);
        let pids: Vec<Pid> = match want.whom {
            Whom::Process(pid) => vec![pid],
            Whom::Group(_) => picture.spaces.iter().filter_map(|space| space.pids.first().copied()).collect(),
        };
        let judge = |pid| {
            let verdict = judge_dump(&evidence, &picture, pid, &want.policy);
            let verdict = if want.strict { strictly(verdict, &evidence, pid) } else { verdict };
            Judged { pid, verdict }
        };
        let judged = pids.into_iter().map(judge).collect();
        Self { evidence, picture, judged, timed_out: false }
    }

    /// Whether all of it is idle.
    pub(super) fn is_idle(&self) -> bool {
        !self.judged.is_empty()
            && self.judged.iter().all(|one| matches!(one.verdict, DumpVerdict::Idle { .. }))
    }

    /// Whether all of it was held by somebody else while we looked.
    pub(super) fn is_held(&self) -> bool {
        self.picture.spaces.iter().all(|space| space.manner == Manner::Held)
    }

    /// Whether nothing but the kernel stands against it: another look would say the same.
    fn is_for_lack(&self) -> bool {
        self.judged.iter().any(|one| one.verdict.is_for_lack())
            && self
                .judged
                .iter()
                .all(|one| matches!(one.verdict, DumpVerdict::Idle { .. }) || one.verdict.is_for_lack())
    }

    /// The exit code for this verdict.
    pub(super) fn exit(&self) -> Exit {
        if self.is_idle() {
            return Exit::Fine;
        }
        if self.judged.iter().all(|one| one.verdict == DumpVerdict::NoSuchProcess) {
            return Exit::NotFound;
        }
        match (self.is_for_lack(), self.timed_out) {
            (true, _) => Exit::Lacks,
            (false, true) => Exit::TimedOut,
            (false, false) => Exit::CheckFailed,
        }
    }
}

/// Looks without touching; freezes only what looks idle or cannot be told, and only if that is allowed; tries again until the time is up.
pub(super) fn settle(source: &mut dyn Source, want: &Want) -> Result<Settled, SourceError> {
    let deadline = want.wait.and_then(|wait| Instant::now().checked_add(wait));
    let mut pause = FIRST_PAUSE;
    let mut before: Option<Evidence> = None;
    loop {
        let mut settled = look(source, want, before.as_ref())?;
        // Waiting mends no kernel.
        if settled.is_idle() || settled.is_for_lack() {
            return Ok(settled);
        }
        let Some(left) = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) else {
            return Ok(settled);
        };
        if left.is_zero() {
            settled.timed_out = true;
            return Ok(settled);
        }
        sleep(pause.min(left));
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        before = Some(settled.evidence);
    }
}

fn look(source: &mut dyn Source, want: &Want, before: Option<&Evidence>) -> Result<Settled, SourceError> {
    let mut read = |hold| {
        let pid = match want.whom {
            Whom::Process(pid) | Whom::Group(Group::Tree(pid)) => pid,
            Whom::Group(Group::Cgroup(_)) => Pid(0),
        };
        let ask = Ask { pid, hold, image: want.image, without_kernel: want.policy.unverified };
        match &want.whom {
            Whom::Process(_) => source.process(&ask),
            Whom::Group(group) => source.group(group, &ask),
        }
    };
    let mut first = Settled::judge(with_history(read(Hold::NoTouch)?, before), want);
    // Who runs can submit the next request at once: there is no end to wait for.
    if let Some(time) =
        want.drain.filter(|_| want.freeze == Freeze::None && (want.is_held || first.is_held()))
        && is_in_flight(&first)
    {
        let drained = read(Hold::DrainHeld(time))?;
        first = Settled::judge(with_history(drained, Some(&first.evidence)), want);
        first.timed_out = is_in_flight(&first);
    }
    if want.freeze == Freeze::None || !is_worth_a_freeze(&first, want) {
        return Ok(first);
    }
    let stop_within = want.freeze_timeout;
    let hold = want.drain.map_or(Hold::Ptrace(stop_within), |drain| Hold::Drain { stop_within, drain });
    let mut last = Settled::judge(with_history(read(hold)?, Some(&first.evidence)), want);
    last.timed_out = want.drain.is_some() && is_in_flight(&last);
    Ok(last)
}

/// Whether a freeze can show more than was seen: it stops nobody in vain.
fn is_worth_a_freeze(seen: &Settled, want: &Want) -> bool {
    let by_kernel = match seen.evidence.source {
        CensusSource::Bpf => true,
        CensusSource::Proc => false,
    };
    let may_pass = |reason: &Reason| may_pass(reason, want.drain.is_some());
    let is_open = |one: &Judged| match &one.verdict {
        DumpVerdict::Idle { .. } => true,
        DumpVerdict::Busy { seen } => seen.iter().all(may_pass),
        // Where the scheduler does not show whether it ran, nothing but a freeze proves anything.
        DumpVerdict::Refused { reasons } => {
            let space = space_of(&seen.picture, one.pid);
            let is_open = space.is_some_and(|space| space.proof == Proof::Unproven);
            by_kernel && (is_open || want.drain.is_some()) && reasons.iter().all(may_pass)
        }
        DumpVerdict::NoSuchProcess => false,
    };
    let is_enough = seen.is_idle() && !(want.freeze_idle && by_kernel);
    !is_enough && !seen.judged.is_empty() && seen.judged.iter().all(is_open)
}

/// Whether a freeze can make it go away. With a request in flight the verdict would be the same unless it is waited for, as with what the
/// kernel does not tell: nobody is stopped in vain.
fn may_pass(reason: &Reason, drains: bool) -> bool {
    let drained = drains && matches!(reason.finding, Some(Finding::InFlight | Finding::Dying));
    !reason.is_lack && (drained || reason.finding.is_none_or(Finding::may_pass))
}

/// Whether a request in flight stands against it.
pub(super) fn is_in_flight(settled: &Settled) -> bool {
    let reasons = settled.judged.iter().flat_map(|one| match &one.verdict {
        DumpVerdict::Refused { reasons } | DumpVerdict::Busy { seen: reasons } => reasons.as_slice(),
        DumpVerdict::Idle { .. } | DumpVerdict::NoSuchProcess => &[],
    });
    reasons.into_iter().any(|reason| matches!(reason.finding, Some(Finding::InFlight | Finding::Dying)))
}

/// Puts the looks of the same processes from before in front of the new ones, the first and the latest of them.
fn with_history(mut now: Evidence, before: Option<&Evidence>) -> Evidence {
    let identity =
        |space: &AddressSpace| space.processes.first().map(|process| (process.pid, process.start_ticks));
    for space in &mut now.spaces {
        let earlier = before.into_iter().flat_map(|before| &before.spaces);
        let is_same = |one: &&AddressSpace| identity(space).is_some() && identity(one) == identity(space);
        let Some(earlier) = earlier.into_iter().find(is_same) else { continue };
        let mut looks = earlier.looks.clone();
        if looks.len() > HISTORY {
            looks.remove(1);
        }
        looks.append(&mut space.looks);
        space.looks = looks;
    }
    now
}

#[cfg(test)]
mod tests;
