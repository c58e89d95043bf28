//! A picture summed by owner: what a series of metrics stands for.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::picture::{ContextView, Outlook, Owner, Picture};
use crate::units::Pid;

/// Whose sums: everything that runs under one name in one container or unit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ShareKey {
    /// Who runs it.
    pub owner: Owner,
    /// `comm` of the process; any bytes.
    pub comm: Vec<u8>,
    /// The process, where each is told apart.
    pub pid: Option<Pid>,
}

impl ShareKey {
    /// The one that stands for all owners beyond the limit.
    pub fn other() -> Self {
        Self { owner: Owner::default(), comm: b"other".to_vec(), pid: None }
    }
}

/// A sum over contexts; one of which the number is not known counts as none.
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
}

/// The sums of one owner.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Sums {
    /// Number of contexts.
    pub contexts: u64,
    /// Sum of max_reqs: what counts against fs.aio-max-nr.
    pub reserved: Sum,
    /// Sum of nr_events.
    pub ring_slots: Sum,
    /// Bytes of all rings, each counted once.
    pub ring_bytes: Sum,
    /// Requests submitted and not completed.
    pub in_flight: Sum,
    /// Completions that nobody reaped.
    pub unreaped: Sum,
    /// Credits that are stranded on single CPUs.
    pub stranded: Sum,
    /// The fullest ring: in flight and unreaped by usable slots. `None`: of no context known.
    pub max_fill: Option<f64>,
    /// Rings mapped without a context.
    pub ghosts: u64,
    /// Contexts that are out of the table and wait for their requests: of all the sums above, only their requests in flight are part of one.
    pub dying: u64,
    /// For how long the oldest of them has been waited for, in nanoseconds; `None`: there is none of which that is known.
    pub oldest_dying_ns: Option<u64>,
}

impl Sums {
    fn add(&mut self, context: &ContextView) {
        if context.is_dying() {
            self.dying = self.dying.saturating_add(context.stands_for.into());
            self.oldest_dying_ns = self.oldest_dying_ns.max(context.dying_ns);
            return self.in_flight.add(context.in_flight);
        }
        self.contexts = self.contexts.saturating_add(1);
        self.reserved.add(context.max_reqs);
        self.ring_slots.add(context.nr_events);
        self.in_flight.add(context.in_flight);
        self.unreaped.add(context.unreaped);
        self.ring_bytes.add(context.ring_len);
        self.stranded.add(context.outlook.as_ref().map(Outlook::stranded_credits));
        self.max_fill = fuller(self.max_fill, fill(context));
    }

    fn merge(&mut self, more: &Sums) {
        self.contexts = self.contexts.saturating_add(more.contexts);
        self.reserved.merge(more.reserved);
        self.ring_slots.merge(more.ring_slots);
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

/// How full the ring of a context is, 0 to 1: what is in flight or unreaped, by the slots that can be used (one never is:
/// fs/aio.c:ioctx_alloc). `None` where that is not known.
pub fn fill(context: &ContextView) -> Option<f64> {
    let usable = context.nr_events?.checked_sub(1).filter(|usable| *usable > 0)?;
    let taken = context.in_flight?.saturating_add(context.unreaped?);
    Some(f64::from(taken) / f64::from(usable))
}

fn fuller(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (one, other) => one.or(other),
    }
}

/// A picture summed by owner.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Shares {
    /// The owners of the most slots, largest first; if there are more than the limit, the last one is [`ShareKey::other`].
    pub owners: Vec<(ShareKey, Sums)>,
    /// How many owners that one stands for.
    pub folded: usize,
    /// How many of them wait for contexts whose age is known: the rest would have no such series.
    pub folded_dying: usize,
}

