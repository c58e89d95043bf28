//! Calls of io_submit, by process as the kernel counts them and by owner as metrics show them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::owner_sums::OwnerLabels;
use crate::picture::Owner;
use crate::series_limit::Admission;
use crate::units::Pid;

/// Nanoseconds of one clock tick as /proc counts them (USER_HZ = 100).
const TICK_NS: u64 = 10_000_000;

/// A process as it is told apart from those that had or will have its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Submitter {
    /// Its number in our PID namespace.
    pub pid: Pid,
    /// When it was started: nanoseconds after boot, time asleep included.
    pub start_boottime_ns: u64,
}

impl Submitter {
    /// The same in clock ticks, as /proc/PID/stat has it.
    pub fn start_ticks(self) -> u64 {
        self.start_boottime_ns / TICK_NS
    }
}

/// What the calls of one process came to.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SubmitCount {
    /// Its number in our PID namespace.
    pub pid: Pid,
    /// Its name at its last call.
    pub comm: Vec<u8>,
    /// When it was started: nanoseconds after boot, time asleep included.
    pub start_boottime_ns: u64,
    /// The same in clock ticks, as /proc/PID/stat has it.
    pub start_ticks: u64,
    /// Calls that returned.
    pub calls: u64,
    /// Calls that took fewer requests than were asked for, without an error.
    pub short: u64,
    /// Requests that were taken.
    pub requests: u64,
    /// Calls that failed, by errno, in its order.
    pub errors: Vec<(i32, u64)>,
    /// Who ran it at its last call; `None` if that was not told.
    pub owner: Option<Arc<Owner>>,
}

impl SubmitCount {
    /// Whose they are, as `Submits::forget` takes it.
    pub fn submitter(&self) -> Submitter {
        Submitter { pid: self.pid, start_boottime_ns: self.start_boottime_ns }
    }
}

/// The calls of one owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct OwnerSubmits {
    /// Calls of io_submit that returned.
    pub calls: u64,
    /// Calls that took fewer requests than they were given.
    pub short: u64,
}

/// The calls of all owners since the counting began. What was counted for a process that has ended stays with its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubmitSums {
    /// By owner.
    pub owners: BTreeMap<OwnerLabels, OwnerSubmits>,
    /// Calls that failed, by owner and errno.
    pub errors: BTreeMap<(OwnerLabels, i32), u64>,
    admission: Admission,
}

/// What tells apart the series of an owner.
#[derive(Hash)]
enum Series {
    Calls,
    Short,
    Errors(i32),
}

impl SubmitSums {
    /// Nothing yet. At most `limit` owners are told apart, the first that come.
    pub fn new(limit: usize) -> Self {
        Self { owners: BTreeMap::new(), errors: BTreeMap::new(), admission: Admission::of(limit) }
    }

    /// How many series are missing because their owners are counted as others.
    pub fn missing(&self) -> usize {
        self.admission.missing()
    }

    /// Adds what a process did since the last time.
    pub fn add(&mut self, key: OwnerLabels, more: &SubmitCount, before: Option<&SubmitCount>) {
        let errors = more.errors.iter().map(|(errno, _)| Series::Errors(*errno));
        let series: Vec<Series> = [Series::Calls, Series::Short].into_iter().chain(errors).collect();
        let key = self.admission.admit(key, &series);
        let since = |now: u64, read: fn(&SubmitCount) -> u64| now.saturating_sub(before.map_or(0, read));
        let owner = self.owners.entry(key.clone()).or_default();
        owner.calls = owner.calls.saturating_add(since(more.calls, |of| of.calls));
        owner.short = owner.short.saturating_add(since(more.short, |of| of.short));
        for (errno, count) in &more.errors {
            let old = before.and_then(|of| of.errors.iter().find(|(other, _)| other == errno));
            let new = count.saturating_sub(old.map_or(0, |(_, count)| *count));
            let errors = self.errors.entry((key.clone(), *errno)).or_default();
            *errors = errors.saturating_add(new);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that only what is new is added, and that a further owner is counted with the others.
    #[test]
    fn adds_what_is_new() {
        let key = |comm: &str| OwnerLabels { comm: comm.as_bytes().to_vec(), ..OwnerLabels::default() };
        let first = SubmitCount { calls: 5, short: 1, errors: vec![(22, 2)], ..SubmitCount::default() };
        let then =
            SubmitCount { calls: 8, short: 1, errors: vec![(22, 3), (9, 1)], ..SubmitCount::default() };
        let mut sums = SubmitSums::new(1);
        sums.add(key("a"), &first, None);
        sums.add(key("a"), &then, Some(&first));
        assert_eq!(sums.owners[&key("a")], OwnerSubmits { calls: 8, short: 1 });
        assert_eq!(sums.errors[&(key("a"), 22)], 3);
        assert_eq!(sums.errors[&(key("a"), 9)], 1);
        for _ in 0..2 {
            // Two processes of one owner.
            sums.add(key("b"), &first, None);
        }
        // Its calls, its short ones, and its errors of one kind.
        assert_eq!((sums.owners[&OwnerLabels::other()].calls, sums.missing()), (10, 3));
    }
}
