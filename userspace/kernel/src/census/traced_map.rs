//! The map of a watch that is under way, found among the maps of the host: what it saw being made.

use std::os::fd::{AsFd, OwnedFd};

use aioinspect_ebpf::{Origin, TracedKey, TracedRecord};

use crate::bpf::info;
use crate::bpf::map::HashMap;
use crate::census::records::{MmKey, SpaceWord};
use aioinspect_model::evidence::{Made, TracedContext, TracedWord};
use aioinspect_model::units::{ContextId, Instant, Pid, Tid};

/// The name under which a watch makes it.
const NAME: &[u8; 16] = b"TRACED\0\0\0\0\0\0\0\0\0\0";

/// The key of the entry that is no context: it says since when the map is kept.
const SINCE: TracedKey = TracedKey { mm: 0, table_index: u32::MAX, _pad: 0 };

/// The maps of the watches that are under way, and of those that have just ended: the kernel takes its time to let go of them.
#[derive(Debug, Default)]
pub(crate) struct TracedMaps(Vec<(HashMap<TracedKey, TracedRecord>, Instant)>);

impl TracedMaps {
    /// Looks for them; none without a watch, or without CAP_SYS_ADMIN, which the kernel wants of those who go through its maps.
    pub(crate) fn find() -> Self {
        let mut found = Vec::new();
        let mut id = 0;
        while let Ok(Some(next)) = info::next_map_id(id) {
            id = next;
            // It may be gone by now.
            let Ok(map) = info::map_by_id(id) else { continue };
            found.extend(open(map));
        }
        Self(found)
    }

    /// All that the oldest of them knows of the contexts of the host, and since when it knows; `None` without any.
    pub(crate) fn oldest(&self) -> Option<(Vec<(ContextId, TracedContext)>, Instant)> {
        let (map, since) = self.0.iter().min_by_key(|(_, since)| *since)?;
        Some((contexts(&map.all().ok()?), *since))
    }

    /// What the one that knows most knows of the contexts of one address space; `None` without any. An entry for another context in
    /// the same table index says nothing.
    pub(crate) fn word(&self, mm: MmKey, space: &SpaceWord) -> Option<TracedWord> {
        let words = self.0.iter().map(|(map, since)| {
            let known = space.kioctxs.iter().filter_map(|(index, kioctx)| {
                let record = map.get(&TracedKey { mm: mm.0, table_index: *index, _pad: 0 }).ok()??;
                (record.kioctx == *kioctx).then(|| context(*index, &record))
            });
            TracedWord { since: *since, contexts: known.collect() }
        });
        words.max_by_key(|word| {
            let made = word.contexts.iter().filter(|context| context.made.is_some()).count();
            (word.contexts.len(), made, std::cmp::Reverse(word.since))
        })
    }
}

/// A map that is of a watch, and since when it is kept.
fn open(map: OwnedFd) -> Option<(HashMap<TracedKey, TracedRecord>, Instant)> {
    if info::map_name(map.as_fd()).ok()? != *NAME {
        return None;
    }
    let map = HashMap::open(map).ok()?;
    let since = map.get(&SINCE).ok()??;
    Some((map, Instant(since.made_at)))
}

/// The entries that are contexts, with the address of each.
pub(crate) fn contexts(entries: &[(TracedKey, TracedRecord)]) -> Vec<(ContextId, TracedContext)> {
    let is_one = |(key, record): &&(TracedKey, TracedRecord)| *key != SINCE && record.kioctx != 0;
    let entry = |(key, record): &(TracedKey, TracedRecord)| {
        (ContextId(record.context), context(key.table_index, record))
    };
    entries.iter().filter(is_one).map(entry).collect()
}

/// An entry of the map.
pub(crate) fn context(table_index: u32, record: &TracedRecord) -> TracedContext {
    let mut comm = [record.comm_low.to_ne_bytes(), record.comm_high.to_ne_bytes()].concat();
    comm.truncate(comm.iter().position(|byte| *byte == 0).unwrap_or(comm.len()));
    let seen = record.origin == Origin::Traced as u32;
    TracedContext {
        table_index,
        made: seen.then_some(Made { at: Instant(record.made_at), tid: Tid(record.tid) }),
        pid: Pid(record.tgid),
        comm,
        max_reqs: record.max_reqs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::call::{MapShape, map_create};
    use crate::bpf::stand_in::StandIn;

    /// Check that the map of a watch is found among others by its name, and that one of its name which is not made as it is passed over.
    #[test]
    fn found_among_others() {
        let _kernel = StandIn::start();
        let traced = MapShape::hash::<TracedKey, TracedRecord>(4);
        let _others = [
            map_create("TRACED", MapShape::hash::<TracedKey, TracedKey>(4)).unwrap(),
            map_create("OTHER", traced).unwrap(),
            // Just made: it does not say since when.
            map_create("TRACED", traced).unwrap(),
        ];
        assert!(TracedMaps::find().0.is_empty());
        let map = map_create("TRACED", traced).unwrap();
        StandIn::put(&map, &SINCE, &TracedRecord { made_at: 70, ..TracedRecord::default() });
        let entry = TracedRecord { kioctx: 0xa0, max_reqs: 8, tgid: 5, ..TracedRecord::default() };
        StandIn::put(&map, &TracedKey { mm: 1, table_index: 3, _pad: 0 }, &entry);
        let maps = TracedMaps::find();
        let word = |kioctx| {
            let space = SpaceWord { kioctxs: vec![(2, 0xb0), (3, kioctx)], ..SpaceWord::default() };
            maps.word(MmKey(1), &space).unwrap()
        };
        assert_eq!(word(0xa0).since, Instant(70));
        assert_eq!(word(0xa0).contexts, [context(3, &entry)]);
        assert_eq!(word(0xa1).contexts, []);
        assert_eq!(maps.oldest().unwrap(), (vec![(ContextId(0), context(3, &entry))], Instant(70)));
    }
}