/// Sums a picture. `by_process`: each process for itself. At most `limit` owners are told apart: those of the most slots, and
/// among equal ones the first by name, so that the choice does not change from scrape to scrape.
pub fn shares(picture: &Picture, by_process: bool, limit: usize) -> Shares {
    let key = |owner: &Owner, comm: &[u8], pid: Pid| ShareKey {
        owner: owner.clone(),
        comm: comm.to_vec(),
        pid: by_process.then_some(pid),
    };
    let mut by_owner: BTreeMap<ShareKey, Sums> = BTreeMap::new();
    // The contexts of a process follow one another, and have their names in common: they are looked up once for all of them.
    let same = |a: &ContextView, b: &ContextView| {
        a.pid == b.pid && Arc::ptr_eq(&a.comm, &b.comm) && Arc::ptr_eq(&a.owner, &b.owner)
    };
    for contexts in picture.contexts.chunk_by(same) {
        let Some(first) = contexts.first() else { continue };
        let key = key(&first.owner, &first.comm, first.pid);
        let sums = by_owner.entry(key).or_default();
        for context in contexts {
            sums.add(context);
        }
    }
    for ghost in &picture.ghosts {
        let key = key(&ghost.owner, &ghost.comm, ghost.pid);
        let sums = by_owner.entry(key).or_default();
        sums.ghosts = sums.ghosts.saturating_add(1);
    }
    // The map is in order of keys, and the sort keeps the order of equals.
    let mut owners: Vec<(ShareKey, Sums)> = by_owner.into_iter().collect();
    owners.sort_by_key(|(_, sums)| Reverse((sums.reserved.value(), sums.contexts)));
    if owners.len() <= limit {
        return Shares { owners, folded: 0, folded_dying: 0 };
    }
    let rest = owners.split_off(limit);
    let mut other = Sums::default();
    for (_, sums) in &rest {
        other.merge(sums);
    }
    let folded_dying = rest.iter().filter(|(_, sums)| sums.oldest_dying_ns.is_some()).count();
    // A process may bear that name: two series of one name would spoil the whole scrape.
    match owners.iter_mut().find(|(key, _)| *key == ShareKey::other()) {
        Some((_, sums)) => sums.merge(&other),
        None => owners.push((ShareKey::other(), other)),
    }
    Shares { owners, folded: rest.len(), folded_dying }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::finding::Finding;
    use crate::holders::holders;
    use crate::picture::{GhostView, Stranded};
    use crate::reconcile::reconcile;
    use crate::specimen;

    fn picture() -> Picture {
        reconcile(&specimen::idle())
    }

    /// A picture with a context for each name and number of slots.
    fn of(contexts: &[(&str, u32)]) -> Picture {
        let mut picture = picture();
        let first = picture.contexts.remove(0);
        picture.contexts = contexts
            .iter()
            .map(|(comm, max_reqs)| ContextView {
                comm: comm.as_bytes().into(),
                max_reqs: Some(*max_reqs),
                ..first.clone()
            })
            .collect();
        picture.ghosts.clear();
        picture
    }

    fn names(shares: &Shares) -> Vec<(&str, u64)> {
        let name = |key: &'_ ShareKey| std::str::from_utf8(&key.comm).unwrap().to_owned().leak() as &str;
        shares.owners.iter().map(|(key, sums)| (name(key), sums.reserved.value().unwrap())).collect()
    }

    /// Check that the largest come first, equal ones by name, and that the rest is summed and counted.
    #[test]
    fn the_largest_and_the_rest() {
        let picture = of(&[("b", 5), ("a", 5), ("c", 9), ("a", 1), ("d", 2), ("e", 1)]);
        let all = shares(&picture, false, 100);
        assert_eq!(names(&all), [("c", 9), ("a", 6), ("b", 5), ("d", 2), ("e", 1)]);
        assert_eq!(all.folded, 0);
        let some = shares(&picture, false, 2);
        assert_eq!(names(&some), [("c", 9), ("a", 6), ("other", 8)]);
        assert_eq!(some.folded, 3);
        assert_eq!(names(&shares(&picture, false, 0)), [("other", 23)]);
    }

    /// Check that a process of the name `other` is summed with the rest: two series of one name are none.
    #[test]
    fn a_process_named_other() {
        let picture = of(&[("other", 9), ("a", 5), ("b", 1)]);
        assert_eq!(names(&shares(&picture, false, 1)), [("other", 15)]);
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
        assert_eq!(shares(&picture, false, 9).owners.len(), 1);
        assert_eq!(shares(&picture, false, 9).owners[0].1.ghosts, 1);
        let apart = shares(&picture, true, 9).owners;
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
            shares(&picture, false, 9).owners.iter().map(|(_, sums)| sums.stranded.value()).collect();
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
        let shares = shares(&picture, false, 9);
        let sums = |name: &[u8]| shares.owners.iter().find(|(key, _)| key.comm == name).unwrap().1;
        assert_eq!(sums(b"a").in_flight.value(), Some(3));
        assert_eq!((sums(b"b").in_flight.value(), sums(b"b").reserved.value()), (None, None));
        assert_eq!(sums(b"a").ring_bytes.value(), None);
        assert_eq!(Sums::default().in_flight.value(), Some(0));
    }

    /// Check the fill of known, empty and unknown rings.
    #[test]
    fn fills() {
        let context = |nr_events, in_flight, unreaped| ContextView {
            nr_events,
            in_flight,
            unreaped,
            ..picture().contexts[0].clone()
        };
        assert_eq!(fill(&context(Some(5), Some(1), Some(1))), Some(0.5));
        assert_eq!(fill(&context(Some(5), None, Some(1))), None);
        assert_eq!(fill(&context(Some(1), Some(0), Some(0))), None);
        assert_eq!(fill(&context(Some(0), Some(0), Some(0))), None);
    }

    /// Check that what is dying costs no slot and is no context any more, and that its number, age and requests are those of its owner.
    #[test]
    fn dying() {
        let mut picture = of(&[("a", 5), ("a", 6), ("a", 7), ("b", 1)]);
        for (place, ns) in [(1, Some(7)), (2, None)] {
            let context = &mut picture.contexts[place];
            context.findings = vec![Finding::Dying];
            (context.dying_ns, context.in_flight, context.stands_for) = (ns, Some(3), 2);
        }
        let shares = shares(&picture, false, 0);
        let [(_, other)] = shares.owners.as_slice() else { panic!("{shares:?}") };
        assert_eq!((other.contexts, other.reserved.value(), other.in_flight.value()), (2, Some(6), Some(6)));
        assert_eq!((other.dying, other.oldest_dying_ns), (4, Some(7)));
        assert_eq!((shares.folded, shares.folded_dying), (2, 1));
        let held = holders(&picture);
        assert_eq!(held.iter().map(|holder| (holder.contexts, holder.slots)).collect::<Vec<_>>(), [(2, 6)]);
        picture.contexts.truncate(2);
        picture.contexts[0].findings = vec![Finding::Exiting, Finding::Dying];
        assert_eq!(holders(&picture), []);
    }

    proptest! {
        /// Check that no slot is lost or counted twice, whatever the limit.
        #[test]
        fn nothing_is_lost(all in proptest::collection::vec(("[a-d]", 0_u32..9), 0..20), limit in 0_usize..6) {
            let named: Vec<(&str, u32)> = all.iter().map(|(name, slots)| (&**name, *slots)).collect();
            let shares = shares(&of(&named), false, limit);
            let sum: u64 = shares.owners.iter().map(|(_, sums)| sums.reserved.value().unwrap()).sum();
            prop_assert_eq!(sum, named.iter().map(|(_, slots)| u64::from(*slots)).sum::<u64>());
            prop_assert!(shares.owners.len() <= limit + 1);
        }
    }
}
