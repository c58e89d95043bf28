//! What was reserved over the last hours, and what failed: samples folded into cells of time, bounded in number.
//!
//! Pure: every time is handed in. The last hour has a cell for each ten seconds, the five hours before it one for each
//! minute. What is measured (reserved, limit) is of the fullest moment of a cell, so that a limit that was reached for a second
//! stays seen when cells are thinned; the owners are of the fullest moment of those that somebody looked at. What is counted (failures) is added up: no failure is lost by thinning.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Arc;

const SECOND: u64 = 1_000_000_000;
/// A cell of the last hour.
pub const FINE_NS: u64 = 10 * SECOND;
/// An older cell.
pub const COARSE_NS: u64 = 60 * SECOND;
/// For how long cells are fine.
pub const FINE_FOR_NS: u64 = 3600 * SECOND;
/// For how long anything is kept.
pub const KEPT_NS: u64 = 6 * FINE_FOR_NS;
/// Owners that a cell tells apart: those with the most slots. The rest is one sum.
pub const MOST_OWNERS: usize = 12;
/// Bytes of a name; an owner whose name is longer is summed with the rest.
const LONGEST_NAME: usize = 512;
/// For how long owners are taken to reserve what they did, while fs.aio-nr does not change.
const HOLDERS_FOR_NS: u64 = 120 * SECOND;

/// Who reserved how many slots at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Holders {
    owners: Vec<(Arc<str>, u64)>,
    others: u64,
}

impl Holders {
    /// Keeps the owners of the most slots, [`MOST_OWNERS`] at most; equal ones by name. No name may be given twice.
    pub fn new(all: impl IntoIterator<Item = (String, u64)>) -> Self {
        let mut all: Vec<(String, u64)> = all.into_iter().filter(|(_, slots)| *slots > 0).collect();
        all.sort_by(|(one, a), (other, b)| Reverse(a).cmp(&Reverse(b)).then_with(|| one.cmp(other)));
        let mut holders = Holders::default();
        for (name, slots) in all {
            if holders.owners.len() < MOST_OWNERS && name.len() <= LONGEST_NAME {
                holders.owners.push((name.into(), slots));
            } else {
                holders.others = holders.others.saturating_add(slots);
            }
        }
        holders
    }

    /// The owners that are told apart, the largest first.
    pub fn owners(&self) -> impl Iterator<Item = (&str, u64)> {
        self.owners.iter().map(|(name, slots)| (&**name, *slots))
    }

    /// What this owner reserved; 0 if it is not told apart.
    pub fn of(&self, name: &str) -> u64 {
        self.owners().find(|(of, _)| *of == name).map_or(0, |(_, slots)| slots)
    }

    /// What all other owners reserved.
    pub fn others(&self) -> u64 {
        self.others
    }

    /// What all owners reserved together.
    pub fn sum(&self) -> u64 {
        self.owners().fold(self.others, |sum, (_, slots)| sum.saturating_add(slots))
    }
}

/// What was measured at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// fs.aio-nr.
    pub reserved: u64,
    /// fs.aio-max-nr.
    pub limit: u64,
    /// By whom, as far as that is known; `None`: nobody looked.
    pub holders: Option<Arc<Holders>>,
    /// How many of `reserved` came after the look that `holders` are of: whose they are is not known. All, if nobody looked.
    pub unknown: u64,
}

impl Moment {
    /// How much was reserved when somebody looked by whom.
    fn looked(&self) -> Option<u64> {
        self.holders.as_ref().map(|_| self.reserved.saturating_sub(self.unknown))
    }

    /// What was reserved when somebody looked, and was found at nobody.
    pub fn unattributed(&self) -> Option<u64> {
        Some(self.looked()?.saturating_sub(self.holders.as_ref()?.sum()))
    }

    /// The fuller of two, of equal ones the later; by whom: as the fuller of those says that somebody looked at.
    fn or_fuller(self, later: Moment) -> Moment {
        let looked_at = if self.looked() > later.looked() { &self } else { &later };
        let (holders, looked) = (looked_at.holders.clone(), looked_at.looked());
        let fuller = if self.reserved > later.reserved { self } else { later };
        let unknown = fuller.reserved.saturating_sub(looked.unwrap_or(0));
        Moment { holders, unknown, ..fuller }
    }
}

