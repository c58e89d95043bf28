//! Counts of what happened since the start: calls of io_setup by how they ended, and the failures by owner.

use std::collections::BTreeMap;

use super::errno;
use super::event::{Event, Timed};
use super::picture::Owner;
use super::shares::ShareKey;
use super::units::Pid;

const EAGAIN: i32 = 11;

/// How a call of io_setup ended, as the label `result` has it: each of them is there from the start, so that the first failure is an
/// increase.
pub const RESULTS: [&str; 6] = ["ok", "EAGAIN", "EINVAL", "ENOMEM", "EFAULT", OTHER];
const OTHER: &str = "other";

/// The failures of one owner with one errno.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failures {
    /// How many.
    pub count: u64,
    /// The process of the last one.
    pub pid: Pid,
    /// When that was, nanoseconds since 1970.
    pub unix_ns: u64,
}

/// The counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    calls: [u64; RESULTS.len()],
    /// Failed calls by owner and errno.
    pub failures: BTreeMap<(ShareKey, i32), Failures>,
    /// Slots that were asked for and refused with EAGAIN.
    pub rejected_events: u64,
    /// Events that were not seen.
    pub lost: u64,
    /// Owners beyond the limit whose failures were counted as those of `other`: calls, not owners.
    pub folded_failures: u64,
    limit: usize,
    by_process: bool,
}

impl Tally {
    /// Nothing yet. At most `limit` owners are told apart, the first that come; `by_process`: each process for itself.
    pub fn new(limit: usize, by_process: bool) -> Self {
        Self {
            calls: [0; RESULTS.len()],
            failures: BTreeMap::new(),
            rejected_events: 0,
            lost: 0,
            folded_failures: 0,
            limit,
            by_process,
        }
    }

    /// Counts one event. `owner`: who runs the process that did it, where that could still be found out.
    pub fn count(&mut self, timed: &Timed, owner: Owner) {
        match &timed.event {
            Event::Setup { .. } => self.call("ok"),
            Event::SetupFailed { by, failure } => {
                self.call(&errno::name(failure.errno));
                if failure.errno == EAGAIN {
                    self.rejected_events = self.rejected_events.saturating_add(failure.requested.into());
                }
                let pid = self.by_process.then_some(by.pid);
                let key = self.key(ShareKey { owner, comm: by.comm.clone(), pid }, failure.errno);
                let last = Failures { count: 0, pid: by.pid, unix_ns: timed.unix_ns };
                let failures = self.failures.entry((key, failure.errno)).or_insert(last);
                *failures = Failures { count: failures.count.saturating_add(1), ..last };
            }
            Event::Lost { count } => self.lost = self.lost.saturating_add(*count),
            Event::Existing { .. }
            | Event::Destroy { .. }
            | Event::Exec { .. }
            | Event::Exit { .. }
            | Event::Healed { .. } => {}
        }
    }

    /// Calls of io_setup by how they ended, each of [`RESULTS`].
    pub fn calls(&self) -> impl Iterator<Item = (&'static str, u64)> {
        RESULTS.into_iter().zip(self.calls)
    }

    fn call(&mut self, result: &str) {
        let known = RESULTS.iter().position(|name| *name == result);
        let place = known.or_else(|| RESULTS.iter().position(|name| *name == OTHER));
        if let Some(count) = place.and_then(|place| self.calls.get_mut(place)) {
            *count = count.saturating_add(1);
        }
    }

    /// The owner itself while there is room, else the one for all others: what was counted once must not be counted elsewhere later,
    /// so the first ones stay.
    fn key(&mut self, key: ShareKey, errno: i32) -> ShareKey {
        if self.failures.contains_key(&(key.clone(), errno)) || self.failures.len() < self.limit {
            return key;
        }
        self.folded_failures = self.folded_failures.saturating_add(1);
        ShareKey::other()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{Actor, Failure};
    use crate::model::units::{ContextId, Instant, Tid};

    fn by(pid: u32, comm: &str) -> Actor {
        Actor { pid: Pid(pid), tid: Tid(pid), comm: comm.as_bytes().to_vec() }
    }

    fn failed(pid: u32, comm: &str, errno: i32) -> Timed {
        let failure = Failure { errno, requested: 10, ..Failure::default() };
        timed(Event::SetupFailed { by: by(pid, comm), failure })
    }

    fn timed(event: Event) -> Timed {
        Timed { at: Instant(0), unix_ns: 5, event }
    }

    fn calls(tally: &Tally) -> Vec<u64> {
        tally.calls().map(|(_, count)| count).collect()
    }

    /// Check that each end of a call is counted under its name, and an errno without one as `other`.
    #[test]
    fn results() {
        let mut tally = Tally::new(9, false);
        let setup = Event::Setup { by: by(1, "a"), context: ContextId(1), max_reqs: 1 };
        tally.count(&timed(setup), Owner::default());
        for errno in [11, 11, 22, 12, 14, 38, -1] {
            tally.count(&failed(1, "a", errno), Owner::default());
        }
        tally.count(&timed(Event::Lost { count: 7 }), Owner::default());
        tally.count(&timed(Event::Healed { count: 7 }), Owner::default());
        assert_eq!(calls(&tally), [1, 2, 1, 1, 1, 2]);
        assert_eq!((tally.rejected_events, tally.lost), (20, 7));
    }

    /// Check that failures are told apart by owner and errno, and that a new owner beyond the limit is counted with the others while the
    /// ones that are there go on.
    #[test]
    fn the_limit() {
        let mut tally = Tally::new(2, false);
        for (pid, comm) in [(1, "a"), (2, "b"), (3, "c"), (4, "a"), (5, "d")] {
            tally.count(&failed(pid, comm, 11), Owner::default());
        }
        let counts: Vec<(String, u64, u32)> = tally
            .failures
            .iter()
            .map(|((key, _), of)| (String::from_utf8_lossy(&key.comm).into_owned(), of.count, of.pid.0))
            .collect();
        assert_eq!(counts, [("a".into(), 2, 4), ("b".into(), 1, 2), ("other".into(), 2, 5)]);
        assert_eq!(tally.folded_failures, 2);
    }

    /// Check that processes are told apart only if that is asked for.
    #[test]
    fn by_process() {
        for (by_process, series) in [(false, 1), (true, 2)] {
            let mut tally = Tally::new(9, by_process);
            tally.count(&failed(1, "a", 11), Owner::default());
            tally.count(&failed(2, "a", 11), Owner::default());
            assert_eq!(tally.failures.len(), series);
        }
    }
}
