//! One look at the whole host, with the kernel's word. Nobody is touched.

use std::collections::BTreeMap;

use aioinspect_ebpf::{HeadRecord, RingRecord};

use super::census::{SpaceWord, by_space};
use super::clock;
use super::memory::{HeaderPlan, MemoryError};
use super::probe::{MmKey, Order, Probe, Records};
use super::procfs::{ProcDir, cgroup_of};
use super::source::SourceError;
use super::system;
use super::tracer::Tracer;
use crate::model::stat::Stat;
use crate::model::units::{ContextId, Instant, MmId, Pid};
use crate::model::witness::{
    AddressSpace, CensusSource, Evidence, HeaderReading, Look, Manner, MappingSource, Perms, Process,
    RingMapping, SystemFacts,
};

/// How often the census is taken again because aio-nr changed under it.
const TRIES: usize = 3;

/// Reads every context, every ring mapping and every ring header of the host.
pub fn host(
    probe: &mut Probe,
    mut facts: SystemFacts,
    owners: bool,
    notes: &mut Vec<String>,
    reader: HeaderReader<'_>,
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
    let words = by_space(&records, probe.knows_lock_seq());
    let (rings, mut headers) = match reader {
        HeaderReader::Us => rings_and_headers(probe, &words)?,
        HeaderReader::Kernel(tracer) => {
            let (rings, heads) = at_once(|| probe.rings(), || tracer.walk_heads());
            heads?;
            (rings?, by_kernel(&tracer.heads()))
        }
    };
    if rings.is_none() {
        notes.push("this kernel has no BPF iterator over mappings: ghost rings are not shown".to_owned());
    }
    let rings_at = rings.as_ref().map_or(Instant(0), |_| clock::now());
    let mut spaces: BTreeMap<MmKey, (SpaceWord, Vec<RingMapping>)> =
        words.into_iter().map(|(key, word)| (key, (word, Vec::new()))).collect();
    for ring in rings.iter().flatten() {
        let (word, mappings) = spaces.entry(MmKey(ring.mm)).or_default();
        mappings.push(mapping(ring, facts.page_size));
        if word.processes.is_empty() {
            word.processes.extend(process(Pid(ring.tgid)));
        }
    }
    let mut unreadable = 0_usize;
    let mut shown = Vec::with_capacity(spaces.len());
    for (ordinal, (key, (word, mappings))) in spaces.into_iter().enumerate() {
        if word.processes.is_empty() || (word.word.contexts.is_empty() && mappings.is_empty()) {
            continue;
        }
        let headers = headers.remove(&key).unwrap_or_default();
        unreadable = unreadable.saturating_add(usize::from(headers.not_permitted));
        shown.push(space(ordinal, word, mappings, rings_at, headers, owners));
    }
    if unreadable > 0 {
        notes.push(format!(
            "UNREAPED is not known of {unreadable} process(es) whose memory could not be read (needs CAP_SYS_PTRACE)"
        ));
    }
    shown.sort_by_key(|space| space.processes.first().map(|process| process.pid));
    Ok(Evidence { system: facts, source: CensusSource::Bpf, target: None, spaces: shown })
}

fn rings_and_headers(
    probe: &mut Probe,
    words: &BTreeMap<MmKey, SpaceWord>,
) -> Result<(Option<Vec<RingRecord>>, HeadersOf), SourceError> {
    let (rings, headers) = at_once(|| probe.rings(), || headers_of(words));
    Ok((rings?, headers))
}

/// On a host with many contexts both take long, and neither needs the other.
fn at_once<A, B: Send>(one: impl FnOnce() -> A, mut other: impl FnMut() -> B + Send) -> (A, B) {
    let (one, done) = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, &mut other);
        (one(), thread.map(std::thread::ScopedJoinHandle::join))
    });
    match done {
        Ok(Ok(done)) => (one, done),
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        // Without a thread, one after the other.
        Err(_) => (one, other()),
    }
}

/// The headers of each address space.
type HeadersOf = BTreeMap<MmKey, Headers>;

/// Who reads the headers of the rings.
pub enum HeaderReader<'a> {
    /// We, by process_vm_readv, which takes CAP_SYS_PTRACE for processes of others.
    Us,
    /// A program in the kernel, which a watch loaded when it had the privileges for it.
    Kernel(&'a mut Tracer),
}

fn by_kernel(records: &[HeadRecord]) -> BTreeMap<MmKey, Headers> {
    let at = clock::now();
    let mut headers: BTreeMap<MmKey, Headers> = BTreeMap::new();
    for record in records {
        let space = headers.entry(MmKey(record.mm)).or_insert_with(|| Headers { at, ..Headers::default() });
        let words = [record.header, record.header_1, record.header_2, record.header_3];
        let mut bytes = [0; 32];
        for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_ne_bytes());
        }
        let bytes = if record.answer == 0 { Ok(bytes) } else { Err(record.answer.saturating_neg()) };
        space.readings.push(HeaderReading { address: ContextId(record.address), bytes });
    }
    headers
}

/// The headers of one address space.
#[derive(Default)]
struct Headers {
    readings: Vec<HeaderReading>,
    at: Instant,
    not_permitted: bool,
}

/// Reads the headers of every context there is.
fn headers_of(words: &BTreeMap<MmKey, SpaceWord>) -> BTreeMap<MmKey, Headers> {
    words.iter().filter_map(|(key, word)| Some((*key, headers(word)?))).collect()
}

fn headers(word: &SpaceWord) -> Option<Headers> {
    let ids: Vec<_> = word.word.contexts.iter().map(|context| context.user_id).collect();
    let tid = word.live.first().filter(|_| !ids.is_empty())?;
    let mut plan = HeaderPlan::new(&ids, *tid);
    let read = plan.read();
    let at = clock::now();
    match read {
        Ok(()) => Some(Headers { readings: plan.finish(), at, not_permitted: false }),
        Err(MemoryError::NotPermitted(_)) => Some(Headers { at, not_permitted: true, ..Headers::default() }),
        Err(MemoryError::Gone(_) | MemoryError::Failed(..)) => None,
    }
}

fn space(
    ordinal: usize,
    word: SpaceWord,
    mut mappings: Vec<RingMapping>,
    mappings_at: Instant,
    headers: Headers,
    owners: bool,
) -> AddressSpace {
    let SpaceWord { word, mut processes, .. } = word;
    mappings.sort_by_key(|mapping| mapping.start);
    mappings.dedup();
    if owners {
        for process in &mut processes {
            process.cgroup = cgroup_of(process.pid).ok();
        }
    }
    // A space known by its mapping alone has no word of the kernel's on contexts but that it has none.
    let look = Look {
        manner: Manner::Running,
        before: Some(word),
        mappings,
        mappings_at,
        headers: headers.readings,
        headers_at: headers.at,
        ..Look::default()
    };
    AddressSpace {
        mm: MmId(u32::try_from(ordinal).unwrap_or(u32::MAX)),
        processes,
        looks: vec![look],
        image: None,
        traced: None,
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
