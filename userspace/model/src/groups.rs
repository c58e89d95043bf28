//! Contexts summed by what their processes have in common: a row of `list --by` each.

use std::borrow::Borrow;
use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::finding::Finding;
use crate::owner_sums::{Sums, by_process};
use crate::picture::ContextView;

/// What the processes of a group have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// The owner: pod, else container, else unit, else path of the cgroup.
    Owner,
    /// The name of the process.
    Comm,
    /// The systemd unit.
    Unit,
    /// The pod, by its UID.
    Pod,
    /// The effective user.
    User,
}

/// The kind of what a group has in common, where there are several, and its name.
type Key<'a> = (&'a str, &'a [u8]);

impl Grouping {
    /// What tells its groups apart. The owner's kind belongs to it: a unit may be called as a path is. Empty where a process has no such thing:
    /// those are one group, for every slot has to be in one.
    fn key(self, of: &ContextView) -> Key<'_> {
        match self {
            Grouping::Owner => {
                of.owner.named_by().map_or(("", &[][..]), |(kind, name)| (kind, name.as_bytes()))
            }
            Grouping::Comm => ("", &of.comm),
            Grouping::Unit => ("", of.owner.unit.as_bytes()),
            Grouping::Pod => ("", of.owner.pod.as_bytes()),
            Grouping::User => ("", &of.about.user),
        }
    }
}

/// The contexts of the processes that have it in common.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// One of its contexts, by its place among all of them: it knows the name. Of the process that reserves most.
    pub example: usize,
    /// What its contexts come to.
    pub sums: Sums,
    /// The worst finding of its contexts.
    pub worst: Option<Finding>,
}

