//! From the records of a census to the kernel's word on each address space.

use std::collections::BTreeMap;

use aioinspect_ebpf::{ContextRecord, CreditsRecord, MmRecord, TaskRecord};

use crate::proc::files::process_of;
use aioinspect_model::evidence::{KernelWord, MmFact, Process, TaskFact};
use aioinspect_model::kioctx::{CpuCredits, Kioctx, RefState};
use aioinspect_model::known::{Fact, Known};
use aioinspect_model::units::{ContextId, Instant, Pid, Tid};

/// Nanoseconds of one clock tick as /proc counts them (USER_HZ = 100 on every architecture that Linux keeps stable).
const TICK_NS: u64 = 10_000_000;

/// `PF_IO_WORKER` and `PF_USER_WORKER`: threads of the kernel's that live in the process (io_uring, vhost). They never run its code, so they
/// cannot touch its rings, and they cannot be traced.
const PF_WORKERS: u32 = 0x10 | PF_USER_WORKER;
/// Before 6.4 the bit meant something else, which every process may have (`PF_USED_ASYNC`).
pub const PF_USER_WORKER: u32 = 0x4000;

/// The kernel's address of an mm: tells address spaces apart, never leaves the crate `kernel`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MmKey(pub u64);

/// What one run of the census said.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// Before the walk.
    pub begun_at: Instant,
    /// After it.
    pub ended_at: Instant,
    /// Contexts, grouped by mm in the order of `mms`.
    pub contexts: Vec<ContextRecord>,
    /// Credits of single CPUs, to which contexts point; of those that the map had room for.
    pub credits: Vec<CreditsRecord>,
    /// Address spaces; one may appear twice if its processes are not neighbours in the walk.
    pub mms: Vec<MmRecord>,
    /// Threads of the processes of those address spaces.
    pub tasks: Vec<TaskRecord>,
}

/// What a census said of one address space.
#[derive(Clone, Debug, Default)]
pub struct SpaceWord {
    /// What the kernel said: contexts, and what the scheduler knows of the threads.
    pub word: KernelWord,
    /// The processes that live in it, lowest PID first, without cgroups.
    pub processes: Vec<Process>,
    /// Threads that can be asked for its memory: leaders that are gone are not among them.
    pub live: Vec<Tid>,
    /// Table index and kernel address of each context, in the order of the word: identities.
    pub kioctxs: Vec<(u32, u64)>,
}

/// Groups records by address space. `known`: what this kernel tells.
///
/// An address space reported twice (its processes were not neighbours in the walk) counts once, by its last report.
pub fn by_space(records: &Records, known: &Known) -> BTreeMap<MmKey, SpaceWord> {
    let mut spaces: BTreeMap<MmKey, SpaceWord> = BTreeMap::new();
    let mut contexts = records.contexts.iter();
    for mm in &records.mms {
        let wanted = usize::try_from(mm.contexts).unwrap_or(usize::MAX);
        let mut kioctxs = Vec::with_capacity(wanted.min(records.contexts.len()));
        let found: Vec<Kioctx> = contexts
            .by_ref()
            .take(wanted)
            .map(|record| {
                kioctxs.push((record.table_index, record.kioctx));
                kioctx(record, &records.credits, known)
            })
            .collect();
        let space = spaces.entry(MmKey(mm.mm)).or_default();
        space.kioctxs = kioctxs;
        space.word = KernelWord {
            begun_at: records.begun_at,
            ended_at: records.ended_at,
            torn: mm.torn != 0 || found.len() != wanted,
            contexts: found,
            tasks: Vec::new(),
            mm: mm_fact(mm, known),
            waits: Vec::new(),
        };
    }
    for task in &records.tasks {
        let space = spaces.entry(MmKey(task.mm)).or_default();
        add_task(space, task, known);
    }
    for space in spaces.values_mut() {
        space.word.tasks.sort_by_key(|task| (task.pid, task.tid));
        space.processes.sort_by_key(|process| process.pid);
    }
    spaces.retain(|_, space| !space.processes.is_empty());
    spaces
}

