//! Looking at one process until there is a verdict: what `check` and `dump` share.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::cli::Freeze;
use crate::commands::exit::Exit;
use aioinspect_kernel::look::evidence_source::{Ask, Hold, Source, SourceError};
use aioinspect_model::evidence::{CensusSource, Evidence};
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

/// What is wanted of a process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want {
    /// The process.
    pub pid: Pid,
    /// How it may be held.
    pub freeze: Freeze,
    /// Whether an idle process is frozen all the same, to be sure of the instant.
    pub freeze_idle: bool,
    /// For how long a freeze may wait for a thread.
    pub freeze_timeout: Duration,
    /// For how long to try.
    pub wait: Option<Duration>,
    /// Whether what an image needs is read too.
    pub image: bool,
    /// What the user allows.
    pub policy: Policy,
    /// `--strict`: whether I/O that is not looked at stands against it.
    pub strict: bool,
}

/// The last look, judged.
#[derive(Debug)]
pub(super) struct Settled {
    /// Everything that was read.
    pub evidence: Evidence,
    /// What the judge made of it.
    pub picture: Picture,
    /// Whether it can be dumped.
    pub verdict: DumpVerdict,
    /// Whether `--wait` ran out.
    pub timed_out: bool,
}

impl Settled {
    fn judge(evidence: Evidence, want: &Want) -> Self {
        let picture = reconcile(&evidence);
        let verdict = judge_dump(&evidence, &picture, want.pid, &want.policy);
        let verdict = if want.strict { strictly(verdict, &evidence, want.pid) } else { verdict };
        Self { evidence, picture, verdict, timed_out: false }
    }

    /// The exit code for this verdict.
    pub(super) fn exit(&self) -> Exit {
        match self.verdict {
            DumpVerdict::Idle { .. } => Exit::Fine,
            DumpVerdict::NoSuchProcess => Exit::NotFound,
            DumpVerdict::Refused { .. } if self.verdict.is_for_lack() => Exit::Lacks,
            DumpVerdict::Refused { .. } | DumpVerdict::Busy { .. } if self.timed_out => Exit::TimedOut,
            DumpVerdict::Refused { .. } | DumpVerdict::Busy { .. } => Exit::CheckFailed,
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
        if matches!(settled.verdict, DumpVerdict::Idle { .. }) || settled.verdict.is_for_lack() {
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
    let ask =
        Ask { pid: want.pid, hold: Hold::NoTouch, image: want.image, without_kernel: want.policy.unverified };
    let first = Settled::judge(with_history(source.process(&ask)?, before), want);
    let by_kernel = match first.evidence.source {
        CensusSource::Bpf => true,
        CensusSource::Proc => false,
    };
    let worth_a_freeze = match &first.verdict {
        DumpVerdict::Idle { .. } => want.freeze_idle && by_kernel,
        DumpVerdict::Busy { seen } => seen.iter().all(may_pass),
        // Where the scheduler does not show whether it ran, nothing but a freeze proves anything.
        DumpVerdict::Refused { reasons } => {
            let space = space_of(&first.picture, want.pid);
            let is_open = space.is_some_and(|space| space.proof == Proof::Unproven);
            by_kernel && is_open && reasons.iter().all(may_pass)
        }
        DumpVerdict::NoSuchProcess => false,
    };
    if want.freeze == Freeze::None || !worth_a_freeze {
        return Ok(first);
    }
    let ask = Ask { hold: Hold::Ptrace(want.freeze_timeout), ..ask };
    Ok(Settled::judge(with_history(source.process(&ask)?, Some(&first.evidence)), want))
}

/// Whether a freeze can make it go away. With a request in flight the verdict would be the same, as with what the kernel does not tell:
/// nobody is stopped in vain.
fn may_pass(reason: &Reason) -> bool {
    !reason.is_lack && reason.finding.is_none_or(Finding::may_pass)
}

/// Puts the looks of the same process from before in front of the new one, the first and the latest of them.
fn with_history(mut now: Evidence, before: Option<&Evidence>) -> Evidence {
    let earlier = before.and_then(|before| before.spaces.first());
    let (Some(earlier), Some(space)) = (earlier, now.spaces.first_mut()) else { return now };
    let same = |one: &[aioinspect_model::evidence::Process],
                other: &[aioinspect_model::evidence::Process]| {
        one.first().map(|process| (process.pid, process.start_ticks))
            == other.first().map(|process| (process.pid, process.start_ticks))
    };
    if same(&earlier.processes, &space.processes) {
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
