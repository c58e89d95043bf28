//! Counts of what happened since the start: calls of io_setup by how they ended, and the failures by owner.

use std::collections::BTreeMap;

use crate::errno;
use crate::event::{Event, Timed};
use crate::owner_sums::OwnerLabels;
use crate::series_limit::Admission;
use crate::units::Pid;

const EAGAIN: i32 = 11;

/// How a call of io_setup ended, as the label `result` has it: each of them is there from the start, so that the first failure is an
/// increase.
pub const RESULTS: [&str; 6] = ["ok", "EAGAIN", "EINVAL", "ENOMEM", "EFAULT", OTHER];
const OTHER: &str = "other";

/// The failures of one owner with one errno.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failures {
    /// How often it happened since the start.
    pub count: u64,
    /// The process of the last one.
    pub pid: Pid,
    /// When that was, nanoseconds since 1970.
    pub unix_ns: u64,
}

/// Calls of io_setup by result, and its failures by owner, since the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallCounts {
    calls: [u64; RESULTS.len()],
    /// Failed calls by owner and errno.
    pub failures: BTreeMap<(OwnerLabels, i32), Failures>,
    /// Slots that were asked for and refused with EAGAIN.
    pub rejected_events: u64,
    /// Events that were not seen.
    pub lost: u64,
    admission: Admission,
    by_process: bool,
}

impl CallCounts {
    /// Nothing yet. At most `limit` owners are told apart, the first that come; `by_process`: each process for itself.
    pub fn new(limit: usize, by_process: bool) -> Self {
        Self {
            calls: [0; RESULTS.len()],
            failures: BTreeMap::new(),
            rejected_events: 0,
            lost: 0,
            admission: Admission::of(limit),
            by_process,
        }
    }

    /// Counts one event.
    pub fn count(&mut self, timed: &Timed) {
        match &timed.event {
            Event::Setup { .. } => self.call("ok"),
            Event::SetupFailed { by, failure } => {
                self.call(&errno::name(failure.errno));
                if failure.errno == EAGAIN {
                    self.rejected_events = self.rejected_events.saturating_add(failure.requested.into());
                }
                let pid = self.by_process.then_some(by.pid);
                let owner = by.owner.as_deref().cloned().unwrap_or_default();
                let key = OwnerLabels { owner, comm: by.comm.clone(), pid };
                let key = self.admission.admit(key, &[failure.errno]);
                let last = Failures { count: 0, pid: by.pid, unix_ns: timed.unix_ns };
                let failures = self.failures.entry((key, failure.errno)).or_insert(last);
                *failures = Failures { count: failures.count.saturating_add(1), ..last };
            }
            Event::Lost { count } => self.lost = self.lost.saturating_add(*count),
            Event::Existing { .. }
            | Event::SubmitFailed { .. }
            | Event::Destroy { .. }
            | Event::Exec { .. }
            | Event::Exit { .. }
            | Event::Dying { .. }
            | Event::Gone { .. }
            | Event::Healed { .. }
            | Event::Growth { .. } => {}
        }
    }

    /// Calls of io_setup by how they ended, each of [`RESULTS`].
    pub fn calls(&self) -> impl Iterator<Item = (&'static str, u64)> {
        RESULTS.into_iter().zip(self.calls)
    }

    /// How many series of failures are missing because their owners are counted as others.
    pub fn missing(&self) -> usize {
        self.admission.missing()
    }

    fn call(&mut self, result: &str) {
        let known = RESULTS.iter().position(|name| *name == result);
        let place = known.or_else(|| RESULTS.iter().position(|name| *name == OTHER));
        if let Some(count) = place.and_then(|place| self.calls.get_mut(place)) {
            *count = count.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Actor, Failure};
    use crate::units::{ContextId, Instant, Tid};

    fn by(pid: u32, comm: &str) -> Actor {
        Actor { pid: Pid(pid), tid: Tid(pid), comm: comm.as_bytes().to_vec(), owner: None }
    }

    fn failed(pid: u32, comm: &str, errno: i32) -> Timed {
        let failure = Failure { errno, requested: 10, ..Failure::default() };
        timed(Event::SetupFailed { by: by(pid, comm), failure })
    }

    fn timed(event: Event) -> Timed {
        Timed { at: Instant(0), unix_ns: 5, event }
    }

    fn calls(call_counts: &CallCounts) -> Vec<u64> {
        call_counts.calls().map(|(_, count)| count).collect()
    }

    /// Check that each end of a call is counted under its name, and an errno without one as `other`.
    #[test]
    fn results() {
        let mut call_counts = CallCounts::new(9, false);
        let setup = Event::Setup { by: by(1, "a"), context: ContextId(1), max_reqs: 1 };
        call_counts.count(&timed(setup));
        for errno in [11, 11, 22, 12, 14, 38, -1] {
            call_counts.count(&failed(1, "a", errno));
        }
        call_counts.count(&timed(Event::Lost { count: 7 }));
        call_counts.count(&timed(Event::Healed { count: 7 }));
        assert_eq!(calls(&call_counts), [1, 2, 1, 1, 1, 2]);
        assert_eq!((call_counts.rejected_events, call_counts.lost), (20, 7));
    }

    /// Check that failures are told apart by owner and errno, and that a new owner beyond the limit is counted with the others while the
    /// ones that are there go on.
    #[test]
    fn the_limit() {
        let mut call_counts = CallCounts::new(2, false);
        for (pid, comm) in [(1, "a"), (2, "b"), (3, "c"), (4, "a"), (5, "d")] {
            call_counts.count(&failed(pid, comm, 11));
        }
        let counts: Vec<(String, u64, u32)> = call_counts
            .failures
            .iter()
            .map(|((key, _), of)| (String::from_utf8_lossy(&key.comm).into_owned(), of.count, of.pid.0))
            .collect();
        assert_eq!(counts, [("a".into(), 2, 4), ("b".into(), 1, 2), ("other".into(), 2, 5)]);
        assert_eq!(call_counts.missing(), 2);
    }

    /// Check that of a thousand names the first hundred have series and the rest is counted, each series of it once.
    #[test]
    fn a_thousand_names() {
        let mut call_counts = CallCounts::new(100, false);
        for round in 0..2 {
            for name in 0..1000 {
                call_counts.count(&failed(name, &format!("name-{name}"), 11));
                assert_eq!(
                    call_counts.missing(),
                    if round == 0 { (name as usize + 1).saturating_sub(100) } else { 900 }
                );
            }
        }
        assert_eq!(call_counts.failures.len(), 101);
        assert_eq!(call_counts.failures[&(OwnerLabels::other(), 11)].count, 1800);
        assert_eq!(call_counts.failures.values().map(|of| of.count).sum::<u64>(), 2000);
    }

    /// Check that processes are told apart only if that is asked for.
    #[test]
    fn by_process() {
        for (by_process, series) in [(false, 1), (true, 2)] {
            let mut call_counts = CallCounts::new(9, by_process);
            call_counts.count(&failed(1, "a", 11));
            call_counts.count(&failed(2, "a", 11));
            assert_eq!(call_counts.failures.len(), series);
        }
    }
}
