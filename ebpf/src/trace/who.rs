//! Who calls: its ids as the reader's PID namespace numbers them.

use aya_ebpf::helpers::generated::bpf_get_current_pid_tgid;

use crate::cgroups;
use crate::constants::{number, place};
use crate::kernel::{read, read_comm};
use crate::maps::control;

/// A process and one of its threads.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Who {
    pub tgid: u32,
    pub tid: u32,
    pub comm_low: u64,
    pub comm_high: u64,
    pub start_boottime: u64,
}

/// The thread that runs, at `task`; `None` if the reader's PID namespace does not hold it.
#[inline(always)]
pub fn current(task: u64) -> Option<Who> {
    let control = control()?;
    let (tgid, tid) = if control.level_plus_one <= 1 {
        // SAFETY: always allowed in a tracing program.
        let both = unsafe { bpf_get_current_pid_tgid() };
        ((both >> 32) as u32, both as u32)
    } else {
        let level = control.level_plus_one.wrapping_sub(1);
        let tid = number_of(read(task, place!(task_thread_pid)), level, control.reader_ns)?;
        let signal: u64 = read(task, place!(task_signal));
        (number_of(read(signal, place!(signal_tgid)), level, control.reader_ns)?, tid)
    };
    Some(named(task, tgid, tid))
}

/// Adds the names of the process of `task`.
#[inline(always)]
pub fn named(task: u64, tgid: u32, tid: u32) -> Who {
    let leader: u64 = read(task, place!(task_group_leader));
    let (comm_low, comm_high) = read_comm(leader, place!(task_comm));
    Who { tgid, tid, comm_low, comm_high, start_boottime: read(leader, place!(task_start_boottime)) }
}

/// The control groups of the process of `task`: those of its leader, as /proc/PID/cgroup has them. A key of CGROUPS, 0 if they are not known.
#[inline(always)]
pub fn cgroups(task: u64) -> u64 {
    let leader: u64 = read(task, place!(task_group_leader));
    cgroups::told(read(leader, place!(task_cgroups)))
}

/// The number of a `struct pid` at that level, if the namespace there is the reader's.
#[inline(always)]
fn number_of(pid: u64, level: u32, reader_ns: u64) -> Option<u32> {
    if read::<u32>(pid, place!(pid_level)) < level {
        return None;
    }
    if namespace(pid, level) != reader_ns {
        return None;
    }
    Some(id(pid, level))
}

/// `pid->numbers[level].nr`.
#[inline(always)]
pub fn id(pid: u64, level: u32) -> u32 {
    read(
        pid.wrapping_add(u64::from(level).wrapping_mul(u64::from(number!(upid_size)))),
        place!(pid_numbers_nr),
    )
}

/// `pid->numbers[level].ns`.
#[inline(always)]
pub fn namespace(pid: u64, level: u32) -> u64 {
    read(
        pid.wrapping_add(u64::from(level).wrapping_mul(u64::from(number!(upid_size)))),
        place!(pid_numbers_ns),
    )
}
