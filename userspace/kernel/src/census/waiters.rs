//! Threads that wait for contexts which are in no table any more: from the records of the program `waits` to the kernel's word.

use std::collections::BTreeMap;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use aioinspect_ebpf::{ContextRecord, TaskRecord, WaitRecord, call};

use crate::bpf::error::ProbeError;
use crate::census::probe::Probe;
use crate::census::records::{MmKey, SpaceWord, add_task, kioctx};
use crate::census::wait_walk::WaitRecords;
use crate::host::clock;
use crate::host::page::page_size;
use crate::proc::files::cgroup_of;
use aioinspect_model::evidence::{AddressSpace, Doing, Look, Wait};
use aioinspect_model::kioctx::Kioctx;
use aioinspect_model::known::{Fact, Known};
use aioinspect_model::nr_req::entries;
use aioinspect_model::units::{ContextId, Pid, Tid};

/// `PF_EXITING` of include/linux/sched.h.
const PF_EXITING: u32 = 0x4;
/// How long an exit or exec may take that waits for no request: two grace periods of RCU, each some 30 ms.
pub(crate) const BRIEF: Duration = Duration::from_millis(300);
/// Pause before it is looked for again.
const BETWEEN: Duration = Duration::from_millis(5);

/// A thread that waits, and where its word belongs.
#[derive(Clone, Debug)]
pub(crate) struct Waiter {
    /// The address space it lives in; a name of its own if it has none any more.
    pub mm: MmKey,
    /// What it waits for.
    pub wait: Wait,
    task: TaskRecord,
}

impl Waiter {
    /// The `comm` of its process, and when that was started, in nanoseconds of CLOCK_BOOTTIME. Its files are read where this kernel does not tell,
    /// but for those that make the reader wait.
    pub(crate) fn process(&self, known: &Known) -> (Vec<u8>, u64) {
        let task = &self.task;
        let told = [task.comm_low.to_ne_bytes(), task.comm_high.to_ne_bytes()].concat();
        let mut comm = known.told(Fact::Comm, told).unwrap_or_else(|| {
            let mut comm = fs::read(format!("/proc/{}/comm", self.wait.pid)).unwrap_or_default();
            comm.pop_if(|last| *last == b'\n');
            comm
        });
        comm.truncate(comm.iter().position(|byte| *byte == 0).unwrap_or(comm.len()));
        (comm, task.leader_start_boottime)
    }
}

/// Every thread of the host that waits for contexts.
pub(crate) fn waiters(probe: &mut Probe) -> Result<Vec<Waiter>, ProbeError> {
    let records = probe.waits()?;
    Ok(read(&records, probe.known()))
}

/// Puts the waits into the words of their address spaces. Where nothing else is known of one, the thread's process stands for it.
pub(crate) fn add(words: &mut BTreeMap<MmKey, SpaceWord>, waiters: Vec<Waiter>, known: &Known) {
    for Waiter { mm, wait, task } in waiters {
        let space = words.entry(mm).or_default();
        if space.word.tasks.iter().all(|fact| fact.tid != wait.tid) {
            add_task(space, &task, known);
        }
        space.word.waits.push(wait);
    }
}

/// A process that waits for its contexts in exit or exec; `None`: it does neither, or not for long.
pub(crate) fn ending(probe: &mut Probe, pid: Pid) -> Result<Option<AddressSpace>, ProbeError> {
    let first = Instant::now();
    let (begun_at, found) = loop {
        let begun_at = clock::now();
        let mut found = waiters(probe)?;
        found.retain(|waiter| {
            waiter.wait.pid == pid && matches!(waiter.wait.doing, Doing::Exit | Doing::Exec)
        });
        let is_brief = !found.is_empty() && found.iter().all(|waiter| may_be_brief(&waiter.wait));
        if !is_brief || first.elapsed() > BRIEF {
            break (begun_at, found);
        }
        sleep(BETWEEN);
    };
    let mut words = BTreeMap::new();
    add(&mut words, found, probe.known());
    Ok(words.into_values().next().map(|SpaceWord { mut word, mut processes, .. }| {
        (word.begun_at, word.ended_at) = (begun_at, clock::now());
        for process in &mut processes {
            process.cgroup = cgroup_of(process.pid).ok();
        }
        let look = Look { before: Some(word), ..Look::default() };
        AddressSpace { processes, looks: vec![look], ..AddressSpace::default() }
    }))
}

/// Of who is in exec the memory here is the new one, which has nothing to wait for yet.
fn in_exec(wait: &Wait) -> bool {
    wait.doing == Doing::Exec
}

/// Whether nothing shows that more than RCU is waited for, as at every exit and exec of a process with contexts.
fn may_be_brief(wait: &Wait) -> bool {
    wait.contexts.iter().all(|context| context.left().number() == Some(0))
}

