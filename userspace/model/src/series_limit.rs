//! Which owners have series of their own, in metrics that only grow: the first that come, up to a limit. The rest is counted as `other`.

use std::collections::{BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::owner_sums::OwnerLabels;

/// Missing series that are remembered of each metric, 8 bytes each, to be counted once each.
const MOST: usize = 65_536;

/// The owners of one metric, or of some that have the same ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Admission {
    limit: usize,
    owners: BTreeSet<OwnerLabels>,
    /// Digests of the series that there would be without a limit.
    missing: HashSet<u64>,
}

impl Admission {
    /// At most so many owners.
    pub(crate) fn of(limit: usize) -> Self {
        Self { limit, owners: BTreeSet::new(), missing: HashSet::new() }
    }

    /// The owner itself while there is room, else the one for all others: what was counted once must not be counted elsewhere later, so the first
    /// ones stay.
    ///
    /// `series`: what tells apart the series that are about to be counted for it.
    pub(crate) fn admit(&mut self, key: OwnerLabels, series: &[impl Hash]) -> OwnerLabels {
        let other = OwnerLabels::other();
        // A process of that name cannot be told from the rest.
        if key == other || self.owners.contains(&key) {
            return key;
        }
        if self.owners.len() < self.limit {
            self.owners.insert(key.clone());
            return key;
        }
        for one in series {
            let mut digest = DefaultHasher::new();
            (&key, one).hash(&mut digest);
            if self.missing.len() < MOST {
                self.missing.insert(digest.finish());
            }
        }
        other
    }

    /// How many series are missing, up to [`MOST`].
    pub(crate) fn missing(&self) -> usize {
        self.missing.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(comm: &str) -> OwnerLabels {
        OwnerLabels { comm: comm.as_bytes().to_vec(), ..OwnerLabels::default() }
    }

    /// Check that the first owners stay, that each missing series is counted once, and that a further series of an owner is another one.
    #[test]
    fn the_first_stay() {
        let mut admission = Admission::of(1);
        for _ in 0..3 {
            assert_eq!(admission.admit(key("a"), &[1]), key("a"));
            assert_eq!(admission.admit(key("b"), &[1]), OwnerLabels::other());
        }
        assert_eq!(admission.missing(), 1);
        admission.admit(key("b"), &[1, 2]);
        admission.admit(key("c"), &[1]);
        admission.admit(key("a"), &[2]);
        assert_eq!(admission.missing(), 3);
    }

    /// Check that a process that is called `other` takes no room and is missing nowhere, and that of a limit of none all are missing.
    #[test]
    fn one_named_other() {
        let mut admission = Admission::of(0);
        assert_eq!(admission.admit(key("other"), &[1]), OwnerLabels::other());
        assert_eq!(admission.missing(), 0);
        assert_eq!(admission.admit(key("a"), &[1]), OwnerLabels::other());
        assert_eq!(admission.missing(), 1);
    }

    /// Check that what is remembered is bounded.
    #[test]
    fn is_bounded() {
        let mut admission = Admission::of(0);
        let all: Vec<usize> = (0..MOST + 9).collect();
        admission.admit(key("a"), &all);
        assert_eq!(admission.missing(), MOST);
    }
}
