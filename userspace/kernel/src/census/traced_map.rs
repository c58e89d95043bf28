//! The map of a watch that is under way, found among the maps of the host: what it saw being made.

use std::os::fd::{AsFd, OwnedFd};

use aioinspect_ebpf::{Origin, SlotKey, SlotRecord, Wire};

use crate::bpf::{info, map};
use crate::census::probe::MmKey;
use crate::census::records::SpaceWord;
use aioinspect_model::evidence::{Made, TracedContext, TracedWord};
use aioinspect_model::units::{Instant, Pid, Tid};

/// The name under which a watch makes it.
const NAME: &[u8; 16] = b"TRACED\0\0\0\0\0\0\0\0\0\0";
/// `BPF_MAP_TYPE_HASH`.
const HASH: u32 = 1;

/// The key of the entry that is no context: it says since when the map is kept.
pub const SINCE: SlotKey = SlotKey { mm: 0, slot: u32::MAX, _pad: 0 };

/// The maps of the watches that are under way, and of those that have just ended: the kernel takes its time to let go of them.
#[derive(Debug, Default)]
pub struct TracedMaps(Vec<(OwnedFd, Instant)>);

impl TracedMaps {
    /// Looks for them; none without a watch, or without CAP_SYS_ADMIN, which the kernel wants of those who go through its maps.
    pub fn find() -> Self {
        let mut found = Vec::new();
        let mut id = 0;
        while let Ok(Some(next)) = info::next_map_id(id) {
            id = next;
            // It may be gone by now.
            let Ok(map) = info::map_by_id(id) else { continue };
            if let Some(since) = since(&map) {
                found.push((map, since));
            }
        }
        Self(found)
    }

    /// What the one that knows most knows of the contexts of one address space; `None` without any. An entry for another context in
    /// the same slot says nothing.
    pub fn word(&self, mm: MmKey, space: &SpaceWord) -> Option<TracedWord> {
        let words = self.0.iter().map(|(map, since)| {
            let known = space.kioctxs.iter().filter_map(|(slot, kioctx)| {
                let record = lookup(map, &SlotKey { mm: mm.0, slot: *slot, _pad: 0 })?;
                (record.kioctx == *kioctx).then(|| context(*slot, &record))
            });
            TracedWord { since: *since, contexts: known.collect() }
        });
        words.max_by_key(|word| {
            let made = word.contexts.iter().filter(|context| context.made.is_some()).count();
            (word.contexts.len(), made, std::cmp::Reverse(word.since))
        })
    }
}

fn since(map: &OwnedFd) -> Option<Instant> {
    let info = info::map_info(map.as_fd()).ok()?;
    let sizes = (usize::try_from(info.key_size).ok()?, usize::try_from(info.value_size).ok()?);
    if info.kind != HASH || info.name != *NAME || sizes != (SlotKey::SIZE, SlotRecord::SIZE) {
        return None;
    }
    lookup(map, &SINCE).map(|record| Instant(record.made_at))
}

fn lookup(map: &OwnedFd, key: &SlotKey) -> Option<SlotRecord> {
    let (mut key_bytes, mut value) = ([0; SlotKey::SIZE], [0; SlotRecord::SIZE]);
    key.write(&mut key_bytes)?;
    map::lookup(map.as_fd(), &key_bytes, &mut value).ok()??;
    SlotRecord::read(&value)
}

fn context(slot: u32, record: &SlotRecord) -> TracedContext {
    let mut comm = [record.comm_low.to_ne_bytes(), record.comm_high.to_ne_bytes()].concat();
    comm.truncate(comm.iter().position(|byte| *byte == 0).unwrap_or(comm.len()));
    let seen = record.origin == Origin::Traced as u32;
    TracedContext {
        table_index: slot,
        made: seen.then_some(Made { at: Instant(record.made_at), tid: Tid(record.tid) }),
        pid: Pid(record.tgid),
        comm,
        max_reqs: record.max_reqs,
    }
}