/// Sums contexts by group: those of the most slots first, equal ones by name.
pub fn groups<C: Borrow<ContextView>>(contexts: &[C], by: Grouping) -> Vec<Group> {
    let context = |place: usize| contexts.get(place).map(Borrow::borrow);
    // With what the process of its example reserves.
    let mut groups: BTreeMap<Key<'_>, (Group, Option<u64>)> = BTreeMap::new();
    for process in by_process(contexts, 0..contexts.len()) {
        let Some(example) = context(process.example) else { continue };
        let reserved = process.sums.reserved.value();
        let new = || (Group { example: process.example, sums: Sums::default(), worst: None }, reserved);
        let (group, most) = groups.entry(by.key(example)).or_insert_with(new);
        group.sums.merge(&process.sums);
        if reserved > *most {
            (group.example, *most) = (process.example, reserved);
        }
    }
    for context in contexts.iter().map(Borrow::borrow) {
        if let Some((group, _)) = groups.get_mut(&by.key(context)) {
            group.worst = Finding::worst(group.worst.into_iter().chain(context.findings.iter().copied()));
        }
    }
    let mut groups: Vec<Group> = groups.into_values().map(|(group, _)| group).collect();
    // The map is in order of names, and the sort keeps the order of equals.
    groups.sort_by_key(|group| Reverse((group.sums.reserved.value(), group.sums.contexts)));
    groups
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::picture::{About, Owner};
    use crate::reconcile::reconcile;
    use crate::specimen;
    use crate::units::Pid;

    fn context(pid: u32, comm: &str, owner: Owner, user: &str, max_reqs: u32) -> ContextView {
        let about = About { user: user.into(), ..About::default() };
        ContextView {
            pid: Pid(pid),
            comm: comm.as_bytes().into(),
            owner: owner.into(),
            about: about.into(),
            max_reqs: Some(max_reqs),
            findings: Vec::new(),
            ..reconcile(&specimen::idle()).contexts.remove(0)
        }
    }

    fn unit(unit: &str) -> Owner {
        Owner { unit: unit.into(), ..Owner::default() }
    }

    fn pod(pod: &str, container: &str) -> Owner {
        Owner { pod: pod.into(), container: container.into(), ..Owner::default() }
    }

    /// Check each grouping: who is in a group, what it comes to, and their order; what has no such thing is a group too.
    #[test]
    fn each_grouping() {
        let path = Owner { cgroup: "b.service".into(), ..Owner::default() };
        let contexts = [
            context(1, "qemu", unit("a.service"), "root", 10),
            context(1, "qemu", unit("a.service"), "root", 20),
            context(2, "qemu", unit("b.service"), "qemu", 25),
            context(3, "mysqld", pod("p", "x"), "999", 4),
            context(4, "mysqld", pod("p", "y"), "999", 5),
            context(5, "web", path, "", 9),
        ];
        let of = |by| -> Vec<(u32, u64, u64, u64)> {
            let row = |group: &Group| {
                let sums = group.sums;
                let pid = contexts[group.example].pid.0;
                (pid, sums.processes, sums.contexts, sums.reserved.value().unwrap())
            };
            groups(&contexts, by).iter().map(row).collect()
        };
        assert_eq!(of(Grouping::Owner), [(1, 1, 2, 30), (2, 1, 1, 25), (4, 2, 2, 9), (5, 1, 1, 9)]);
        assert_eq!(of(Grouping::Comm), [(1, 2, 3, 55), (4, 2, 2, 9), (5, 1, 1, 9)]);
        assert_eq!(of(Grouping::Unit), [(1, 1, 2, 30), (2, 1, 1, 25), (5, 3, 3, 18)]);
        assert_eq!(of(Grouping::Pod), [(1, 3, 4, 64), (4, 2, 2, 9)]);
        assert_eq!(of(Grouping::User), [(1, 1, 2, 30), (2, 1, 1, 25), (4, 2, 2, 9), (5, 1, 1, 9)]);
        assert_eq!(groups::<ContextView>(&[], Grouping::Owner), []);
    }

    /// Check that the worst finding of a group is shown, and that what is dying costs it no slot.
    #[test]
    fn findings_of_a_group() {
        let mut contexts =
            [("a", 1), ("a", 2), ("b", 4)].map(|(name, slots)| context(slots, name, unit("u"), "", slots));
        contexts[0].findings = vec![Finding::InFlight];
        contexts[1].findings = vec![Finding::Dying];
        let groups = groups(&contexts, Grouping::Comm);
        let said: Vec<_> = groups.iter().map(|group| (group.worst, group.sums.reserved.value())).collect();
        assert_eq!(said, [(None, Some(4)), (Some(Finding::Dying), Some(1))]);
        assert_eq!((groups[1].sums.processes, groups[1].sums.contexts, groups[1].sums.dying), (2, 1, 1));
    }

    proptest! {
        /// Check that no slot, context or process is lost or counted twice, by whatever is grouped.
        #[test]
        fn nothing_is_lost(all in proptest::collection::vec((1_u32..5, "[a-b]?", "[a-b]?", 0_u32..9), 0..20)) {
            let contexts: Vec<ContextView> =
                all.iter().map(|(pid, name, user, slots)| context(*pid, name, unit(name), user, *slots)).collect();
            let mut pids: Vec<u32> = all.iter().map(|(pid, ..)| *pid).collect();
            pids.sort_unstable();
            pids.dedup();
            let slots: u64 = all.iter().map(|(.., slots)| u64::from(*slots)).sum();
            for by in [Grouping::Owner, Grouping::Comm, Grouping::Unit, Grouping::Pod, Grouping::User] {
                let groups = groups(&contexts, by);
                let sum = |read: fn(&Sums) -> u64| groups.iter().map(|group| read(&group.sums)).sum::<u64>();
                prop_assert_eq!(sum(|sums| sums.reserved.value().unwrap()), slots);
                prop_assert_eq!(sum(|sums| sums.contexts), all.len() as u64);
                prop_assert_eq!(sum(|sums| sums.processes), pids.len() as u64);
            }
        }
    }
}
