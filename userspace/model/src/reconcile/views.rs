//! What of an address space is shown: a view of each context, and the rings that have none.

use std::sync::Arc;

use crate::evidence::{CensusSource, Manner};
use crate::kioctx::Kioctx;
use crate::picture::{ContextView, GhostView, Proof};
use crate::reconcile::context::{self, Ring};
use crate::reconcile::rings::{Rings, bytes};
use crate::reconcile::space::Space;
use crate::reconcile::{dying, proof};
use crate::units::ContextId;

/// What was found in one address space.
#[derive(Debug, Default)]
pub(super) struct Views {
    /// Its contexts, by id.
    pub contexts: Vec<ContextView>,
    /// Its rings without a context, by address.
    pub ghosts: Vec<GhostView>,
}

impl Space<'_> {
    /// Its contexts and ghosts, as the source of the evidence names them.
    pub(super) fn find(&self, source: CensusSource) -> Views {
        let mut rings = Rings::new(&self.look.mappings);
        let mut found = Views::default();
        match source {
            CensusSource::Proc => {
                found.contexts = rings.each().filter_map(|ring| context::view_alone(self, ring)).collect();
            }
            CensusSource::Bpf => {
                found.contexts = self.named_by_kernel(&mut rings);
                found.ghosts = self.ghosts(&rings);
            }
        }
        found
            .contexts
            .extend(self.word.iter().flat_map(|word| &word.waits).flat_map(|wait| dying::views(self, wait)));
        found.contexts.sort_by_key(|context| context.context);
        found.ghosts.sort_by_key(|ghost| ghost.address);
        found
    }

    fn named_by_kernel(&self, rings: &mut Rings<'_>) -> Vec<ContextView> {
        let read = proof::mappings_were_read(self.look);
        let mut facts: Vec<&Kioctx> = self.word.iter().flat_map(|word| &word.contexts).collect();
        facts.sort_by_key(|fact| fact.user_id);
        let mut views = Vec::with_capacity(facts.len());
        for same_address in facts.chunk_by(|a, b| a.user_id == b.user_id) {
            let owner = self.owner_of_ring(same_address, rings);
            for (place, fact) in same_address.iter().enumerate() {
                let at = rings.at(fact.user_id).is_some();
                if at {
                    rings.own(fact.user_id);
                }
                let rest = if at || !read { 0 } else { rings.own_rest(fact).unwrap_or(0) };
                let ring = match (rings.at(fact.user_id), owner) {
                    _ if !read => Ring::NotRead,
                    (Some(parts), Some(owner)) if owner == place => Ring::Parts(parts),
                    (Some(_), None) => Ring::Ambiguous,
                    (Some(_), Some(_)) | (None, _) => Ring::Gone { rest },
                };
                views.push(context::view(self, fact, ring));
            }
        }
        views
    }

    /// Which of the contexts with one address the ring mapped there belongs to.
    ///
    /// A live ring can be unmapped and a new one put at its address; both contexts stay in the table. Their sizes are
    /// facts, so they are asked first, then the index that the kernel wrote into the ring.
    fn owner_of_ring(&self, same_address: &[&Kioctx], rings: &Rings<'_>) -> Option<usize> {
        let [first, _, ..] = same_address else { return Some(0) };
        let size = rings.at(first.user_id)?.iter().fold(0_u64, |sum, part| sum.saturating_add(bytes(part)));
        if let Some(only) = the_only(same_address, |fact| fact.ring_len(self.page_size) == Some(size)) {
            return Some(only);
        }
        let Some(Ok(bytes)) = self.header(first.user_id).map(|reading| reading.bytes) else { return None };
        let id = crate::header::RingHeader::decode(&bytes).id;
        the_only(same_address, |fact| fact.table_index == id)
    }

    fn ghosts(&self, rings: &Rings<'_>) -> Vec<GhostView> {
        let still = self.proof == Proof::Consistent || self.look.manner != Manner::Running;
        rings
            .ghosts()
            .filter_map(|ring| {
                let first = ring.iter().min_by_key(|part| part.start)?;
                let address = ContextId(first.start);
                let reading = self.header(address).map(|reading| reading.bytes);
                // In a process that runs, a mapping that is gone again was a context when we came by.
                if !still && first.perms.read && matches!(reading, Some(Err(_))) {
                    return None;
                }
                Some(GhostView {
                    pid: self.process.pid,
                    comm: Arc::clone(&self.comm),
                    owner: Arc::clone(&self.owner),
                    address,
                    ring_len: ring.iter().fold(0, |sum, part| sum.saturating_add(bytes(part))),
                })
            })
            .collect()
    }
}

fn the_only(facts: &[&Kioctx], holds: impl Fn(&Kioctx) -> bool) -> Option<usize> {
    let mut places = facts.iter().enumerate().filter(|(_, fact)| holds(fact)).map(|(place, _)| place);
    let first = places.next();
    first.filter(|_| places.next().is_none())
}
