//! Calls of io_submit, by process as the kernel counts them and by owner as metrics show them.

use std::collections::{BTreeMap, BTreeSet};

use super::shares::ShareKey;
use super::units::Pid;

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
    /// Calls.
    pub calls: u64,
    /// Calls that took fewer requests than they were given.
    pub short: u64,
}

/// The calls of all owners since the counting began. What was counted for a process that has ended stays with its owner.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SubmitSums {
    /// By owner.
    pub owners: BTreeMap<ShareKey, OwnerSubmits>,
    /// Calls that failed, by owner and errno.
    pub errors: BTreeMap<(ShareKey, i32), u64>,
    /// Owners that are counted as others, as many as are remembered.
    folded: BTreeSet<ShareKey>,
}

/// Owners beyond the limit that are remembered, to be counted once each.
const FOLDED: usize = 4096;

impl SubmitSums {
    /// How many owners are counted as others.
    pub fn folded(&self) -> usize {
        self.folded.len()
    }

    /// Adds what a process did since the last time. At most `limit` owners are told apart, the first that come.
    pub fn add(&mut self, key: ShareKey, more: &SubmitCount, before: Option<&SubmitCount>, limit: usize) {
        let key = if self.owners.contains_key(&key) || self.owners.len() < limit {
            key
        } else {
            if self.folded.len() < FOLDED {
                self.folded.insert(key);
            }
            ShareKey::other()
        };
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
        let key = |comm: &str| ShareKey { comm: comm.as_bytes().to_vec(), ..ShareKey::default() };
        let first = SubmitCount { calls: 5, short: 1, errors: vec![(22, 2)], ..SubmitCount::default() };
        let then =
            SubmitCount { calls: 8, short: 1, errors: vec![(22, 3), (9, 1)], ..SubmitCount::default() };
        let mut sums = SubmitSums::default();
        sums.add(key("a"), &first, None, 1);
        sums.add(key("a"), &then, Some(&first), 1);
        assert_eq!(sums.owners[&key("a")], OwnerSubmits { calls: 8, short: 1 });
        assert_eq!(sums.errors[&(key("a"), 22)], 3);
        assert_eq!(sums.errors[&(key("a"), 9)], 1);
        for _ in 0..2 {
            // Two processes of one owner.
            sums.add(key("b"), &first, None, 1);
        }
        assert_eq!((sums.owners[&ShareKey::other()].calls, sums.folded()), (10, 1));
    }
}
