//! Contexts summed by what their processes have in common: the one sum by owner of every output that people read.

use std::borrow::Borrow;
use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::finding::Finding;
use crate::owner_sums::{ProcessKey, Sums, by_process};
use crate::picture::{ContextView, Owner};

/// What the processes of a group have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// Nothing: each process is a group.
    Process,
    /// The owner: pod, else container, else unit, else path of the cgroup. A process that nothing names stands for itself.
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

/// What tells a group apart from the others of its grouping.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupKey {
    /// What its processes have in common, and its name. The kind belongs to it: a unit may be called as a path is.
    Named(&'static str, Vec<u8>),
    /// A process.
    Process(ProcessKey),
    /// The processes that have no such thing: those are one group, for every slot has to be in one.
    Nothing,
}

/// The same, borrowed; in the same order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Key<'a> {
    Named(&'static str, &'a [u8]),
    Process(ProcessKey),
    Nothing,
}

impl Grouping {
    /// The group of a context.
    pub fn key(self, context: &ContextView) -> GroupKey {
        match self.borrowed(context) {
            Key::Named(kind, name) => GroupKey::Named(kind, name.to_vec()),
            Key::Process(process) => GroupKey::Process(process),
            Key::Nothing => GroupKey::Nothing,
        }
    }

    fn borrowed(self, of: &ContextView) -> Key<'_> {
        let process = Key::Process((of.pid, of.start_ticks));
        let (kind, name) = match self {
            Grouping::Process => return process,
            Grouping::Owner => match of.owner.named_by() {
                Some((kind, name)) => (kind, name.as_bytes()),
                None => return process,
            },
            Grouping::Comm => ("comm", &*of.comm),
            Grouping::Unit => ("unit", of.owner.unit.as_bytes()),
            Grouping::Pod => ("pod", of.owner.pod.as_bytes()),
            Grouping::User => ("user", &*of.about.user),
        };
        if name.is_empty() { Key::Nothing } else { Key::Named(kind, name) }
    }
}

impl GroupKey {
    /// Whether a context is of this group, where contexts are grouped like that.
    pub fn has(&self, by: Grouping, context: &ContextView) -> bool {
        let own = match self {
            GroupKey::Named(kind, name) => Key::Named(kind, name),
            GroupKey::Process(process) => Key::Process(*process),
            GroupKey::Nothing => Key::Nothing,
        };
        own == by.borrowed(context)
    }
}

/// The contexts of the processes that have it in common.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Which it is.
    pub key: GroupKey,
    /// One of its contexts, by its place among all of them: it knows the names. Of the process that reserves most.
    pub example: usize,
    /// What the owners of its processes have in common.
    pub owner: Owner,
    /// What its contexts come to.
    pub sums: Sums,
    /// The worst finding of its contexts.
    pub worst: Option<Finding>,
}

