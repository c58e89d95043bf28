//! The last events, as a feed shows them: a row each, but for failures that repeat, which are one row with their number.

use std::collections::VecDeque;

use crate::event::Timed;
use crate::failure_fold::{Kind, kind};

/// A row of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// The event; of failures that repeat, the last.
    pub timed: Timed,
    /// How many calls failed so; 1 of any other event.
    pub count: u64,
    kind: Option<Kind>,
}

/// The last rows, oldest first.
#[derive(Clone, Debug, Default)]
pub struct EventRows {
    rows: VecDeque<EventRow>,
}

impl EventRows {
    /// Adds an event at the end: a failure takes the place of one of its kind, which is seen there no more. At most `most` rows stay.
    pub fn push(&mut self, timed: Timed, most: usize) {
        let (kind, count) = kind(&timed.event).unzip();
        self.put(EventRow { timed, count: count.unwrap_or(1), kind }, most);
    }

    /// Adds rows that were kept apart for a while.
    pub fn append(&mut self, newer: EventRows, most: usize) {
        for row in newer.rows {
            self.put(row, most);
        }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &EventRow> + ExactSizeIterator {
        self.rows.iter()
    }

    fn put(&mut self, mut row: EventRow, most: usize) {
        // A failure that repeats is among the last.
        let same = |other: &EventRow| row.kind.is_some() && other.kind == row.kind;
        if let Some(older) = self.rows.iter().rposition(same).and_then(|at| self.rows.remove(at)) {
            row.count = row.count.saturating_add(older.count);
        }
        self.rows.push_back(row);
        let excess = self.rows.len().saturating_sub(most);
        self.rows.drain(..excess);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Actor, Event, Failure};
    use crate::units::{Instant, Pid};

    fn timed(at: u64, event: Event) -> Timed {
        Timed { at: Instant(at), unix_ns: at, event }
    }

    fn failed(at: u64, comm: &str, errno: i32) -> Timed {
        let by = Actor { pid: Pid(1), comm: comm.as_bytes().to_vec(), ..Actor::default() };
        timed(at, Event::SetupFailed { by, failure: Failure { errno, ..Failure::default() } })
    }

    fn said(rows: &EventRows) -> Vec<(u64, u64)> {
        rows.iter().map(|row| (row.timed.unix_ns, row.count)).collect()
    }

    /// Check that failures of one kind are one row, at the place of the last one, that nothing else is joined, and that rows are bounded.
    #[test]
    fn one_row_a_kind() {
        let mut rows = EventRows::default();
        assert!(rows.is_empty());
        rows.push(failed(1, "a", 11), 3);
        rows.push(timed(2, Event::Lost { count: 5 }), 3);
        rows.push(failed(3, "a", 11), 3);
        assert_eq!(said(&rows), [(2, 1), (3, 2)]);
        let mut newer = EventRows::default();
        newer.push(failed(4, "b", 11), 3);
        newer.push(failed(5, "a", 11), 3);
        rows.append(newer, 3);
        assert_eq!((said(&rows), rows.len()), (vec![(2, 1), (4, 1), (5, 3)], 3));
        rows.push(failed(6, "a", 22), 3);
        rows.push(timed(7, Event::Lost { count: 5 }), 3);
        assert_eq!(said(&rows), [(5, 3), (6, 1), (7, 1)]);
    }
}
