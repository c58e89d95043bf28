//! One look at the whole host, with the kernel's word. Nobody is touched.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aioinspect_ebpf::HeadRecord;

use crate::census::probe::{CensusScope, MmKey, Probe, Records, RingWalk};
use crate::census::records::{SpaceWord, by_space};
use crate::census::waiters;
use crate::host::clock;
use crate::host::system;
use crate::look::evidence_source::SourceError;
use crate::look::ring_maps::{RingMaps, by_iterator, mm_of};
use crate::proc::cgroups::CssSets;
use crate::proc::files::{cgroup_of, process_of};
use crate::proc::memory::{HeaderPlan, MemoryError};
use crate::trace::tracer::Tracer;
use aioinspect_model::evidence::{
    AddressSpace, CensusSource, Evidence, HeaderReading, Look, Manner, Process, RingMapping, SystemFacts,
};
use aioinspect_model::units::{ContextId, Instant, MmId, Pid};

/// How often the census is taken again because aio-nr changed under it.
const TRIES: usize = 3;

/// Reads every context, every ring mapping and every ring header of the host.
pub(crate) fn look(
    probe: &mut Probe,
    mut facts: SystemFacts,
    owners: bool,
    notes: &mut Vec<String>,
    reader: HeaderReader<'_>,
) -> Result<Evidence, SourceError> {
    let walk = probe.open_rings()?;
    // Before the census, for who looks later at processes that come and go cannot tell a ghost.
    let mut maps = if walk.is_none() { Some(RingMaps::of_host()?) } else { None };
    let (told, walked) = at_once(
        || kernel_word(probe, &mut facts, owners, reader),
        || walk.as_ref().map(RingWalk::run).transpose(),
    );
    let Told { words, mut headers, mut cgroups } = told?;
    let walked = walked?;
    let unread = unread(maps.as_mut(), &words, notes);
    let rings = match (walked, maps) {
        (Some(records), _) => records.iter().map(|ring| by_iterator(ring, facts.page_size)).collect(),
        (None, Some(maps)) => maps.grouped(&mm_of(&words)),
        (None, None) => Vec::new(),
    };
    let rings_at = clock::now();
    let mut spaces: BTreeMap<MmKey, (SpaceWord, Vec<RingMapping>)> =
        words.into_iter().map(|(key, word)| (key, (word, Vec::new()))).collect();
    // Those of a process follow one another.
    for of_one in rings.chunk_by(|a, b| (a.mm, a.pid) == (b.mm, b.pid)) {
        let Some(first) = of_one.first() else { continue };
        let (word, mappings) = spaces.entry(first.mm).or_default();
        mappings.extend(of_one.iter().map(|ring| ring.mapping));
        // An address space that the census named has all its processes.
        if word.live.is_empty() && !word.processes.iter().any(|process| process.pid == first.pid) {
            word.processes.extend(process_of(first.pid));
        }
    }
    let mut unreadable = 0_usize;
    let mut shown = Vec::with_capacity(spaces.len());
    for (ordinal, (key, (word, mappings))) in spaces.into_iter().enumerate() {
        if word.processes.is_empty()
            || (word.word.contexts.is_empty() && mappings.is_empty() && word.word.waits.is_empty())
        {
            continue;
        }
        let headers = headers.remove(&key).unwrap_or_default();
        unreadable = unreadable.saturating_add(usize::from(headers.not_permitted));
        // What nobody looked at must not look unmapped.
        let mappings_at = if unread.contains(&key) { Instant(0) } else { rings_at };
        let mut space = space(ordinal, word, mappings, mappings_at, headers);
        if let Some(shared) = &mut cgroups {
            add_cgroups(&mut space.processes, shared);
        }
        shown.push(space);
    }
    if unreadable > 0 {
        notes.push(format!(
            "UNREAPED is not known for {unreadable} process(es): cannot read their memory (needs CAP_SYS_PTRACE)"
        ));
    }
    shown.sort_by_key(|space| space.processes.first().map(|process| process.pid));
    let lacks = probe.known().lacks().to_vec();
    Ok(Evidence { system: facts, source: CensusSource::Bpf, target: None, root: None, spaces: shown, lacks })
}

