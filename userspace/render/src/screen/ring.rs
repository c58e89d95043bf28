//! A ring, entry by entry, brought to the width there is.
//!
//! ```text
//! entry   0    1    2    3    4    5    6    7
//!         .    #    #    #    =    =    .    .
//!              head           tail
//! ```
//! Completions wait from head up to tail; both wrap around. A request in flight has no entry yet: it takes the one at tail
//! when it completes (fs/aio.c:aio_complete), so those in flight are drawn after tail.

use aioinspect_model::picture::ContextView;

/// What a ring entry holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A completion that nobody reaped.
    Done,
    /// Nothing yet: the place of a request in flight.
    Flight,
    /// No completion, and none to come.
    Free,
    /// Not known: a number that it depends on is missing.
    Unknown,
}

/// What is known of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ring {
    /// How many there are, at least one.
    pub entries: u64,
    /// Where the next completion is reaped; `None` where unknown, or no entry of this ring.
    pub head: Option<u64>,
    /// Where the next completion goes, likewise.
    pub tail: Option<u64>,
    /// First entry and number of the completions; `None` if not known.
    pub done: Option<(u64, u64)>,
    /// The same of the requests in flight.
    pub flight: Option<(u64, u64)>,
}

/// A ring in as many cells as there are columns, or entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Band {
    /// What each cell shows.
    pub cells: Vec<Entry>,
    /// The cell that head is in.
    pub head: Option<usize>,
    /// The cell that tail is in.
    pub tail: Option<usize>,
    /// The most entries that one cell stands for.
    pub entries_a_cell: u64,
}

impl Ring {
    /// The ring of a context; `None` if not even its size is known.
    pub(crate) fn of(context: &ContextView) -> Option<Ring> {
        let entries = u64::from(context.nr_events.filter(|entries| *entries > 0)?);
        let inside = |claim: Option<u32>| claim.map(u64::from).filter(|entry| *entry < entries);
        let (head, tail) = (inside(context.head), inside(context.tail));
        let done = match (context.unreaped.map(u64::from), tail) {
            (Some(0), _) => Some((0, 0)),
            // Backwards from tail, so that what is drawn is what is counted, whatever head claims.
            (Some(done), Some(tail)) if done < entries => Some((before(tail, done, entries), done)),
            (Some(_) | None, _) => None,
        };
        let room = entries.saturating_sub(done.map_or(0, |(_, done)| done));
        let flight = match (context.in_flight.map(u64::from), tail) {
            (Some(0), _) => Some((0, 0)),
            (Some(flight), Some(tail)) => Some((tail, flight.min(room))),
            (Some(_), None) | (None, _) => None,
        };
        Some(Ring { entries, head, tail, done, flight })
    }

    /// How it looks in at most `width` cells.
    pub(crate) fn band(&self, width: usize) -> Band {
        let cells = u64::try_from(width).unwrap_or(u64::MAX).min(self.entries);
        let bound = |cell: u64| {
            let entry = u128::from(cell) * u128::from(self.entries) / u128::from(cells.max(1));
            u64::try_from(entry).unwrap_or(u64::MAX)
        };
        let counts: Vec<Counts> = (0..cells).map(|cell| self.count(bound(cell), bound(cell + 1))).collect();
        let mut shown: Vec<Entry> = counts.iter().map(|counts| self.most(*counts)).collect();
        show(Entry::Done, &mut shown, &counts);
        show(Entry::Flight, &mut shown, &counts);
        let cell_of = |entry: Option<u64>| {
            let entry = entry?;
            let cell = (0..cells).find(|cell| entry < bound(cell + 1))?;
            usize::try_from(cell).ok()
        };
        Band {
            cells: shown,
            head: cell_of(self.head),
            tail: cell_of(self.tail),
            entries_a_cell: self.entries.div_ceil(cells.max(1)),
        }
    }

    /// What is in the entries from `from` up to `to`.
    fn count(&self, from: u64, to: u64) -> Counts {
        let of = |arc: Option<(u64, u64)>| arc.map_or(0, |arc| overlap(arc, self.entries, from, to));
        Counts { all: to.saturating_sub(from), done: of(self.done), flight: of(self.flight) }
    }

    fn most(&self, counts: Counts) -> Entry {
        let rest = counts.all.saturating_sub(counts.done).saturating_sub(counts.flight);
        if counts.done > 0 && counts.done >= counts.flight.max(rest) {
            Entry::Done
        } else if counts.flight > 0 && counts.flight >= rest {
            Entry::Flight
        } else if self.done.is_some() && self.flight.is_some() {
            Entry::Free
        } else {
            Entry::Unknown
        }
    }
}

/// What the entries of one cell hold.
#[derive(Clone, Copy)]
struct Counts {
    all: u64,
    done: u64,
    flight: u64,
}

/// Few among many entries are seen all the same: the cell that has most of them shows them.
fn show(wanted: Entry, shown: &mut [Entry], counts: &[Counts]) {
    let of = |counts: &Counts| if wanted == Entry::Done { counts.done } else { counts.flight };
    if shown.contains(&wanted) {
        return;
    }
    let other = if wanted == Entry::Done { Entry::Flight } else { Entry::Done };
    let most =
        counts.iter().enumerate().filter(|(_, counts)| of(counts) > 0).max_by_key(|(_, counts)| of(counts));
    let Some((best, _)) = most else { return };
    // Not in the only cell that shows the other: completions go before it, requests in flight after it.
    let others = shown.iter().filter(|entry| **entry == other).count();
    let len = shown.len();
    let mut at = best;
    if others == 1 && shown.get(best) == Some(&other) && len > 1 {
        let step = if wanted == Entry::Done { len.saturating_sub(1) } else { 1 };
        at = best.saturating_add(step).checked_rem(len).unwrap_or(best);
    }
    if let Some(cell) = shown.get_mut(at) {
        *cell = wanted;
    }
}

/// The entry `count` places before `entry`.
fn before(entry: u64, count: u64, entries: u64) -> u64 {
    entry.saturating_add(entries).saturating_sub(count).checked_rem(entries).unwrap_or(0)
}

/// How many entries of an arc, which may wrap around, lie from `from` up to `to`.
fn overlap((start, len): (u64, u64), entries: u64, from: u64, to: u64) -> u64 {
    let end = start.saturating_add(len);
    let common = |start: u64, end: u64| end.min(to).saturating_sub(start.max(from));
    common(start, end.min(entries)).saturating_add(common(0, end.saturating_sub(entries)))
}

#[cfg(test)]
mod tests;
