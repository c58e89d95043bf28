//! Evidence for tests: one idle process, to be spoilt by whoever tests a finding.

use crate::evidence::{
    AddressSpace, Evidence, HeaderReading, KernelWord, Look, Manner, MmFact, Perms, Process, RingMapping,
    SystemFacts, TaskFact,
};
use crate::header::{RING_COMPAT, RING_HEADER_LENGTH, RING_INCOMPAT, RING_MAGIC, RingHeader};
use crate::kioctx::{Kioctx, RefState};
use crate::known::{Fact, Known};
use crate::units::{ContextId, Instant, MmId, Pid, Tid};

/// Where the ring of [`idle`] lies.
pub const AT: u64 = 0x7f00_0000_0000;
/// Inode of the file that the specimens' rings map.
pub const INODE: u64 = 77;
/// As io_setup maps a ring.
pub const RW_S: Perms = Perms { read: true, write: true, exec: false, shared: true };

/// io_setup(128) with two possible CPUs, idle.
pub fn kioctx(address: u64, table_index: u32) -> Kioctx {
    Kioctx {
        user_id: ContextId(address),
        table_index,
        mmap_base: Some(address),
        mmap_size: Some(12288),
        nr_pages: Some(3),
        max_reqs: Some(128),
        nr_events: Some(383),
        tail: Some(0),
        completed_events: Some(0),
        reqs_available: Some(382),
        req_batch: Some(47),
        percpu_available: Some(0),
        cpu_credits: Vec::new(),
        percpu_refs: Some(1),
        atomic_refs: Some(0),
        ref_state: Some(RefState::PerCpu),
        dead: Some(false),
    }
}

/// The header of that context's ring.
pub fn header(fact: &Kioctx) -> RingHeader {
    RingHeader {
        id: fact.table_index,
        nr: fact.nr_events.unwrap_or(383),
        head: fact.tail.unwrap_or(0),
        tail: fact.tail.unwrap_or(0),
        magic: RING_MAGIC,
        compat_features: RING_COMPAT,
        incompat_features: RING_INCOMPAT,
        header_length: RING_HEADER_LENGTH,
    }
}

/// What reading that header gives.
pub fn reading(fact: &Kioctx, header: RingHeader) -> HeaderReading {
    HeaderReading { address: fact.user_id, bytes: Ok(header.encode()) }
}

/// A whole ring.
pub fn ring(start: u64, inode: u64) -> RingMapping {
    RingMapping { start, end: start + 12288, inode, perms: RW_S, ..RingMapping::default() }
}

/// One thread that sleeps.
pub fn word(contexts: Vec<Kioctx>, begun_at: u64) -> KernelWord {
    let task = TaskFact {
        tid: Tid(100),
        pid: Pid(100),
        switches: Some(9),
        runtime_ns: Some(5000),
        on_cpu: Some(false),
        state: Some(1),
        start_boottime_ns: Some(0),
    };
    KernelWord {
        begun_at: Instant(begun_at),
        ended_at: Instant(begun_at + 10),
        contexts,
        tasks: vec![task],
        mm: MmFact { brk: Some(0), dumpable: Some(0), lock_seq: None, map_count: Some(0) },
        torn: false,
        waits: Vec::new(),
    }
}

/// A look at these contexts, each mapped and with a sane header: census at 1000, mappings, headers.
pub fn look(manner: Manner, contexts: &[Kioctx]) -> Look {
    let mappings = contexts.iter().zip(INODE..).map(|(fact, inode)| ring(fact.user_id.0, inode)).collect();
    Look {
        manner,
        before: Some(word(contexts.to_vec(), 1000)),
        mappings,
        mappings_at: Instant(1020),
        headers: contexts.iter().map(|fact| reading(fact, header(fact))).collect(),
        headers_at: Instant(1030),
        ..Look::default()
    }
}

/// The evidence of one process, 100 `svc`, that was looked at so.
pub fn evidence(looks: Vec<Look>) -> Evidence {
    let process = Process { pid: Pid(100), comm: b"svc".to_vec(), start_ticks: 42, ..Process::default() };
    Evidence {
        system: SystemFacts { aio_nr: 128, aio_max_nr: 65536, possible_cpus: 2, ..SystemFacts::default() },
        spaces: vec![AddressSpace {
            mm: MmId(1),
            processes: vec![process],
            looks,
            image: None,
            traced: None,
            not_looked_at: None,
        }],
        ..Evidence::default()
    }
}

