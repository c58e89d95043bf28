//! One look at the whole host, with the kernel's word. Nobody is touched.

use std::collections::BTreeMap;

use aioinspect_ebpf::RingRecord;

use super::census::{SpaceWord, by_space};
use super::clock;
use super::memory::{HeaderPlan, MemoryError};
use super::probe::{MmKey, Order, Probe, Records};
use super::procfs::ProcDir;
use super::source::SourceError;
use super::system;
use crate::model::stat::Stat;
use crate::model::units::{Instant, MmId, Pid};
use crate::model::witness::{
    AddressSpace, CensusSource, Evidence, Look, Manner, MappingSource, Perms, Process, RingMapping,
    SystemFacts,
};

/// How often the census is taken again because aio-nr changed under it.
const TRIES: usize = 3;

/// Reads every context, every ring mapping and every ring header of the host.
pub fn host(
    probe: &mut Probe,
    mut facts: SystemFacts,
    owners: bool,
    notes: &mut Vec<String>,
) -> Result<Evidence, SourceError> {
    let mut records = Records::default();
    for _ in 0..TRIES {
        records = probe.census(Order::All)?;
        let now = system::facts()?;
        let settled = now.aio_nr == facts.aio_nr;
        facts.aio_nr = now.aio_nr;
        if settled {
            break;
        }
    }
    let rings = probe.rings()?;
    if rings.is_none() {
        notes.push("this kernel has no BPF iterator over mappings: ghost rings are not shown".to_owned());
    }
    let rings_at = rings.as_ref().map_or(Instant(0), |_| clock::now());
    let mut spaces: BTreeMap<MmKey, (SpaceWord, Vec<RingMapping>)> =
        by_space(&records, probe.knows_lock_seq())
            .into_iter()
            .map(|(key, word)| (key, (word, Vec::new())))
            .collect();
    for ring in rings.iter().flatten() {
        let (word, mappings) = spaces.entry(MmKey(ring.mm)).or_default();
        mappings.push(mapping(ring, facts.page_size));
        if word.processes.is_empty() {
            word.processes.extend(process(Pid(ring.tgid)));
        }
    }
    let mut unreadable = 0_usize;
    let mut shown = Vec::with_capacity(spaces.len());
    for (ordinal, (word, mappings)) in spaces.into_values().enumerate() {
        if word.processes.is_empty() || (word.word.contexts.is_empty() && mappings.is_empty()) {
            continue;
        }
        shown.push(space(ordinal, word, mappings, rings_at, owners, &mut unreadable));
    }
    if unreadable > 0 {
        notes.push(format!(
            "UNREAPED is not known of {unreadable} process(es) whose memory could not be read (needs CAP_SYS_PTRACE)"
        ));
    }
    shown.sort_by_key(|space| space.processes.first().map(|process| process.pid));
    Ok(Evidence { system: facts, source: CensusSource::Bpf, target: None, spaces: shown })
}

fn space(
    ordinal: usize,
    word: SpaceWord,
    mut mappings: Vec<RingMapping>,
    mappings_at: Instant,
    owners: bool,
    unreadable: &mut usize,
) -> AddressSpace {
    let SpaceWord { word, mut processes, live } = word;
    mappings.sort_by_key(|mapping| mapping.start);
    mappings.dedup();
    let ids: Vec<_> = word.contexts.iter().map(|context| context.user_id).collect();
    let mut headers = Vec::new();
    if let (Some(tid), false) = (live.first(), ids.is_empty()) {
        let mut plan = HeaderPlan::new(&ids, *tid);
        match plan.read() {
            Ok(()) => headers = plan.finish(),
            Err(MemoryError::NotPermitted(_)) => *unreadable = unreadable.saturating_add(1),
            Err(MemoryError::Gone(_) | MemoryError::Failed(..)) => {}
        }
    }
    if owners {
        for process in &mut processes {
            process.cgroup = ProcDir::open(process.pid).ok().and_then(|dir| dir.cgroup().ok());
        }
    }
    // A space known by its mapping alone has no word of the kernel's on contexts but that it has none.
    let look = Look {
        manner: Manner::Running,
        before: Some(word),
        mappings,
        mappings_at,
        headers,
        headers_at: clock::now(),
        ..Look::default()
    };
    AddressSpace {
        mm: MmId(u32::try_from(ordinal).unwrap_or(u32::MAX)),
        processes,
        looks: vec![look],
        image: None,
    }
}

/// A process that is known by a mapping alone.
fn process(pid: Pid) -> Option<Process> {
    let dir = ProcDir::open(pid).ok()?;
    let stat = Stat::parse(&dir.stat().ok()?).ok()?;
    Some(Process { pid, comm: stat.comm, start_ticks: stat.start_ticks, cgroup: None })
}

/// A mapping as the kernel keeps it.
pub fn mapping(ring: &RingRecord, page_size: u32) -> RingMapping {
    // VM_READ, VM_WRITE, VM_EXEC, VM_SHARED of include/linux/mm.h.
    let has = |bit| ring.flags & bit != 0;
    RingMapping {
        start: ring.start,
        end: ring.end,
        offset: ring.page_offset.saturating_mul(u64::from(page_size)),
        inode: ring.inode,
        perms: Perms { read: has(1), write: has(2), exec: has(4), shared: has(8) },
        source: MappingSource::Iterator,
    }
}
