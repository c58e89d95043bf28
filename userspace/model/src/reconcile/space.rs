//! One address space in the look that is judged, with everything that helps to judge its contexts.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cpus::CpuSet;
use crate::evidence::{AddressSpace, HeaderReading, KernelWord, Look, Process, SystemFacts};
use crate::finding::Finding;
use crate::judged::judged_word;
use crate::kioctx::Kioctx;
use crate::picture::{About, Owner, Proof};
use crate::reconcile::notes::Notes;
use crate::reconcile::proof;
use crate::reconcile::sharing::Sharing;
use crate::reconcile::traced::Traced;
use crate::trend::{History, Key, key};
use crate::units::{ContextId, Pid};

/// An address space and its last look.
pub(super) struct Space<'a> {
    /// The process under which its contexts are shown: the lowest PID of those that share it.
    pub process: &'a Process,
    /// Name of that process, raw bytes.
    pub comm: Arc<[u8]>,
    /// Who runs it.
    pub owner: Arc<Owner>,
    /// What else tells it from others.
    pub about: Arc<About>,
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

/// The process under which the contexts of an address space are shown, and who runs it.
pub(super) struct Shown<'a> {
    /// The lowest PID of those that share it.
    pub process: &'a Process,
    /// By its control group.
    pub owner: Arc<Owner>,
    /// What else tells it from others.
    pub about: Arc<About>,
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
        about: shown.about,
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
}