/// A stretch of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Its beginning, nanoseconds since 1970.
    pub from_ns: u64,
    /// Its length.
    pub step_ns: u64,
    /// Its fullest moment; `None`: nothing was measured.
    pub moment: Option<Moment>,
    /// Calls of io_setup that failed in it.
    pub failures: u64,
}

impl Cell {
    fn end_ns(&self) -> u64 {
        self.from_ns.saturating_add(self.step_ns)
    }

    fn merge(&mut self, later: Cell) {
        self.failures = self.failures.saturating_add(later.failures);
        self.moment = match (self.moment.take(), later.moment) {
            (Some(one), Some(other)) => Some(one.or_fuller(other)),
            (one, other) => one.or(other),
        };
    }
}

/// A column of a picture of the history.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Column {
    /// The fullest moment in it; `None`: not known.
    pub moment: Option<Moment>,
    /// Calls of io_setup that failed in it.
    pub failures: u64,
}

/// What was found when owners were looked at.
#[derive(Clone, Debug)]
struct Look {
    at_ns: u64,
    reserved: u64,
    /// `None`: not everybody's slots could be read.
    holders: Option<Arc<Holders>>,
}

/// The last hours.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// In order, without overlaps; between them nothing is known.
    cells: VecDeque<Cell>,
    newest_ns: u64,
    /// What was measured last, and when.
    latest: Option<(u64, Moment)>,
    /// The last time that owners were looked at.
    looked: Option<Look>,
}

impl History {
    /// Adds what was measured at a moment at which nobody looked by whom: while as much is reserved as at the last look, it is by
    /// the same owners. If the clock was set back, what lies in the future now is forgotten.
    pub fn observe(&mut self, now_ns: u64, reserved: u64, limit: u64) {
        if now_ns < self.newest_ns {
            self.cells.retain(|cell| cell.from_ns <= now_ns);
            self.looked = self.looked.take().filter(|look| look.at_ns <= now_ns);
            self.newest_ns = now_ns;
        }
        let same =
            |look: &&Look| look.reserved == reserved && now_ns.saturating_sub(look.at_ns) <= HOLDERS_FOR_NS;
        let holders = self.looked.as_ref().filter(same).and_then(|look| look.holders.clone());
        let unknown = if holders.is_some() { 0 } else { reserved };
        let moment = Moment { reserved, limit, holders, unknown };
        self.latest = Some((now_ns, moment.clone()));
        self.add(Cell { from_ns: now_ns, step_ns: FINE_NS, moment: Some(moment), failures: 0 });
    }

    /// The same of a moment at which somebody looked by whom: `None` if it cannot be told.
    pub fn look(&mut self, now_ns: u64, reserved: u64, limit: u64, holders: Option<Holders>) {
        let holders = holders.map(|holders| self.shared(holders));
        self.looked = Some(Look { at_ns: now_ns, reserved, holders });
        self.observe(now_ns, reserved, limit);
    }

    /// Counts a call of io_setup that failed.
    pub fn failed(&mut self, at_ns: u64) {
        self.add(Cell { from_ns: at_ns, step_ns: FINE_NS, moment: None, failures: 1 });
    }

    /// Whether owners should be looked at: what is reserved changed since the last look, and that is `least_ns` ago; or it is
    /// `most_ns` ago.
    pub fn wants_look(&self, now_ns: u64, reserved: u64, least_ns: u64, most_ns: u64) -> bool {
        self.looked.as_ref().is_none_or(|look| {
            let ago = now_ns.saturating_sub(look.at_ns);
            ago >= most_ns || (look.reserved != reserved && ago >= least_ns)
        })
    }

    /// What is kept, in order.
    pub fn cells(&self) -> impl Iterator<Item = &Cell> {
        self.cells.iter()
    }

    /// How it is now: what was measured last, no longer than `hold_ns` ago. Where nobody looked by whom that is, it is the newest
    /// cell's moment.
    pub fn now(&self, now_ns: u64, hold_ns: u64) -> Option<&Moment> {
        let since_ns = now_ns.saturating_sub(hold_ns);
        let (_, latest) = self.latest.as_ref().filter(|(at, _)| (since_ns..=now_ns).contains(at))?;
        if latest.holders.is_some() {
            return Some(latest);
        }
        let mut newest = self.cells.iter().rev().filter(|cell| cell.from_ns <= now_ns);
        newest.find_map(|cell| cell.moment.as_ref()).or(Some(latest))
    }

    /// The beginning of what is kept.
    pub fn since_ns(&self) -> Option<u64> {
        self.cells.front().map(|cell| cell.from_ns)
    }

