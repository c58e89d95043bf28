//! Contexts summed: by process, and by owner as the series of metrics tell owners apart.

use std::borrow::Borrow;
use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::finding::Finding;
use crate::picture::{ContextView, Fill, Outlook, Owner, Picture};
use crate::units::Pid;

/// What tells the series of owners apart: everything that runs under one name in one workload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct OwnerLabels {
    /// Who runs it.
    pub owner: Owner,
    /// `comm` of the process; any bytes.
    pub comm: Vec<u8>,
    /// The process, where each is told apart.
    pub pid: Option<Pid>,
}

impl OwnerLabels {
    /// The one that stands for all owners beyond the limit.
    pub fn other() -> Self {
        Self { owner: Owner::default(), comm: b"other".to_vec(), pid: None }
    }
}

/// A sum over contexts, some of which may not tell their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Sum {
    of_known: u64,
    known: u64,
    unknown: u64,
}

impl Sum {
    fn add(&mut self, more: Option<impl Into<u64>>) {
        match more {
            Some(more) => {
                self.of_known = self.of_known.saturating_add(more.into());
                self.known = self.known.saturating_add(1);
            }
            None => self.unknown = self.unknown.saturating_add(1),
        }
    }

    fn merge(&mut self, more: Self) {
        self.of_known = self.of_known.saturating_add(more.of_known);
        self.known = self.known.saturating_add(more.known);
        self.unknown = self.unknown.saturating_add(more.unknown);
    }

    /// The sum; `None` where there are contexts, and of none of them the number is known.
    pub fn value(self) -> Option<u64> {
        (self.known > 0 || self.unknown == 0).then_some(self.of_known)
    }

    /// Whether there are contexts of which the number is not known.
    pub fn has_gaps(self) -> bool {
        self.unknown > 0
    }
}

/// Sums over contexts.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Sums {
    /// Number of processes that have contexts, dying ones included.
    pub processes: u64,
    /// Number of contexts.
    pub contexts: u64,
    /// Sum of max_reqs: the slots that are reserved.
    pub reserved: Sum,
    /// Sum of nr_events.
    pub ring_entries: Sum,
    /// Bytes of all rings, each counted once.
    pub ring_bytes: Sum,
    /// Requests submitted and not completed.
    pub in_flight: Sum,
    /// Completions that nobody reaped.
    pub unreaped: Sum,
    /// Credits that are stranded on single CPUs.
    pub stranded: Sum,
    /// The fullest ring, 0 to 1. `None`: of no context known.
    pub max_fill: Option<f64>,
    /// Rings mapped without a context.
    pub ghosts: u64,
    /// Contexts that are out of the table and wait for their requests, at least. Of the sums above, only in_flight counts them.
    pub dying: u64,
    /// For how long the oldest of them has been waited for, in nanoseconds; `None`: there is none of which that is known.
    pub oldest_dying_ns: Option<u64>,
}

impl Sums {
    fn add(&mut self, context: &ContextView) {
        if context.is_dying() {
            // Where their number is not known there is one at least.
            self.dying = self.dying.saturating_add(context.stands_for.unwrap_or(1).into());
            self.oldest_dying_ns = self.oldest_dying_ns.max(context.dying_ns);
            return self.in_flight.add(context.in_flight);
        }
        self.contexts = self.contexts.saturating_add(1);
        self.reserved.add(context.max_reqs);
        self.ring_entries.add(context.nr_events);
        self.in_flight.add(context.in_flight);
        self.unreaped.add(context.unreaped);
        self.ring_bytes.add(context.ring_len);
        self.stranded.add(context.outlook.as_ref().map(Outlook::stranded_credits));
        self.max_fill = fuller(self.max_fill, context.fill().map(Fill::ratio));
    }

    /// Adds other contexts' sums.
    pub fn merge(&mut self, more: &Sums) {
        self.processes = self.processes.saturating_add(more.processes);
        self.contexts = self.contexts.saturating_add(more.contexts);
        self.reserved.merge(more.reserved);
        self.ring_entries.merge(more.ring_entries);
        self.ring_bytes.merge(more.ring_bytes);
        self.stranded.merge(more.stranded);
        self.in_flight.merge(more.in_flight);
        self.unreaped.merge(more.unreaped);
        self.ghosts = self.ghosts.saturating_add(more.ghosts);
        self.max_fill = fuller(self.max_fill, more.max_fill);
        self.dying = self.dying.saturating_add(more.dying);
        self.oldest_dying_ns = self.oldest_dying_ns.max(more.oldest_dying_ns);
    }
}

fn fuller(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (one, other) => one.or(other),
    }
}

/// A process: its PID, and its start in clock ticks after boot, for PIDs come back.
pub type ProcessKey = (Pid, u64);

/// The contexts of one process, summed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProcessSums {
    /// PID and start: the key by which its contexts were summed.
    pub process: ProcessKey,
    /// One of its contexts, by its place among all of them: it knows the names.
    pub example: usize,
    /// What its contexts come to.
    pub sums: Sums,
    /// Their worst finding.
    pub worst: Option<Finding>,
}

