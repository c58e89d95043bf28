//! Evidence for tests: one idle process, to be spoilt by whoever tests a finding.

use super::header::{RING_COMPAT, RING_HEADER_LENGTH, RING_INCOMPAT, RING_MAGIC, RingHeader};
use super::kioctx::Kioctx;
use super::units::{ContextId, Instant, MmId, Pid, Tid};
use super::witness::{
    AddressSpace, Evidence, HeaderReading, KernelWord, Look, Manner, Perms, Process, RingMapping,
    SystemFacts, TaskFact,
};

/// Where the ring of [`idle`] lies.
pub const AT: u64 = 0x7f00_0000_0000;
/// Its inode.
pub const INODE: u64 = 77;
/// As io_setup maps a ring.
pub const RW_S: Perms = Perms { read: true, write: true, exec: false, shared: true };

/// io_setup(128) with two possible CPUs, idle.
pub fn kioctx(address: u64, table_index: u32) -> Kioctx {
    Kioctx {
        user_id: ContextId(address),
        table_index,
        mmap_base: address,
        mmap_size: 12288,
        nr_pages: 3,
        max_reqs: 128,
        nr_events: 383,
        reqs_available: 382,
        percpu_refs: 1,
        ..Kioctx::default()
    }
}

/// The header of that context's ring.
pub fn header(fact: &Kioctx) -> RingHeader {
    RingHeader {
        id: fact.table_index,
        nr: fact.nr_events,
        head: fact.tail,
        tail: fact.tail,
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
        switches: 9,
        runtime_ns: 5000,
        state: 1,
        ..TaskFact::default()
    };
    KernelWord {
        begun_at: Instant(begun_at),
        ended_at: Instant(begun_at + 10),
        contexts,
        tasks: vec![task],
        ..KernelWord::default()
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
    let process = Process { pid: Pid(100), comm: b"svc".to_vec(), start_ticks: 42, cgroup: None };
    Evidence {
        system: SystemFacts { aio_nr: 128, aio_max_nr: 65536, possible_cpus: 2, ..SystemFacts::default() },
        spaces: vec![AddressSpace {
            mm: MmId(1),
            processes: vec![process],
            looks,
            image: None,
            traced: None,
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
