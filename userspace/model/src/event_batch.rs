//! Events that are gathered to be written together: a program that retries in a loop must not fill a disk.
//!
//! A failure of io_setup that a process repeats within one batch stands by itself a few times; after that it is counted in the last of them.

use std::collections::BTreeMap;

use crate::event::{Event, Timed};
use crate::failure_fold::{Kind, kind};
use crate::units::Pid;

/// How many failures of one process and kind stand by themselves in a batch.
pub const BY_THEMSELVES: usize = 4;
/// Kinds that are told apart in a batch; those beyond stand by themselves.
const MOST_KINDS: usize = 1024;

/// Events, oldest first.
#[derive(Clone, Debug, Default)]
pub struct EventBatch {
    events: Vec<Timed>,
    /// How many there are of each kind of failure, and where the last is.
    failures: BTreeMap<(Pid, u32, Kind), (usize, usize)>,
}

impl EventBatch {
    /// Adds an event at the end.
    pub fn add(&mut self, timed: &Timed) {
        if let Event::SetupFailed { by, failure } = &timed.event
            && let Some((kind, count)) = kind(&timed.event)
        {
            let key = (by.pid, failure.requested, kind);
            let next = self.events.len();
            if let Some((seen, last)) = self.failures.get_mut(&key) {
                if *seen >= BY_THEMSELVES {
                    if let Some(Event::SetupFailed { failure, .. }) =
                        self.events.get_mut(*last).map(|last| &mut last.event)
                    {
                        failure.more = failure.more.saturating_add(count);
                    }
                    return;
                }
                (*seen, *last) = (seen.saturating_add(1), next);
            } else if self.failures.len() < MOST_KINDS {
                self.failures.insert(key, (1, next));
            }
        }
        self.events.push(timed.clone());
    }

    /// How many events are to be written.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Takes all of them out.
    pub fn take(&mut self) -> Vec<Timed> {
        self.failures.clear();
        std::mem::take(&mut self.events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Actor, Failure};
    use crate::units::{ContextId, Instant, Tid};

    fn event(nth: u64, pid: u32, requested: Option<u32>) -> Timed {
        let by = Actor { pid: Pid(pid), tid: Tid(pid), comm: b"db".to_vec(), owner: None };
        let event = match requested {
            Some(requested) => {
                Event::SetupFailed { by, failure: Failure { errno: 11, requested, ..Failure::default() } }
            }
            None => Event::Setup { by, context: ContextId(nth), max_reqs: 1 },
        };
        Timed { at: Instant(nth), unix_ns: nth, event }
    }

    /// Check that a storm of failures takes a few events, that none is uncounted, and that other events, other processes and other requests stay apart.
    #[test]
    fn a_storm() {
        let mut batch = EventBatch::default();
        for nth in 0..10_000 {
            batch.add(&event(nth, 1, Some(5)));
        }
        batch.add(&event(10_000, 2, Some(5)));
        batch.add(&event(10_001, 1, Some(6)));
        batch.add(&event(10_002, 1, None));
        assert_eq!((batch.len(), batch.is_empty()), (BY_THEMSELVES + 3, false));
        let events = batch.take();
        let of = |event: &&Timed| matches!(&event.event, Event::SetupFailed { by, failure } if by.pid == Pid(1) && failure.requested == 5);
        let stand_for: Vec<u64> = events.iter().filter(of).map(|timed| timed.event.stands_for()).collect();
        assert_eq!(stand_for, [1, 1, 1, 9_997]);
        assert!(events.is_sorted_by_key(|timed| timed.at));
        // The next batch begins anew.
        batch.add(&event(10_003, 1, Some(5)));
        assert_eq!(batch.take()[0].event.stands_for(), 1);
        for pid in 0..3_000 {
            batch.add(&event(u64::from(pid), pid, Some(5)));
            batch.add(&event(u64::from(pid), pid, Some(5)));
        }
        assert_eq!(batch.len(), 6_000);
    }
}