/// Sums contexts, given by their places, by group: those of the most slots first, equal ones by key.
pub fn groups<C: Borrow<ContextView>>(
    contexts: &[C],
    places: impl IntoIterator<Item = usize>,
    by: Grouping,
) -> Vec<Group> {
    // With what the process of its example has.
    let mut groups: BTreeMap<Key<'_>, (Group, (Option<u64>, u64))> = BTreeMap::new();
    for process in by_process(contexts, places) {
        let Some(example) = contexts.get(process.example).map(Borrow::borrow) else { continue };
        let has = (process.sums.reserved.value(), process.sums.contexts);
        let new = || {
            let (key, owner) = (by.key(example), Owner::clone(&example.owner));
            (Group { key, example: process.example, owner, sums: Sums::default(), worst: None }, has)
        };
        let (group, most) = groups.entry(by.borrowed(example)).or_insert_with(new);
        group.sums.merge(&process.sums);
        group.worst = Finding::worst(group.worst.into_iter().chain(process.worst));
        if group.owner != *example.owner {
            group.owner = group.owner.common(&example.owner);
        }
        if has > *most {
            (group.example, *most) = (process.example, has);
        }
    }
    // The map is in order of keys, and the sort keeps the order of equals.
    let mut groups: Vec<Group> = groups.into_values().map(|(group, _)| group).collect();
    groups.sort_by_key(|group| Reverse((group.sums.reserved.value(), group.sums.contexts)));
    groups
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::picture::About;
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

    const ALL: [Grouping; 6] =
        [Grouping::Process, Grouping::Owner, Grouping::Comm, Grouping::Unit, Grouping::Pod, Grouping::User];

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
            groups(&contexts, 0..contexts.len(), by).iter().map(row).collect()
        };
        assert_eq!(of(Grouping::Owner), [(1, 1, 2, 30), (2, 1, 1, 25), (4, 2, 2, 9), (5, 1, 1, 9)]);
        assert_eq!(of(Grouping::Comm), [(1, 2, 3, 55), (4, 2, 2, 9), (5, 1, 1, 9)]);
        assert_eq!(of(Grouping::Unit), [(1, 1, 2, 30), (2, 1, 1, 25), (5, 3, 3, 18)]);
        assert_eq!(of(Grouping::Pod), [(1, 3, 4, 64), (4, 2, 2, 9)]);
        assert_eq!(of(Grouping::User), [(1, 1, 2, 30), (2, 1, 1, 25), (4, 2, 2, 9), (5, 1, 1, 9)]);
        assert_eq!(groups(&contexts, [], Grouping::Owner), []);
        // Each context is of one group.
        for by in ALL {
            for context in &contexts {
                let groups = groups(&contexts, 0..contexts.len(), by);
                let of: Vec<&GroupKey> =
                    groups.iter().map(|group| &group.key).filter(|key| key.has(by, context)).collect();
                assert_eq!(of, [&by.key(context)], "{by:?}");
            }
        }
    }

    /// Check that a process that nothing names is an owner of its own, that one whose contexts are all dying is counted, and what the
    /// owners of a group have in common.
    #[test]
    fn owners() {
        let mut contexts = [
            context(4, "x", Owner::default(), "", 2),
            context(5, "x", Owner::default(), "", 2),
            context(1, "x", unit("a.service"), "", 5),
            context(2, "x", unit("b.service"), "", 4),
            context(3, "x", unit("b.service"), "", 3),
            context(6, "x", unit("b.service"), "", 99),
            context(7, "x", pod("p", "one"), "", 1),
            context(8, "x", pod("p", "two"), "", 1),
        ];
        contexts[5].findings = vec![Finding::Dying];
        let owners = groups(&contexts, 0..contexts.len(), Grouping::Owner);
        let said: Vec<(u32, u64, u64, Option<u64>)> = owners
            .iter()
            .map(|of| {
                let sums = of.sums;
                (contexts[of.example].pid.0, sums.processes, sums.contexts, sums.reserved.value())
            })
            .collect();
        assert_eq!(
            said,
            [
                (2, 3, 2, Some(7)),
                (1, 1, 1, Some(5)),
                (7, 2, 2, Some(2)),
                (4, 1, 1, Some(2)),
                (5, 1, 1, Some(2))
            ]
        );
        assert_eq!((&owners[0].owner, &owners[2].owner), (&unit("b.service"), &pod("p", "")));
        assert_eq!(owners[3].key, GroupKey::Process((Pid(4), contexts[0].start_ticks)));
    }

    /// Check that the worst finding of a group is shown, and that what is dying costs it no slot.
    #[test]
    fn findings_of_a_group() {
        let mut contexts =
            [("a", 1), ("a", 2), ("b", 4)].map(|(name, slots)| context(slots, name, unit("u"), "", slots));
        contexts[0].findings = vec![Finding::InFlight];
        contexts[1].findings = vec![Finding::Dying];
        let groups = groups(&contexts, 0..contexts.len(), Grouping::Comm);
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
            for by in ALL {
                let groups = groups(&contexts, 0..contexts.len(), by);
                let sum = |read: fn(&Sums) -> u64| groups.iter().map(|group| read(&group.sums)).sum::<u64>();
                prop_assert_eq!(sum(|sums| sums.reserved.value().unwrap()), slots);
                prop_assert_eq!(sum(|sums| sums.contexts), all.len() as u64);
                prop_assert_eq!(sum(|sums| sums.processes), pids.len() as u64);
            }
        }
    }
}
