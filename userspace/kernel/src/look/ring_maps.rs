//! Every mapping of a ring on the host, as `/proc/PID/maps` of each process shows it: what stands in for the BPF iterator over mappings on
//! kernels before 5.12.
//!
//! The iterator sees all mappings while the census runs. Here the mappings are read before it, and once more after it where the two do not
//! agree: a ring that was there both times and has no context in the table had none in between.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;

use aioinspect_ebpf::RingRecord;

use crate::census::probe::MmKey;
use crate::census::records::SpaceWord;
use crate::freeze::tracee::{RawTid, share_mm};
use crate::proc::files::{ProcDir, ProcError, SMAPS_MAX, processes};
use aioinspect_model::evidence::{MappingSource, Perms, RingMapping};
use aioinspect_model::units::{Pid, Tid};
use aioinspect_parse::proc::smaps::{confirm_rings, parse_rings, ring_mappings};

/// A mapping of a ring, and where it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MappedRing {
    /// The address space.
    pub mm: MmKey,
    /// A process in it.
    pub pid: Pid,
    /// Where in that address space it is, and how it is mapped.
    pub mapping: RingMapping,
}

/// A mapping as the iterator reports it.
pub fn by_iterator(ring: &RingRecord, page_size: u32) -> MappedRing {
    // VM_READ, VM_WRITE, VM_EXEC, VM_SHARED of include/linux/mm.h.
    let has = |bit| ring.flags & bit != 0;
    let mapping = RingMapping {
        start: ring.start,
        end: ring.end,
        offset: ring.page_offset.saturating_mul(u64::from(page_size)),
        inode: ring.inode,
        perms: Perms { read: has(1), write: has(2), exec: has(4), shared: has(8) },
        source: MappingSource::Iterator,
    };
    MappedRing { mm: MmKey(ring.mm), pid: Pid(ring.tgid), mapping }
}

/// What the processes' own files said.
#[derive(Debug, Default)]
pub struct RingMaps {
    /// Of each process that could be read: a thread with its memory, and its rings.
    read: BTreeMap<Pid, (Tid, Vec<RingMapping>)>,
    /// Processes that could not be looked into: CAP_SYS_PTRACE is missing.
    refused: usize,
}

impl RingMaps {
    /// Reads them all.
    pub fn of_host() -> io::Result<Self> {
        let mut maps = Self::default();
        for pid in processes()? {
            match rings_of(pid) {
                Ok(found) => drop(maps.read.insert(pid, found)),
                Err(ProcError::NotPermitted { .. }) => maps.refused = maps.refused.saturating_add(1),
                // Gone meanwhile, without memory, or odd in a way that concerns nobody else.
                Err(_) => {}
            }
        }
        Ok(maps)
    }

    /// What the user should know; `None` if all could be read.
    pub fn note(&self) -> Option<String> {
        (self.refused > 0).then(|| {
            format!(
                "this kernel has no BPF iterator over mappings, and the mappings of {} process(es) could not be read \
                 (needs CAP_SYS_PTRACE): ghost rings and shared rings there are not shown",
                self.refused
            )
        })
    }

    /// Whether the mappings of one of these processes were read.
    pub fn has_read(&self, pids: impl IntoIterator<Item = Pid>) -> bool {
        pids.into_iter().any(|pid| self.read.contains_key(&pid))
    }

    /// Looks again at those that do not agree with a census that was taken since.
    pub fn settle<'a>(&mut self, words: impl IntoIterator<Item = &'a SpaceWord>) {
        let mut contexts: BTreeMap<Pid, BTreeSet<u64>> = BTreeMap::new();
        for word in words {
            let ids: BTreeSet<u64> = word.word.contexts.iter().map(|context| context.user_id.0).collect();
            contexts.extend(word.processes.iter().map(|process| (process.pid, ids.clone())));
        }
        let none = BTreeSet::new();
        let again: Vec<Pid> = self
            .read
            .iter()
            .filter(|(pid, (_, rings))| {
                let ids = contexts.get(pid).unwrap_or(&none);
                !starts(rings).eq(ids.iter().copied())
            })
            .map(|(pid, _)| *pid)
            .chain(contexts.keys().copied().filter(|pid| !self.read.contains_key(pid)))
            .collect();
        for pid in again {
            let (_, before) = self.read.remove(&pid).unwrap_or((Tid(pid.0), Vec::new()));
            let Ok((tid, mut rings)) = rings_of(pid) else { continue };
            let ids = contexts.get(&pid).unwrap_or(&none);
            // A ring that is new and has no context in the census may have got one after it.
            rings
                .retain(|ring| ids.contains(&ring.start) || before.iter().any(|old| old.inode == ring.inode));
            self.read.insert(pid, (tid, rings));
        }
    }

    /// The mappings by address space: that of the census where it knows the process, else one that is told by its lowest process.
    pub fn grouped(self, mm_of: &HashMap<Pid, MmKey>) -> Vec<MappedRing> {
        let mut found: Vec<MappedRing> = Vec::new();
        // Those whose address space no census named: few, for they have no table of contexts.
        let mut unnamed: Vec<(MmKey, Tid, Vec<RingMapping>)> = Vec::new();
        for (pid, (tid, rings)) in self.read {
            if rings.is_empty() {
                continue;
            }
            let known = mm_of.get(&pid).copied();
            let mm = known.unwrap_or_else(|| {
                // Only who maps the same rings at the same places can share the memory.
                let same = unnamed.iter().find(|(_, other, of)| *of == rings && same_mm(tid, *other));
                // A process id is no address of the kernel's.
                same.map_or(MmKey(pid.0.into()), |(mm, ..)| *mm)
            });
            found.extend(rings.iter().map(|mapping| MappedRing { mm, pid, mapping: *mapping }));
            if known.is_none() {
                unnamed.push((mm, tid, rings));
            }
        }
        found
    }
}

