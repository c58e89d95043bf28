//! Contexts summed by owner, as people are shown owners: a process that nothing names stands for itself.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::owner_sums::{ProcessKey, Sums, by_process};
use crate::picture::ContextView;

/// What tells owners apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OwnerKey {
    /// By which part it is named, and its name.
    Named(&'static str, String),
    /// A process that nothing names.
    Process(ProcessKey),
}

impl OwnerKey {
    /// The owner of a context.
    pub fn of(context: &ContextView) -> Self {
        match context.owner.named_by() {
            Some((part, name)) => OwnerKey::Named(part, name.to_owned()),
            None => OwnerKey::Process((context.pid, context.start_ticks)),
        }
    }
}

/// The contexts of one owner, summed.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnerGroup {
    /// Whose they are.
    pub key: OwnerKey,
    /// One of its contexts, by its place among all of them: it knows the names.
    pub example: usize,
    /// What its contexts come to.
    pub sums: Sums,
}

/// Sums contexts, given by their places, by owner; the one with the most slots first, equal ones by name.
pub fn by_owner(contexts: &[ContextView], places: impl IntoIterator<Item = usize>) -> Vec<OwnerGroup> {
    let mut owners: BTreeMap<OwnerKey, OwnerGroup> = BTreeMap::new();
    for process in by_process(contexts, places) {
        let Some(example) = contexts.get(process.example) else { continue };
        let key = OwnerKey::of(example);
        let new = || OwnerGroup { key: key.clone(), example: process.example, sums: Sums::default() };
        owners.entry(key.clone()).or_insert_with(new).sums.merge(&process.sums);
    }
    // The map is in order of names, and the sort keeps the order of equals.
    let mut owners: Vec<OwnerGroup> = owners.into_values().collect();
    owners.sort_by_key(|owner| Reverse((owner.sums.reserved.value(), owner.sums.contexts)));
    owners
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::Owner;
    use crate::reconcile::reconcile;
    use crate::specimen;
    use crate::units::Pid;

    /// Check that an owner is one however many processes it has, and that those that nothing names are told apart.
    #[test]
    fn owners() {
        let first = reconcile(&specimen::idle()).contexts.remove(0);
        let of = |pid: u32, unit: &str, slots: u32| ContextView {
            pid: Pid(pid),
            owner: Owner { unit: unit.to_owned(), ..Owner::default() }.into(),
            max_reqs: Some(slots),
            ..first.clone()
        };
        let contexts = [
            of(1, "a.service", 5),
            of(2, "b.service", 4),
            of(3, "b.service", 3),
            of(3, "b.service", 3),
            of(4, "", 2),
            of(5, "", 2),
        ];
        let owners = by_owner(&contexts, 0..contexts.len());
        let said: Vec<(u32, u64, u64, Option<u64>)> = owners
            .iter()
            .map(|of| {
                let sums = of.sums;
                (contexts[of.example].pid.0, sums.processes, sums.contexts, sums.reserved.value())
            })
            .collect();
        assert_eq!(said, [(2, 2, 3, Some(10)), (1, 1, 1, Some(5)), (4, 1, 1, Some(2)), (5, 1, 1, Some(2))]);
        assert_eq!(owners[0].key, OwnerKey::of(&contexts[1]));
        assert_eq!(by_owner(&contexts, []), []);
    }
}
