//! Whether what was read of an address space in one look is one consistent state.

use crate::evidence::{KernelWord, Look, Manner, TaskFact};
use crate::judged::judged_word;
use crate::picture::Proof;
use crate::units::Instant;

/// `TASK_RUNNING` of include/linux/sched.h: running, or runnable.
const TASK_RUNNING: u32 = 0;

/// When the judged word was given; the first instant of the look without one.
pub(super) fn judged_at(look: &Look) -> Instant {
    judged_word(look).map_or(look.headers_at, |word| word.begun_at)
}

/// How strong the proof of one look is.
///
/// While the target may run, the proof is that of a seqlock reader: two censuses, every claim read between them, and a
/// scheduler that shows that nobody who shares the memory ran from the one to the other.
pub(super) fn prove(look: &Look) -> Proof {
    let Some(word) = judged_word(look) else { return Proof::Unproven };
    if word.torn {
        return Proof::Busy;
    }
    let proof = match (look.manner, &look.before, &look.after) {
        // Who is held by someone else can be let go by someone else: the scheduler is asked there too.
        (Manner::Running | Manner::Held, Some(before), Some(after)) => between(look, before, after),
        (Manner::Frozen, Some(before), Some(after)) if before.torn || moved(before, after) => Proof::Busy,
        (Manner::Frozen | Manner::Held, _, _) => Proof::Consistent,
        (Manner::Running, _, _) => Proof::Unproven,
    };
    // Mappings from before the freeze, or before the first census, hold only if somebody looked again.
    let first = look.before.as_ref().unwrap_or(word);
    let mappings_hold =
        !mappings_were_read(look) || look.mappings_checked || look.mappings_at >= first.begun_at;
    if proof == Proof::Consistent && !mappings_hold { Proof::Busy } else { proof }
}

/// Whether anyone looked for mappings: a look without them must not call a ring unmapped.
pub(super) fn mappings_were_read(look: &Look) -> bool {
    look.mappings_at.0 != 0 || look.mappings_checked || !look.mappings.is_empty()
}

fn between(look: &Look, before: &KernelWord, after: &KernelWord) -> Proof {
    let headers_between =
        look.headers.is_empty() || (look.headers_at >= before.ended_at && look.headers_at <= after.begun_at);
    if before.torn || moved(before, after) || ran(&before.tasks, &after.tasks) || !headers_between {
        return Proof::Busy;
    }
    if before.tasks.is_empty() || !before.tasks.iter().chain(&after.tasks).all(is_watched) {
        return Proof::Unproven;
    }
    Proof::Consistent
}

/// Whether the scheduler of this kernel shows of a thread what would tell that it ran.
fn is_watched(task: &TaskFact) -> bool {
    let TaskFact { tid: _, pid: _, switches, runtime_ns, on_cpu, state, start_boottime_ns: _ } = task;
    switches.is_some() && runtime_ns.is_some() && on_cpu.is_some() && state.is_some()
}

/// Whether the kernel's tables differ. A task that slept throughout still sees its completions arrive.
fn moved(before: &KernelWord, after: &KernelWord) -> bool {
    before.contexts != after.contexts
        || before.mm.lock_seq != after.mm.lock_seq
        || before.mm.map_count != after.mm.map_count
}

/// Whether any thread ran or was about to, came or went. The kernel lists them in no promised order.
///
/// One that only waits for its turn on a CPU did not run in between, but it does not sleep: on a machine with much else to do a process
/// that computes all the time would be called idle, and is not a moment later.
fn ran(before: &[TaskFact], after: &[TaskFact]) -> bool {
    if before.len() != after.len() {
        return true;
    }
    let mut earlier: Vec<&TaskFact> = before.iter().collect();
    let mut later: Vec<&TaskFact> = after.iter().collect();
    earlier.sort_unstable_by_key(|task| (task.tid, task.pid, task.start_boottime_ns));
    later.sort_unstable_by_key(|task| (task.tid, task.pid, task.start_boottime_ns));
    earlier.iter().zip(&later).any(|(a, b)| {
        a.on_cpu == Some(true)
            || b.on_cpu == Some(true)
            || a.state == Some(TASK_RUNNING)
            || b.state == Some(TASK_RUNNING)
            || (a.tid, a.pid, a.start_boottime_ns) != (b.tid, b.pid, b.start_boottime_ns)
            || (a.switches, a.runtime_ns) != (b.switches, b.runtime_ns)
    })
}
