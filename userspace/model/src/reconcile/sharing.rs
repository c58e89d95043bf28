//! Which address spaces map one ring, from the evidence of all of them.

use crate::evidence::{AddressSpace, Process};
use crate::units::Pid;

/// The mappings of every ring that several address spaces map, by inode: nearly always there is none.
pub(super) struct Sharing<'a> {
    uses: Vec<Use<'a>>,
}

#[derive(Clone, Copy)]
struct Use<'a> {
    inode: u64,
    space: usize,
    address: u64,
    process: &'a Process,
}

impl<'a> Sharing<'a> {
    /// Collects the mappings of all address spaces; `process` is the one each is shown under.
    pub(super) fn new(spaces: impl Iterator<Item = (usize, &'a AddressSpace, &'a Process)>) -> Sharing<'a> {
        let mut uses: Vec<Use<'a>> = spaces
            .flat_map(|(space, facts, process)| {
                let mappings = facts.looks.last().into_iter().flat_map(|look| &look.mappings);
                mappings.map(move |part| Use { inode: part.inode, space, address: part.start, process })
            })
            .collect();
        uses.sort_unstable_by_key(|a| (a.inode, a.space, a.address));
        let shared = uses.chunk_by(|a, b| a.inode == b.inode).filter(|ring| is_shared(ring));
        Sharing { uses: shared.flatten().copied().collect() }
    }

    /// PID, name and address of every mapping of a ring outside one address space.
    pub(super) fn others(&self, inode: u64, space: usize) -> impl Iterator<Item = (Pid, &'a [u8], u64)> {
        let from = self.uses.partition_point(|a| a.inode < inode);
        let same = self.uses.get(from..).unwrap_or_default().iter().take_while(move |a| a.inode == inode);
        same.filter(move |a| a.space != space).map(|a| (a.process.pid, a.process.comm.as_slice(), a.address))
    }
}

/// Whether the mappings of one ring, in the order of address spaces, are in more than one.
fn is_shared(ring: &[Use<'_>]) -> bool {
    ring.first().zip(ring.last()).is_some_and(|(first, last)| first.space != last.space)
}