/// A process with one idle context, frozen.
pub fn idle() -> Evidence {
    evidence(vec![look(Manner::Frozen, &[kioctx(AT, 0)])])
}

/// The last look at the first address space.
pub fn last(evidence: &mut Evidence) -> &mut Look {
    evidence.spaces[0].looks.last_mut().unwrap()
}

/// Changes the one context of [`idle`], and its header with it.
pub fn spoil(evidence: &mut Evidence, change: impl FnOnce(&mut Kioctx)) {
    let look = last(evidence);
    let fact = &mut look.before.as_mut().unwrap().contexts[0];
    change(fact);
    look.headers = vec![reading(fact, header(fact))];
}

/// Changes the one header of [`idle`] behind the kernel's back.
pub fn forge(evidence: &mut Evidence, change: impl FnOnce(&mut RingHeader)) {
    let look = last(evidence);
    let mut claim = RingHeader::decode(&look.headers[0].bytes.unwrap());
    change(&mut claim);
    look.headers[0].bytes = Ok(claim.encode());
}

/// Takes facts from every word of the kernel, as a kernel does that does not tell them.
pub fn lose(evidence: &mut Evidence, facts: &[Fact]) {
    let mut known = Known::all();
    for fact in facts {
        known.lose(*fact, format!("this kernel has no {}", fact.name()));
        for look in evidence.spaces.iter_mut().flat_map(|space| &mut space.looks) {
            look.before.iter_mut().chain(&mut look.after).for_each(|word| lose_one(word, *fact));
        }
    }
    evidence.lacks = known.lacks().to_vec();
}

fn lose_one(word: &mut KernelWord, fact: Fact) {
    let (contexts, tasks, mm) = (&mut word.contexts, &mut word.tasks, &mut word.mm);
    match fact {
        Fact::MmapBase => contexts.iter_mut().for_each(|one| one.mmap_base = None),
        Fact::MmapSize => contexts.iter_mut().for_each(|one| one.mmap_size = None),
        Fact::NrPages => contexts.iter_mut().for_each(|one| one.nr_pages = None),
        Fact::MaxReqs => contexts.iter_mut().for_each(|one| one.max_reqs = None),
        Fact::NrEvents => contexts.iter_mut().for_each(|one| one.nr_events = None),
        Fact::Tail => contexts.iter_mut().for_each(|one| one.tail = None),
        Fact::CompletedEvents => contexts.iter_mut().for_each(|one| one.completed_events = None),
        Fact::ReqsAvailable => contexts.iter_mut().for_each(|one| one.reqs_available = None),
        Fact::PercpuAvailable => contexts.iter_mut().for_each(|one| one.percpu_available = None),
        Fact::RefState => contexts.iter_mut().for_each(|one| one.ref_state = None),
        Fact::PercpuRefs => contexts.iter_mut().for_each(|one| one.percpu_refs = None),
        Fact::AtomicRefs => contexts.iter_mut().for_each(|one| one.atomic_refs = None),
        Fact::ReqBatch => contexts.iter_mut().for_each(|one| one.req_batch = None),
        Fact::Dead => contexts.iter_mut().for_each(|one| one.dead = None),
        Fact::Switches => tasks.iter_mut().for_each(|one| one.switches = None),
        Fact::Runtime => tasks.iter_mut().for_each(|one| one.runtime_ns = None),
        Fact::OnCpu => tasks.iter_mut().for_each(|one| one.on_cpu = None),
        Fact::State => tasks.iter_mut().for_each(|one| one.state = None),
        Fact::StartBoottime => tasks.iter_mut().for_each(|one| one.start_boottime_ns = None),
        Fact::Brk => mm.brk = None,
        Fact::Dumpable => mm.dumpable = None,
        Fact::LockSeq => mm.lock_seq = None,
        Fact::MapCount => mm.map_count = None,
        // The name and the start of a process are read elsewhere then.
        Fact::Comm | Fact::LeaderStart => {}
    }
}