pub(super) fn add_task(space: &mut SpaceWord, task: &TaskRecord, known: &Known) {
    let pid = Pid(task.tgid);
    if task.flags & PF_WORKERS != 0 {
        return;
    }
    space.word.tasks.push(TaskFact {
        tid: Tid(task.tid),
        pid,
        switches: known.told(Fact::Switches, task.voluntary_switches.wrapping_add(task.involuntary_switches)),
        runtime_ns: known.told(Fact::Runtime, task.runtime),
        on_cpu: known.told(Fact::OnCpu, task.on_cpu != 0),
        state: known.told(Fact::State, task.state),
        start_boottime_ns: known.told(Fact::StartBoottime, task.start_boottime),
    });
    space.live.push(Tid(task.tid));
    // The threads of one process follow one another in the walk.
    if space.processes.last().is_none_or(|process| process.pid != pid)
        && !space.processes.iter().any(|process| process.pid == pid)
    {
        space.processes.push(process(pid, task, known));
    }
}

/// The process of a thread. What the census does not tell of it, its own files do while it lives.
fn process(pid: Pid, task: &TaskRecord, known: &Known) -> Process {
    let mut comm = [task.comm_low.to_ne_bytes(), task.comm_high.to_ne_bytes()].concat();
    comm.truncate(comm.iter().position(|byte| *byte == 0).unwrap_or(comm.len()));
    let comm = known.told(Fact::Comm, comm);
    let start_ticks = known.told(Fact::LeaderStart, task.leader_start_boottime / TICK_NS);
    if let (Some(comm), Some(start_ticks)) = (&comm, start_ticks) {
        return Process { pid, comm: comm.clone(), start_ticks, ..Process::default() };
    }
    let read = process_of(pid).unwrap_or_default();
    let start_ticks = start_ticks.unwrap_or(read.start_ticks);
    Process { pid, comm: comm.unwrap_or(read.comm), start_ticks, ..read }
}

fn mm_fact(record: &MmRecord, known: &Known) -> MmFact {
    MmFact {
        brk: known.told(Fact::Brk, record.brk),
        dumpable: known.told(Fact::Dumpable, record.flags & 3).and_then(narrow),
        lock_seq: known.told(Fact::LockSeq, record.lock_seq),
        map_count: known.told(Fact::MapCount, record.map_count),
    }
}

pub(super) fn kioctx(record: &ContextRecord, credits: &[CreditsRecord], known: &Known) -> Kioctx {
    let by_cpu = || {
        let first = usize::try_from(record.credits_first).ok()?;
        let count = usize::try_from(record.credits_count).ok()?;
        // Where there was no room for all of them nothing is kept: a part would not add up.
        let found = credits.get(first..first.checked_add(count)?)?;
        Some(found.iter().map(|of| CpuCredits { cpu: of.cpu, credits: of.credits }).collect())
    };
    Kioctx {
        user_id: ContextId(record.user_id),
        mmap_base: known.told(Fact::MmapBase, record.mmap_base),
        mmap_size: known.told(Fact::MmapSize, record.mmap_size),
        nr_pages: known.told(Fact::NrPages, record.nr_pages),
        max_reqs: known.told(Fact::MaxReqs, record.max_reqs).and_then(narrow),
        nr_events: known.told(Fact::NrEvents, record.nr_events).and_then(narrow),
        tail: known.told(Fact::Tail, record.tail).and_then(narrow),
        completed_events: known.told(Fact::CompletedEvents, record.completed_events).and_then(narrow),
        reqs_available: known.told(Fact::ReqsAvailable, record.reqs_available),
        req_batch: known.told(Fact::ReqBatch, record.req_batch).and_then(narrow),
        percpu_available: known.told(Fact::PercpuAvailable, record.percpu_available),
        cpu_credits: known.told(Fact::PercpuAvailable, by_cpu()).flatten().unwrap_or_default(),
        percpu_refs: known.told(Fact::PercpuRefs, record.percpu_refs),
        atomic_refs: known.told(Fact::AtomicRefs, record.atomic_refs),
        ref_state: known.told(Fact::RefState, ref_state(record.ref_flags)),
        dead: known.told(Fact::Dead, record.dead != 0),
        table_index: record.table_index,
    }
}

fn ref_state(flags: u32) -> RefState {
    match flags {
        0 => RefState::PerCpu,
        1 => RefState::Atomic,
        _ => RefState::Dead,
    }
}

/// A number that is 32 bits in every kernel known; one that is more is none that we understand.
fn narrow(number: u64) -> Option<u32> {
    u32::try_from(number).ok()
}

#[cfg(test)]
mod tests;