/// Those who wait in an address space that lives on.
pub(crate) fn waits_of(probe: &mut Probe, mm: MmKey) -> Result<Vec<Wait>, ProbeError> {
    Ok(waiters(probe)?
        .into_iter()
        .filter(|waiter| waiter.mm == mm && !in_exec(&waiter.wait))
        .map(|waiter| waiter.wait)
        .collect())
}

/// Each thread with its own contexts, which are told by its task: one that was woken while the program looked at it leaves contexts and no wait.
fn read(records: &WaitRecords, known: &Known) -> Vec<Waiter> {
    let mut contexts: BTreeMap<u64, Vec<ContextRecord>> = BTreeMap::new();
    for context in &records.contexts {
        contexts.entry(context.mm).or_default().push(*context);
    }
    let own = |record: &WaitRecord| contexts.get(&record.task).map_or(&[][..], Vec::as_slice);
    records.waits.iter().filter_map(|record| waiter(record, own(record), known)).collect()
}

fn waiter(record: &WaitRecord, own: &[ContextRecord], known: &Known) -> Option<Waiter> {
    let contexts = contexts(own, known);
    let doing = doing(record);
    // Without a context: a thread in exit or exec may sleep for many reasons, and only one keeps the table of an mm that nobody uses any more. In
    // io_destroy there is but one.
    let is_known = match doing {
        Doing::Destroy => true,
        Doing::Exit | Doing::Exec => record.ending != 0,
        Doing::LastUse => false,
    };
    if contexts.is_empty() && !is_known {
        return None;
    }
    let asleep = (record.ran_at != 0 && record.now != 0).then(|| record.now.saturating_sub(record.ran_at));
    let wait = Wait {
        tid: Tid(record.tid),
        pid: Pid(record.tgid),
        doing,
        id: (doing == Doing::Destroy).then_some(ContextId(record.argument)),
        asleep_ns: asleep,
        left: (record.left != 0).then_some(record.left),
        contexts,
    };
    let mm = MmKey(if record.mm == 0 { record.task } else { record.mm });
    Some(Waiter { mm, wait, task: task(record, mm) })
}

/// What a thread does, by the call it is in.
fn doing(record: &WaitRecord) -> Doing {
    if record.flags & PF_EXITING != 0 {
        return Doing::Exit;
    }
    match (record.is_compat != 0, u64::from(record.call)) {
        (false, call::IO_DESTROY) | (true, call::IO_DESTROY_32) => Doing::Destroy,
        (false, call::EXECVE | call::EXECVEAT) | (true, call::EXECVE_32 | call::EXECVEAT_32) => Doing::Exec,
        (_, _) => Doing::LastUse,
    }
}

/// Those of the records that are contexts beyond doubt, each once.
fn contexts(own: &[ContextRecord], known: &Known) -> Vec<Kioctx> {
    let mut seen: Vec<u64> = Vec::new();
    let mut contexts = Vec::new();
    for record in own {
        if seen.contains(&record.kioctx) {
            continue;
        }
        seen.push(record.kioctx);
        contexts.extend(Some(kioctx(record, &[], known)).filter(is_whole));
    }
    contexts
}

/// Whether its numbers fit each other as io_setup made them (fs/aio.c:aio_setup_ring): what is not told fits.
fn is_whole(context: &Kioctx) -> bool {
    let page_size = u64::from(page_size());
    let fits = match (context.nr_pages, context.nr_events) {
        (Some(pages), Some(nr_events)) => pages.checked_mul(page_size).and_then(entries) == Some(nr_events),
        (None, _) | (_, None) => true,
    };
    let asked = match (context.max_reqs, context.nr_events) {
        (Some(max_reqs), Some(nr_events)) => max_reqs > 0 && max_reqs <= nr_events,
        (None, _) | (_, None) => true,
    };
    let place = context.mmap_base.is_none_or(|base| base == context.user_id.0);
    fits && asked && place && context.user_id.0.is_multiple_of(page_size)
}

/// The thread as the census would have reported it.
fn task(record: &WaitRecord, mm: MmKey) -> TaskRecord {
    TaskRecord {
        mm: mm.0,
        start_boottime: record.start_boottime,
        leader_start_boottime: record.leader_start_boottime,
        voluntary_switches: record.voluntary_switches,
        involuntary_switches: record.involuntary_switches,
        runtime: record.runtime,
        tid: record.tid,
        tgid: record.tgid,
        state: record.state,
        comm_low: record.comm_low,
        comm_high: record.comm_high,
        css_set: record.css_set,
        ..TaskRecord::default()
    }
}

#[cfg(test)]
mod tests;
