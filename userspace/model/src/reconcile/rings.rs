//! Which mapping is the ring of which context.

use std::collections::HashMap;

use crate::evidence::RingMapping;
use crate::kioctx::Kioctx;
use crate::units::ContextId;

/// The ring mappings of one address space, by address and by ring.
///
/// A ring's file has an inode of its own, so mappings of one inode are parts of one ring, however often it was split.
pub(super) struct Rings<'a> {
    /// By inode, then by address.
    parts: Vec<&'a RingMapping>,
    /// First address of each part, in order, and the ring it is of.
    at: Vec<(u64, Span)>,
    /// For parts that are not a ring's beginning: where that ring would begin -> the ring.
    beginning_at: HashMap<u64, Span>,
    /// For each element of `parts` that starts a ring: whether a context owns it.
    owned: Vec<bool>,
}

/// Where one ring lies in `Rings::parts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    from: usize,
    to: usize,
}

impl<'a> Rings<'a> {
    /// Sorts the mappings; each ring belongs to nobody yet.
    pub(super) fn new(mappings: &'a [RingMapping]) -> Rings<'a> {
        let mut parts: Vec<&RingMapping> = mappings.iter().collect();
        parts.sort_unstable_by_key(|part| (part.inode, part.start, part.end));
        let mut at = Vec::with_capacity(parts.len());
        let owned = vec![false; parts.len()];
        let mut beginning_at = HashMap::new();
        let mut from = 0;
        for ring in parts.chunk_by(|a, b| a.inode == b.inode) {
            let span = Span { from, to: from.saturating_add(ring.len()) };
            at.extend(ring.iter().map(|part| (part.start, span)));
            let later = ring.iter().filter(|part| part.offset != 0);
            beginning_at.extend(
                later.filter_map(|part| part.start.checked_sub(part.offset)).map(|base| (base, span)),
            );
            from = span.to;
        }
        at.sort_unstable_by_key(|(start, span)| (*start, span.from));
        Rings { parts, at, beginning_at, owned }
    }

    /// The parts of the ring that starts, or has a part that starts, at `address`; in address order.
    pub(super) fn at(&self, address: ContextId) -> Option<&[&'a RingMapping]> {
        self.span_at(address).and_then(|span| self.parts.get(span.from..span.to))
    }

    fn span_at(&self, address: ContextId) -> Option<Span> {
        let place = self.at.partition_point(|(start, _)| *start < address.0);
        self.at.get(place).filter(|(start, _)| *start == address.0).map(|(_, span)| *span)
    }

    /// Says that the ring at `address` has a context.
    pub(super) fn own(&mut self, address: ContextId) {
        if let Some(owned) = self.span_at(address).and_then(|span| self.owned.get_mut(span.from)) {
            *owned = true;
        }
    }

    /// Claims what is left of a ring whose first page is gone, by where it lies; returns the bytes of it.
    pub(super) fn own_rest(&mut self, context: &Kioctx) -> Option<u64> {
        let span = *self.beginning_at.get(&context.base())?;
        let owned = self.owned.get_mut(span.from).filter(|owned| !**owned)?;
        *owned = true;
        let ring = self.parts.get(span.from..span.to)?;
        Some(ring.iter().fold(0, |sum, part| sum.saturating_add(bytes(part))))
    }

    /// Every ring, in inode order.
    pub(super) fn each(&self) -> impl Iterator<Item = &[&'a RingMapping]> {
        self.parts.chunk_by(|a, b| a.inode == b.inode)
    }

    /// The rings that no context owns: inherited by fork, or left behind by io_destroy in another process.
    pub(super) fn ghosts(&self) -> impl Iterator<Item = &[&'a RingMapping]> {
        let mut from = 0_usize;
        self.each().filter(move |ring| {
            let first = from;
            from = from.saturating_add(ring.len());
            self.owned.get(first) == Some(&false)
        })
    }
}

/// Bytes of a mapping; 0 for one that ends before it starts.
pub(super) fn bytes(part: &RingMapping) -> u64 {
    part.end.saturating_sub(part.start)
}