/// The first addresses of the rings, in order.
fn starts(rings: &[RingMapping]) -> impl Iterator<Item = u64> {
    let starts: BTreeSet<u64> = rings.iter().filter(|ring| ring.offset == 0).map(|ring| ring.start).collect();
    starts.into_iter()
}

/// The process each address space of a census is known by.
pub fn mm_of<'a>(words: impl IntoIterator<Item = (&'a MmKey, &'a SpaceWord)>) -> HashMap<Pid, MmKey> {
    let pids = |(mm, word): (&MmKey, &'a SpaceWord)| {
        let mm = *mm;
        word.processes.iter().map(move |process| (process.pid, mm))
    };
    words.into_iter().flat_map(pids).collect()
}

/// The confirmed ring mappings of a process, and a thread whose memory they are in.
pub fn rings_of(pid: Pid) -> Result<(Tid, Vec<RingMapping>), ProcError> {
    let dir = ProcDir::open(pid)?;
    let tid = match dir.live_thread() {
        Ok(tid) => tid,
        Err(ProcError::KernelThread(_) | ProcError::Zombie(_) | ProcError::Exiting { .. }) => {
            return Ok((Tid(pid.0), Vec::new()));
        }
        Err(error) => return Err(error),
    };
    let text = dir.read(&format!("task/{tid}/maps"), SMAPS_MAX)?;
    let mut rings = parse_rings(&text).unwrap_or_default();
    confirm_rings(&mut rings, |start, end| dir.map_file_mode(start, end));
    Ok((tid, ring_mappings(&rings)))
}

/// Whether two threads have one memory; not, where the kernel does not say.
pub fn same_mm(one: Tid, other: Tid) -> bool {
    match (RawTid::try_from(one.0), RawTid::try_from(other.0)) {
        (Ok(one), Ok(other)) => share_mm(one, other) == Ok(true),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aioinspect_model::evidence::Process;
    use aioinspect_model::specimen::{AT, kioctx, ring};

    fn maps(of: &[(u32, Vec<RingMapping>)]) -> RingMaps {
        let read = of.iter().map(|(pid, rings)| (Pid(*pid), (Tid(*pid), rings.clone()))).collect();
        RingMaps { read, refused: 0 }
    }

    fn word(pid: u32, ids: &[u64]) -> SpaceWord {
        let mut word = SpaceWord::default();
        word.word.contexts = (0..).zip(ids).map(|(index, id)| kioctx(*id, index)).collect();
        word.processes = vec![Process { pid: Pid(pid), ..Process::default() }];
        word
    }

    /// No process has this id: there is none to look at again.
    const NOBODY: u32 = u32::MAX;

    /// Check that who agrees with the census is not looked at again, and that who does not and is gone is forgotten.
    #[test]
    fn settles() {
        let mut read = maps(&[(NOBODY, vec![ring(AT, 1)])]);
        read.settle([&word(NOBODY, &[AT])]);
        assert!(read.has_read([Pid(NOBODY)]));
        read.settle([&word(NOBODY, &[AT, AT + 0x10000])]);
        assert!(!read.has_read([Pid(NOBODY)]));
        let mut ghost = maps(&[(NOBODY, vec![ring(AT, 1)])]);
        ghost.settle([]);
        assert!(!ghost.has_read([Pid(NOBODY)]));
        // Of this process, which has no ring, what was seen before is gone.
        let us = std::process::id();
        let mut ours = maps(&[(us, vec![ring(AT, 1)])]);
        ours.settle([]);
        assert!(ours.has_read([Pid(us)]) && ours.grouped(&HashMap::new()).is_empty());
    }

    /// Check that processes are in the address space that the census says, and others in one of their own.
    #[test]
    fn groups() {
        let one = vec![ring(AT, 1)];
        let read = maps(&[
            (5, one.clone()),
            (6, one.clone()),
            (NOBODY - 1, one.clone()),
            (NOBODY, vec![ring(AT, 2)]),
        ]);
        let words = [(MmKey(1 << 63), word(5, &[AT]))];
        let mut of = mm_of(words.iter().map(|(mm, word)| (mm, word)));
        of.insert(Pid(6), MmKey(1 << 63));
        let found: Vec<_> = read.grouped(&of).iter().map(|ring| (ring.pid.0, ring.mm.0)).collect();
        let apart = |pid: u32| (pid, u64::from(pid));
        assert_eq!(found, [(5, 1 << 63), (6, 1 << 63), apart(NOBODY - 1), apart(NOBODY)]);
    }

    /// Check that the note is there where something is not.
    #[test]
    fn notes() {
        assert_eq!(RingMaps::default().note(), None);
        let note = RingMaps { refused: 3, ..RingMaps::default() }.note().unwrap();
        assert!(note.contains("3 process(es)") && note.contains("CAP_SYS_PTRACE"), "{note}");
    }

    /// Check that the host is read without any privilege, and this process has no ring.
    #[test]
    fn of_this_host() {
        let read = RingMaps::of_host().unwrap();
        let us = Pid(std::process::id());
        assert!(read.has_read([us]));
        assert!(read.grouped(&HashMap::new()).iter().all(|ring| ring.pid != us));
    }
}