/// Sums contexts, given by their places, by process, in order of PIDs. Every other sum is made of these.
pub fn by_process<C: Borrow<ContextView>>(
    contexts: &[C],
    places: impl IntoIterator<Item = usize>,
) -> Vec<ProcessSums> {
    let mut processes: BTreeMap<ProcessKey, ProcessSums> = BTreeMap::new();
    for place in places {
        let Some(context) = contexts.get(place).map(Borrow::borrow) else { continue };
        let process = (context.pid, context.start_ticks);
        let sums = Sums { processes: 1, ..Sums::default() };
        let new = || ProcessSums { process, example: place, sums, worst: None };
        let of = processes.entry(process).or_insert_with(new);
        of.sums.add(context);
        of.worst = Finding::worst(of.worst.into_iter().chain(context.findings.iter().copied()));
    }
    processes.into_values().collect()
}

/// A picture summed by owner.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct OwnerSums {
    /// The owners of the most slots, largest first; if there are more than the limit, the last one is [`OwnerLabels::other`].
    pub owners: Vec<(OwnerLabels, Sums)>,
    /// How many owners that one stands for.
    pub folded: usize,
    /// How many of them wait for contexts whose age is known: the rest would have no such series.
    pub folded_dying: usize,
}

/// Sums a picture. `each_process`: each process for itself. At most `limit` owners are told apart: those of the most slots, and
/// among equal ones the first by name, so that the choice does not change from scrape to scrape.
pub fn by_labels(picture: &Picture, each_process: bool, limit: usize) -> OwnerSums {
    let labels = |owner: &Owner, comm: &[u8], pid: Pid| OwnerLabels {
        owner: owner.clone(),
        comm: comm.to_vec(),
        pid: each_process.then_some(pid),
    };
    let mut by_labels: BTreeMap<OwnerLabels, Sums> = BTreeMap::new();
    for process in by_process(&picture.contexts, 0..picture.contexts.len()) {
        let Some(example) = picture.contexts.get(process.example) else { continue };
        let labels = labels(&example.owner, &example.comm, example.pid);
        by_labels.entry(labels).or_default().merge(&process.sums);
    }
    for ghost in &picture.ghosts {
        let sums = by_labels.entry(labels(&ghost.owner, &ghost.comm, ghost.pid)).or_default();
        sums.ghosts = sums.ghosts.saturating_add(1);
    }
    // The map is in order of labels, and the sort keeps the order of equals.
    let mut owners: Vec<(OwnerLabels, Sums)> = by_labels.into_iter().collect();
    owners.sort_by_key(|(_, sums)| Reverse((sums.reserved.value(), sums.contexts)));
    if owners.len() <= limit {
        return OwnerSums { owners, folded: 0, folded_dying: 0 };
    }
    let rest = owners.split_off(limit);
    let mut other = Sums::default();
    for (_, sums) in &rest {
        other.merge(sums);
    }
    let folded_dying = rest.iter().filter(|(_, sums)| sums.oldest_dying_ns.is_some()).count();
    // A process may bear that name: two series of one name would spoil the whole scrape.
    match owners.iter_mut().find(|(labels, _)| *labels == OwnerLabels::other()) {
        Some((_, sums)) => sums.merge(&other),
        None => owners.push((OwnerLabels::other(), other)),
    }
    OwnerSums { owners, folded: rest.len(), folded_dying }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::groups::Grouping;
    use crate::holders::holders;
    use crate::picture::{GhostView, Stranded};
    use crate::reconcile::reconcile;
    use crate::specimen;

    fn picture() -> Picture {
        reconcile(&specimen::idle())
    }

    /// A picture with a context for each name and number of slots; those of one name are of one process.
    fn of(contexts: &[(&str, u32)]) -> Picture {
        let mut picture = picture();
        let first = picture.contexts.remove(0);
        picture.contexts = contexts
            .iter()
            .map(|(comm, max_reqs)| ContextView {
                pid: Pid(comm.bytes().map(u32::from).sum()),
                comm: comm.as_bytes().into(),
                max_reqs: Some(*max_reqs),
                ..first.clone()
            })
            .collect();
        picture.ghosts.clear();
        picture
    }

    fn names(sums: &OwnerSums) -> Vec<(&str, u64)> {
        let name =
            |labels: &'_ OwnerLabels| std::str::from_utf8(&labels.comm).unwrap().to_owned().leak() as &str;
        sums.owners.iter().map(|(labels, sums)| (name(labels), sums.reserved.value().unwrap())).collect()
    }

    /// Check that the largest come first, equal ones by name, and that the rest is summed and counted.
    #[test]
    fn the_largest_and_the_rest() {
        let picture = of(&[("b", 5), ("a", 5), ("c", 9), ("a", 1), ("d", 2), ("e", 1)]);
        let all = by_labels(&picture, false, 100);
        assert_eq!(names(&all), [("c", 9), ("a", 6), ("b", 5), ("d", 2), ("e", 1)]);
        assert_eq!(all.folded, 0);
        let some = by_labels(&picture, false, 2);
        assert_eq!(names(&some), [("c", 9), ("a", 6), ("other", 8)]);
        assert_eq!(some.folded, 3);
        assert_eq!(names(&by_labels(&picture, false, 0)), [("other", 23)]);
    }

    /// Check that a process of the name `other` is summed with the rest: two series of one name are none.
    #[test]
    fn a_process_named_other() {
        let picture = of(&[("other", 9), ("a", 5), ("b", 1)]);
        assert_eq!(names(&by_labels(&picture, false, 1)), [("other", 15)]);
    }

    /// Check that processes are told apart only where that is asked for, and that a ghost belongs to its owner.
    #[test]
    fn processes_and_ghosts() {
        let mut picture = of(&[("a", 5), ("a", 6)]);
        picture.contexts[1].pid = Pid(7);
        let ghost = GhostView {
            pid: Pid(7),
            comm: b"a".as_slice().into(),
            owner: picture.contexts[1].owner.clone(),
            address: picture.contexts[0].context,
            ring_len: 4096,
        };
        picture.ghosts = vec![ghost];
        assert_eq!(by_labels(&picture, false, 9).owners.len(), 1);
        assert_eq!(by_labels(&picture, false, 9).owners[0].1.ghosts, 1);
        let apart = by_labels(&picture, true, 9).owners;
        assert_eq!(
            apart.iter().map(|(_, sums)| (sums.reserved.value().unwrap(), sums.ghosts)).collect::<Vec<_>>(),
            [(6, 1), (5, 0)]
        );
    }

    /// Check that stranded credits are summed over contexts and CPUs.
    #[test]
    fn stranded_credits() {
        let mut picture = of(&[("a", 5), ("a", 6), ("b", 1)]);
        let of = |cpu, credits| Stranded { cpu, credits, online: Some(true) };
        let outlook = |stranded| Some(Outlook { stranded, ..Outlook::default() });
        picture.contexts[0].outlook = outlook(vec![of(1, 58), of(3, 2)]);
        picture.contexts[1].outlook = outlook(vec![of(0, 7)]);
        picture.contexts[2].outlook = None;
        let sums: Vec<_> =
            by_labels(&picture, false, 9).owners.iter().map(|(_, sums)| sums.stranded.value()).collect();
        assert_eq!(sums, [Some(67), None]);
    }

    /// Check that a sum of which nothing is known is none, and that one of nothing is 0.
    #[test]
    fn unknown_sums() {
        let mut picture = of(&[("a", 5), ("a", 6), ("b", 1)]);
        for context in &mut picture.contexts {
            context.in_flight = None;
            context.ring_len = None;
        }
        picture.contexts[0].in_flight = Some(3);
        picture.contexts[2].max_reqs = None;
        let all = by_labels(&picture, false, 9);
        let sums = |name: &[u8]| all.owners.iter().find(|(labels, _)| labels.comm == name).unwrap().1;
        assert_eq!(sums(b"a").in_flight.value(), Some(3));
        assert_eq!((sums(b"b").in_flight.value(), sums(b"b").reserved.value()), (None, None));
        assert_eq!(sums(b"a").ring_bytes.value(), None);
        assert_eq!(Sums::default().in_flight.value(), Some(0));
    }

    /// Check that what is dying costs no slot and is no context any more, and that its number, age and requests are those of its owner.
    #[test]
    fn dying() {
        let mut picture = of(&[("a", 5), ("a", 6), ("a", 7), ("b", 1)]);
        for (place, ns) in [(1, Some(7)), (2, None)] {
            let context = &mut picture.contexts[place];
            context.findings = vec![Finding::Dying];
            (context.dying_ns, context.in_flight, context.stands_for) = (ns, Some(3), Some(2));
        }
        let sums = by_labels(&picture, false, 0);
        let [(_, other)] = sums.owners.as_slice() else { panic!("{sums:?}") };
        assert_eq!((other.contexts, other.reserved.value(), other.in_flight.value()), (2, Some(6), Some(6)));
        assert_eq!((other.dying, other.oldest_dying_ns), (4, Some(7)));
        assert_eq!((sums.folded, sums.folded_dying), (2, 1));
        let held = holders(&picture, Grouping::Process);
        assert_eq!(
            held.iter().map(|holder| (holder.contexts, holder.slots)).collect::<Vec<_>>(),
            [(1, 5), (1, 1)]
        );
        picture.contexts.truncate(2);
        picture.contexts[0].findings = vec![Finding::Exiting, Finding::Dying];
        assert_eq!(holders(&picture, Grouping::Process), []);
    }

    proptest! {
        /// Check that no slot is lost or counted twice, whatever the limit.
        #[test]
        fn nothing_is_lost(all in proptest::collection::vec(("[a-d]", 0_u32..9), 0..20), limit in 0_usize..6) {
            let named: Vec<(&str, u32)> = all.iter().map(|(name, slots)| (&**name, *slots)).collect();
            let sums = by_labels(&of(&named), false, limit);
            let sum: u64 = sums.owners.iter().map(|(_, sums)| sums.reserved.value().unwrap()).sum();
            prop_assert_eq!(sum, named.iter().map(|(_, slots)| u64::from(*slots)).sum::<u64>());
            prop_assert!(sums.owners.len() <= limit + 1);
        }
    }
}
