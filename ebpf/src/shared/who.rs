//! Who is who: ids as the reader's PID namespace numbers them, and names.

use aya_ebpf::helpers::generated::{bpf_get_current_pid_tgid, bpf_get_current_task};

use crate::shared::memory::{read, read_comm};
use crate::{number, place};

/// Who reads: the PID namespace that all ids are of.
#[derive(Clone, Copy)]
pub struct Reader {
    /// Its level plus one; 0 if it is not known.
    pub level_plus_one: u32,
    /// Its kernel address.
    pub ns: u64,
}

impl Reader {
    /// The one whose thread runs.
    #[inline(always)]
    pub fn current() -> Self {
        // SAFETY: always allowed in a tracing program.
        let pid: u64 = read(unsafe { bpf_get_current_task() }, place!(task_thread_pid));
        let level: u32 = read(pid, place!(pid_level));
        Self { level_plus_one: level.wrapping_add(1), ns: read(numbers(pid, level), place!(pid_numbers_ns)) }
    }

    /// Whether ids are those of the first namespace, which the helpers know.
    #[inline(always)]
    fn is_in_first(self) -> bool {
        self.level_plus_one <= 1
    }

    /// The number that a `struct pid` has for this reader; `None` if its namespace does not hold
    /// it.
    #[inline(always)]
    fn number_of(self, pid: u64) -> Option<u32> {
        let level = self.level_plus_one.wrapping_sub(1);
        if read::<u32>(pid, place!(pid_level)) < level
            || read::<u64>(numbers(pid, level), place!(pid_numbers_ns)) != self.ns
        {
            return None;
        }
        Some(id(pid, level))
    }
}

/// A process and one of its threads.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Who {
    /// Process id.
    pub tgid: u32,
    /// Thread id.
    pub tid: u32,
    /// `comm` of the process, NUL-padded.
    pub comm_low: u64,
    /// Its second half.
    pub comm_high: u64,
    /// `start_boottime` of the process.
    pub start_boottime: u64,
}

/// The thread that runs, at `task`; `None` if the reader's PID namespace does not hold it.
#[inline(always)]
pub fn current(task: u64, reader: Reader) -> Option<Who> {
    let tid = if reader.is_in_first() {
        // SAFETY: always allowed in a tracing program.
        (unsafe { bpf_get_current_pid_tgid() }) as u32
    } else {
        reader.number_of(read(task, place!(task_thread_pid)))?
    };
    Some(named(task, current_tgid(task, reader)?, tid))
}

/// The process of the thread that runs, at `task`; `None` likewise.
#[inline(always)]
pub fn current_tgid(task: u64, reader: Reader) -> Option<u32> {
    if reader.is_in_first() {
        // SAFETY: always allowed in a tracing program.
        return Some((unsafe { bpf_get_current_pid_tgid() } >> 32) as u32);
    }
    reader.number_of(tgid_of(task))
}

/// Adds the names of the process of `task`.
#[inline(always)]
pub fn named(task: u64, tgid: u32, tid: u32) -> Who {
    let leader = leader_of(task);
    let (comm_low, comm_high) = read_comm(leader, place!(task_comm));
    Who { tgid, tid, comm_low, comm_high, start_boottime: read(leader, place!(task_start_boottime)) }
}

/// The first thread of a task's process; the task itself where this kernel does not say.
#[inline(always)]
pub fn leader_of(task: u64) -> u64 {
    let leader: u64 = read(task, place!(task_group_leader));
    if leader == 0 { task } else { leader }
}

/// The `struct pid` of a task's process.
#[inline(always)]
pub fn tgid_of(task: u64) -> u64 {
    read(read(task, place!(task_signal)), place!(signal_tgid))
}

/// `pid->numbers[level].nr`.
#[inline(always)]
pub fn id(pid: u64, level: u32) -> u32 {
    read(numbers(pid, level), place!(pid_numbers_nr))
}

/// What the places of `pid->numbers[0]` are counted from, for another level.
#[inline(always)]
fn numbers(pid: u64, level: u32) -> u64 {
    pid.wrapping_add(u64::from(level).wrapping_mul(u64::from(number!(upid_size))))
}