    /// So many columns of this length, the last with `now_ns` in it. Where nothing was measured, what was measured before holds for `hold_ns`.
    pub fn columns(&self, now_ns: u64, step_ns: u64, count: usize, hold_ns: u64) -> Vec<Column> {
        let step = step_ns.max(1);
        let end = (now_ns / step).saturating_add(1).saturating_mul(step);
        let wide = u64::try_from(count).unwrap_or(u64::MAX).saturating_mul(step);
        let mut columns = vec![Column::default(); count];
        // Places are counted from before 1970 where the columns reach back so far.
        let place = |at: u64| {
            let before_end = end.saturating_sub(at).min(wide).div_ceil(step);
            count.saturating_sub(usize::try_from(before_end).unwrap_or(count))
        };
        for (at, cell) in self.cells.iter().enumerate() {
            if cell.from_ns > now_ns || end.saturating_sub(cell.end_ns()) >= wide {
                continue;
            }
            if end.saturating_sub(cell.from_ns) <= wide
                && let Some(column) = columns.get_mut(place(cell.from_ns))
            {
                column.failures = column.failures.saturating_add(cell.failures);
            }
            let Some(moment) = &cell.moment else { continue };
            let next = self.cells.iter().skip(at.saturating_add(1)).find(|cell| cell.moment.is_some());
            let held = cell.end_ns().saturating_add(hold_ns);
            let until = next.map_or(held, |next| held.min(next.from_ns)).max(cell.end_ns()).min(end);
            let first = place(cell.from_ns);
            let own = place(cell.end_ns().min(end).saturating_sub(1));
            let last = place(until.saturating_sub(1));
            for (nth, column) in columns.iter_mut().enumerate().take(last.saturating_add(1)).skip(first) {
                column.moment = match column.moment.take() {
                    // What is only held gives way to what was measured, and is fullest by nothing.
                    Some(known) if nth > own => Some(known),
                    Some(known) => Some(known.or_fuller(moment.clone())),
                    None => Some(moment.clone()),
                };
            }
        }
        columns
    }

    /// The same holders and names as before are not kept twice.
    fn shared(&self, mut holders: Holders) -> Arc<Holders> {
        let before = self.looked.as_ref().and_then(|look| look.holders.as_ref());
        let Some(before) = before else { return Arc::new(holders) };
        if **before == holders {
            return Arc::clone(before);
        }
        for (name, _) in &mut holders.owners {
            if let Some((known, _)) = before.owners.iter().find(|(known, _)| known == name) {
                *name = Arc::clone(known);
            }
        }
        Arc::new(holders)
    }

    /// Adds what is of one moment to the cell that has it.
    fn add(&mut self, mut one: Cell) {
        let at = one.from_ns;
        self.newest_ns = self.newest_ns.max(at);
        if at < self.newest_ns.saturating_sub(KEPT_NS) {
            return;
        }
        let place = self.cells.partition_point(|cell| cell.end_ns() <= at);
        if let Some(cell) = self.cells.get_mut(place).filter(|cell| cell.from_ns <= at) {
            return cell.merge(one);
        }
        one.from_ns = start(at, FINE_NS);
        self.cells.insert(place, one);
        self.thin();
    }

    /// Makes one cell of those of a whole minute that are old, and forgets what is older still.
    fn thin(&mut self) {
        let oldest = self.newest_ns.saturating_sub(KEPT_NS);
        let mut thinned: VecDeque<Cell> = VecDeque::with_capacity(self.cells.len());
        for mut cell in self.cells.drain(..) {
            if cell.end_ns() <= oldest {
                continue;
            }
            let minute = start(cell.from_ns, COARSE_NS);
            let over = minute.saturating_add(COARSE_NS).saturating_add(FINE_FOR_NS);
            if over <= self.newest_ns {
                (cell.from_ns, cell.step_ns) = (minute, COARSE_NS);
            }
            match thinned.back_mut() {
                Some(last) if last.end_ns() > cell.from_ns => last.merge(cell),
                _ => thinned.push_back(cell),
            }
        }
        self.cells = thinned;
    }
}

/// The beginning of the step that a time is in.
fn start(at_ns: u64, step_ns: u64) -> u64 {
    at_ns.saturating_sub(at_ns.checked_rem(step_ns).unwrap_or(0))
}

#[cfg(test)]
mod tests;
