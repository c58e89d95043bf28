//! Calls of io_submit, io_getevents and io_pgetevents that fail: read now and then from the counts in the kernel.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant as Moment;

use aioinspect_kernel::bpf::error::ProbeError;
use aioinspect_kernel::proc::files::{ProcDir, ProcError, process_of};
use aioinspect_kernel::trace::submits::{Failed, SubmitCount, Submits, Submitter};
use aioinspect_model::event::Actor;
use aioinspect_model::submit_failure::{Call, Caller};

/// How often the counts are read.
const READ_EVERY: Duration = Duration::from_secs(1);
/// How often processes that have ended are looked for, to make room.
const FORGET_EVERY: Duration = Duration::from_secs(10);

/// Failures that are new.
#[derive(Clone, Debug)]
pub(super) struct NewFailures {
    /// Whose.
    pub by: Actor,
    /// With the number of those that are new.
    pub failed: Failed,
}

/// What was read so far.
#[derive(Debug)]
pub(super) struct SubmitFailures {
    seen: Seen,
    lost: u64,
    read_at: Moment,
    forgot_at: Moment,
}

impl SubmitFailures {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        let now = Moment::now();
        Self { seen: Seen::default(), lost: 0, read_at: now, forgot_at: now }
    }

    /// Whether it is time to read.
    pub(super) fn is_due(&self) -> bool {
        self.read_at.elapsed() >= READ_EVERY
    }

    /// What failed since the last time, and how many calls were not counted. `forgets`: nobody else lets go of processes that have ended.
    pub(super) fn read(
        &mut self,
        submits: &mut Submits,
        forgets: bool,
    ) -> Result<(Vec<NewFailures>, u64), ProbeError> {
        self.read_at = Moment::now();
        // Looked for before the counts are read: who has ended calls nothing more, so all of it is in them.
        let ended = if forgets { self.ended(submits)? } else { Vec::new() };
        let mut new = Vec::new();
        for failed in self.seen.take(submits.failed()?, &ended) {
            let nameless = || Actor { pid: failed.of.pid, ..Actor::default() };
            let by = submits.actor(failed.of)?.unwrap_or_else(nameless);
            new.push(NewFailures { by, failed });
        }
        submits.forget(&ended)?;
        new.sort_by_key(|new| (new.by.pid, new.failed.call, new.failed.errno));
        let lost = submits.lost()?;
        let lost = lost.calls.saturating_add(lost.errors);
        let more = lost.saturating_sub(self.lost);
        self.lost = lost;
        Ok((new, more))
    }

    /// Processes that have ended, looked for now and then.
    fn ended(&mut self, submits: &mut Submits) -> Result<Vec<Submitter>, ProbeError> {
        if self.forgot_at.elapsed() < FORGET_EVERY {
            return Ok(Vec::new());
        }
        self.forgot_at = Moment::now();
        let counts = submits.read()?;
        let who = counts.iter().map(SubmitCount::submitter);
        Ok(who.filter(|who| ProcDir::open(who.pid).is_err_and(|error| is_end(&error))).collect())
    }
}

/// Counts as they were read the last time.
#[derive(Debug, Default)]
struct Seen(HashMap<(Submitter, Call, i32), u64>);

impl Seen {
    /// Takes the counts as they are now, and gives those with more than the last time, each with the number of what is new. `forgotten`:
    /// whose counts begin again after this.
    fn take(&mut self, failed: Vec<Failed>, forgotten: &[Submitter]) -> Vec<Failed> {
        let before = std::mem::take(&mut self.0);
        let mut new = Vec::new();
        for failed in failed {
            let key = (failed.of, failed.call, failed.errno);
            if !forgotten.contains(&failed.of) {
                self.0.insert(key, failed.count);
            }
            // Of one that somebody else forgot they began again.
            let known = before.get(&key).copied().unwrap_or(0);
            let count = failed.count.checked_sub(known).unwrap_or(failed.count);
            if count > 0 {
                new.push(Failed { count, ..failed });
            }
        }
        new
    }
}

/// Whether that a process cannot be opened means that it has ended: one that waits in exec, or is not ours to read, lives on.
pub(crate) fn is_end(error: &ProcError) -> bool {
    matches!(error, ProcError::NoSuchProcess(_))
}

/// Whether that process still runs the program that called, which then had this name.
pub(super) fn caller(of: Submitter, comm: &[u8]) -> Caller {
    match ProcDir::open(of.pid).and_then(|dir| dir.live_thread()) {
        Err(ProcError::Zombie(_) | ProcError::Exiting { .. } | ProcError::Locked(_)) => Caller::Other,
        Err(_) => Caller::Unseen,
        Ok(_) => process_of(of.pid).map_or(Caller::Unseen, |now| {
            let is_same = now.start_ticks == of.start_ticks() && now.comm == comm;
            if is_same { Caller::Same } else { Caller::Other }
        }),
    }
}

#[cfg(test)]
mod tests;