/// The address spaces whose mappings could not be read, where the processes' own files are all there is.
fn unread(
    maps: Option<&mut RingMaps>,
    words: &BTreeMap<MmKey, SpaceWord>,
    notes: &mut Vec<String>,
) -> BTreeSet<MmKey> {
    let Some(maps) = maps else { return BTreeSet::new() };
    maps.settle(words.values());
    notes.extend(maps.note());
    let pids = |word: &SpaceWord| word.processes.iter().map(|process| process.pid).collect::<Vec<_>>();
    words.iter().filter(|(_, word)| !maps.has_read(pids(word))).map(|(key, _)| *key).collect()
}

/// What the kernel says of the contexts, and what can be asked about because of that.
struct Told {
    words: BTreeMap<MmKey, SpaceWord>,
    headers: HeadersOf,
    /// Texts of cgroups that many share; `None`: they are not wanted.
    cgroups: Option<HashMap<Pid, Vec<u8>>>,
}

/// The census, and the headers of the rings it names: in this order, so that a header is there if its context was made meanwhile.
fn kernel_word(
    probe: &mut Probe,
    facts: &mut SystemFacts,
    owners: bool,
    reader: HeaderReader<'_>,
) -> Result<Told, SourceError> {
    let mut records = Records::default();
    for _ in 0..TRIES {
        records = probe.census(CensusScope::All)?;
        let now = system::facts()?;
        let settled = now.aio_nr == facts.aio_nr;
        facts.aio_nr = now.aio_nr;
        if settled {
            break;
        }
    }
    let mut words = by_space(&records, probe.known());
    // After the table: what left it meanwhile is found, and what is found twice is told by its `dead`.
    let waiting = waiters::waiters(probe)?;
    let headers = match reader {
        HeaderReader::Us => headers_of(&words),
        HeaderReader::Kernel(tracer) => by_kernel(&tracer.read_heads()?),
    };
    waiters::add(&mut words, waiting, probe.known());
    let cgroups = owners.then(|| CssSets::of(&records.tasks).texts());
    Ok(Told { words, headers, cgroups })
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
pub(crate) enum HeaderReader<'a> {
    /// We, by process_vm_readv, which takes CAP_SYS_PTRACE for processes of others.
    Us,
    /// A program in the kernel, which a watch loaded when it had the privileges for it.
    Kernel(&'a mut Tracer),
}

fn by_kernel(records: &[HeadRecord]) -> BTreeMap<MmKey, Headers> {
    let at = clock::now();
    let mut headers: BTreeMap<MmKey, Headers> = BTreeMap::new();
    for of_one in records.chunk_by(|a, b| a.mm == b.mm) {
        let Some(first) = of_one.first() else { continue };
        let space = headers.entry(MmKey(first.mm)).or_insert_with(|| Headers { at, ..Headers::default() });
        space.readings.extend(of_one.iter().map(reading));
    }
    headers
}

fn reading(record: &HeadRecord) -> HeaderReading {
    let words = [record.header, record.header_1, record.header_2, record.header_3];
    let mut bytes = [0; 32];
    for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
        to.copy_from_slice(&word.to_ne_bytes());
    }
    let bytes = if record.answer == 0 { Ok(bytes) } else { Err(record.answer.saturating_neg()) };
    HeaderReading { address: ContextId(record.address), bytes }
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
) -> AddressSpace {
    let SpaceWord { word, processes, .. } = word;
    mappings.sort_by_key(|mapping| mapping.start);
    mappings.dedup();
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
        not_looked_at: None,
    }
}

/// Puts the texts that are known to the processes, and reads those of the others.
fn add_cgroups(processes: &mut [Process], shared: &mut HashMap<Pid, Vec<u8>>) {
    for process in processes {
        process.cgroup = shared.remove(&process.pid).or_else(|| cgroup_of(process.pid).ok());
    }
}
