//! What the programs told of control groups: from the key of an event to the owner, also when the groups are gone.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::sync::Arc;

use aioinspect_ebpf::{CgroupKey, CgroupNameKey, CgroupNameRecord, CgroupRecord};

use crate::bpf::embedded::Prepared;
use crate::bpf::error::ProbeError;
use crate::bpf::map::HashMap;
use aioinspect_model::owner::owner;
use aioinspect_model::picture::Owner;
use aioinspect_parse::proc::cgroup_paths::{CgroupPath, as_proc_has_it};

/// Entries of each of the two maps, which take some 3 MiB together; they are emptied when half of them are used.
pub(crate) const ENTRIES: u32 = 16_384;
/// Owners that are remembered at most: of all that the map can hold, where each set of groups takes two entries at least.
const KNOWN: usize = 8192;
/// Levels that the programs tell of at most.
const LEVELS: u32 = 32;

/// The maps of one object, and what was read from them.
#[derive(Debug)]
pub struct CgroupMaps {
    cgroups: HashMap<CgroupKey, CgroupRecord>,
    names: HashMap<CgroupNameKey, CgroupNameRecord>,
    /// The root of our cgroup namespace.
    roots: Vec<CgroupPath>,
    known: BTreeMap<u64, Arc<Owner>>,
    /// Entries that were read since there was room, those of names counted once for each group that is in them.
    read: usize,
    /// Whether somebody's groups were not told.
    is_untold: bool,
}

impl CgroupMaps {
    /// Takes the maps out of a loaded object. `reader`: the key of the root of our cgroup namespace, as the programs learnt it.
    pub(crate) fn take(prepared: &mut Prepared, reader: u64) -> Result<Self, ProbeError> {
        let mut maps = Self {
            cgroups: prepared.take("CGROUPS", HashMap::open)?,
            names: prepared.take("CGROUP_NAMES", HashMap::open)?,
            roots: Vec::new(),
            known: BTreeMap::new(),
            read: 0,
            is_untold: false,
        };
        // In the first namespace it is the root of everything, which is what an empty list means too.
        maps.roots = maps.paths(reader).ok().flatten().unwrap_or_default();
        Ok(maps)
    }

    /// Who runs the processes in these control groups; `None` where that was not told. `cgroups`: as an event or a count has it.
    pub fn owner(&mut self, cgroups: u64) -> Option<Arc<Owner>> {
        if cgroups == 0 {
            self.is_untold = true;
            return None;
        }
        if let Some(known) = self.known.get(&cgroups) {
            return Some(Arc::clone(known));
        }
        // What cannot be read is not known; the next event has another try.
        let Ok(Some(paths)) = self.paths(cgroups) else {
            // It is told again.
            let _ = self.cgroups.delete(&key(cgroups, 0));
            return None;
        };
        let own = std::fs::read("/proc/self/cgroup").ok()?;
        let found = Arc::new(owner(&as_proc_has_it(&paths, &self.roots, &own)));
        if self.known.len() >= KNOWN {
            self.known.clear();
        }
        self.known.insert(cgroups, Arc::clone(&found));
        Some(found)
    }

    /// Empties the maps when they may be full soon, or were; what nobody asked about is read before.
    pub fn make_room(&mut self) -> io::Result<()> {
        let half = usize::try_from(ENTRIES / 2).unwrap_or(usize::MAX);
        if self.read < half && !std::mem::take(&mut self.is_untold) {
            return Ok(());
        }
        self.read = 0;
        // What is told from here on stays, and so do the names that it may have found here: of groups that hold others.
        let names = self.names.all()?;
        let groups = self.cgroups.all()?;
        if names.len().max(groups.len()) < half {
            return Ok(());
        }
        for (key, _) in groups.iter().filter(|(key, _)| key.index == 0) {
            self.owner(key.cgroups);
        }
        for (key, _) in &groups {
            self.cgroups.delete(key)?;
        }
        let above: HashSet<(u32, u64)> =
            names.iter().map(|(key, name)| (key.hierarchy, name.above)).collect();
        for (key, _) in names.iter().filter(|(key, _)| !above.contains(&(key.hierarchy, key.id))) {
            self.names.delete(key)?;
        }
        Ok(())
    }

    /// The groups under a key; `None` where they or their names are not in the maps.
    fn paths(&mut self, cgroups: u64) -> io::Result<Option<Vec<CgroupPath>>> {
        let Some(CgroupRecord { count, .. }) = self.cgroups.get(&key(cgroups, 0))? else {
            return Ok(None);
        };
        let mut paths = Vec::new();
        for index in 1..=count {
            let Some(CgroupRecord { id, hierarchy, .. }) = self.cgroups.get(&key(cgroups, index))? else {
                return Ok(None);
            };
            let Some(names) = self.path(hierarchy, id)? else { return Ok(None) };
            self.read = self.read.saturating_add(1).saturating_add(names.len());
            paths.push(CgroupPath { hierarchy, names });
        }
        Ok(Some(paths))
    }

    /// The names from below the root down to that group.
    fn path(&self, hierarchy: u32, mut id: u64) -> io::Result<Option<Vec<Vec<u8>>>> {
        let mut names = Vec::new();
        for _ in 0..LEVELS {
            if id == 0 {
                break;
            }
            let Some((name, above)) = self.name(hierarchy, id)? else { return Ok(None) };
            names.push(name);
            id = above;
        }
        names.reverse();
        Ok((id == 0).then_some(names))
    }

    /// The name of a group, and the one that it is in.
    fn name(&self, hierarchy: u32, id: u64) -> io::Result<Option<(Vec<u8>, u64)>> {
        let mut name = Vec::new();
        for part in 0..CgroupNameRecord::PARTS {
            let key = CgroupNameKey { id, hierarchy, part };
            let Some(record) = self.names.get(&key)? else {
                return Ok(None);
            };
            let bytes = record.bytes();
            let ended = bytes.iter().position(|byte| *byte == 0);
            name.extend(bytes.into_iter().take(ended.unwrap_or(usize::MAX)));
            if ended.is_some() {
                return Ok(Some((name, record.above)));
            }
        }
        Ok(None)
    }
}

fn key(cgroups: u64, index: u32) -> CgroupKey {
    CgroupKey { cgroups, index, _pad: 0 }
}
