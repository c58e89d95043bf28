//! One address space in the look that is judged, with everything that helps to judge its contexts.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cpus::CpuSet;
use crate::evidence::{
    AddressSpace, CensusSource, HeaderReading, KernelWord, Look, Manner, Process, SystemFacts,
};
use crate::finding::Finding;
use crate::judged::judged_word;
use crate::kioctx::Kioctx;
use crate::picture::{ContextView, GhostView, Owner, Proof};
use crate::reconcile::context::{self, Ring};
use crate::reconcile::dying;
use crate::reconcile::notes::Notes;
use crate::reconcile::proof;
use crate::reconcile::rings::{Rings, bytes};
use crate::reconcile::sharing::Sharing;
use crate::reconcile::traced::Traced;
use crate::trend::{History, Key, key};
use crate::units::{ContextId, Pid};

/// An address space and its last look.
pub(super) struct Space<'a> {
    /// The process under which its contexts are shown: the lowest PID of those that share it.
    pub process: &'a Process,
    /// Its name.
    pub comm: Arc<[u8]>,
    /// Who runs it.
    pub owner: Arc<Owner>,
    /// The look that is judged.
    pub look: &'a Look,
    /// The kernel's word that is judged.
    pub word: Option<&'a KernelWord>,
    /// The contexts of the earlier word of this look.
    pub before: BTreeMap<Key, &'a Kioctx>,
    /// How far the look can be trusted.
    pub proof: Proof,
    /// What the earlier looks add.
    pub history: History,
    /// What a watch knew of it.
    pub traced: Option<Traced<'a>>,
    /// Number of possible CPUs.
    pub possible_cpus: u32,
    /// CPUs that were online; empty: not known.
    pub online_cpus: &'a CpuSet,
    /// Bytes of a page.
    pub page_size: u32,
    /// By address.
    headers: Vec<&'a HeaderReading>,
    ordinal: usize,
    sharing: &'a Sharing<'a>,
}

/// What was found in one address space.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Its contexts, by id.
    pub contexts: Vec<ContextView>,
    /// Its rings without a context, by address.
    pub ghosts: Vec<GhostView>,
}

/// The process under which the contexts of an address space are shown, and who runs it.
pub(super) struct Shown<'a> {
    /// The lowest PID of those that share it.
    pub process: &'a Process,
    /// By its control group.
    pub owner: Arc<Owner>,
}

/// Judges the last look of an address space; `ordinal` is its place in the evidence.
pub(super) fn judge<'a>(
    space: &'a AddressSpace,
    shown: Shown<'a>,
    look: &'a Look,
    history: History,
    ordinal: usize,
    system: &'a SystemFacts,
    sharing: &'a Sharing<'a>,
) -> Space<'a> {
    let mut headers: Vec<&HeaderReading> = look.headers.iter().collect();
    headers.sort_by_key(|reading| reading.address);
    let two_words = look.after.is_some();
    let earlier = look.before.iter().filter(|_| two_words).flat_map(|word| &word.contexts);
    Space {
        process: shown.process,
        comm: Arc::from(shown.process.comm.as_slice()),
        owner: shown.owner,
        look,
        word: judged_word(look),
        before: earlier.map(|context| (key(context), context)).collect(),
        proof: proof::prove(look),
        history,
        traced: space.traced.as_ref().map(|word| Traced::new(word, proof::judged_at(look), system)),
        possible_cpus: system.possible_cpus,
        online_cpus: &system.online_cpus,
        page_size: system.page_size,
        headers,
        ordinal,
        sharing,
    }
}

impl<'a> Space<'a> {
    /// What was read at an address.
    pub(super) fn header(&self, address: ContextId) -> Option<&'a HeaderReading> {
        let place = self.headers.partition_point(|reading| reading.address < address);
        self.headers.get(place).copied().filter(|reading| reading.address == address)
    }

    /// Names the other processes that can write this ring's head.
    pub(super) fn sharers(&self, inode: u64, notes: &mut Notes) {
        let mut told: Vec<Pid> = Vec::new();
        let said = self.look.sharers.iter().filter(|sharer| sharer.inode == inode);
        let said = said.map(|sharer| (sharer.pid, sharer.comm.as_slice(), sharer.address.0));
        for (pid, comm, address) in said.chain(self.sharing.others(inode, self.ordinal)) {
            if told.contains(&pid) {
                continue;
            }
            told.push(pid);
            let comm = String::from_utf8_lossy(comm);
            notes.say(Finding::SharedRing, format!("pid {pid} ({comm}) maps it at {address:#x}"));
        }
    }

    /// Its contexts and ghosts, as the source of the evidence names them.
    pub(super) fn find(&self, source: CensusSource) -> Found {
        let mut rings = Rings::new(&self.look.mappings);
        let mut found = Found::default();
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
