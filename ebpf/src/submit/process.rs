//! Which process calls: its number as the reader's PID namespace has it, when it began, and its name.

use aioinspect_ebpf::SubmitKey;
use aya_ebpf::helpers::generated::{bpf_get_current_pid_tgid, bpf_get_current_task};

use crate::constants::{number, place};
use crate::kernel::{read, read_comm};
use crate::maps::control;

/// A process.
pub struct Process {
    pub key: SubmitKey,
    pub comm_low: u64,
    pub comm_high: u64,
    /// Its css_set.
    pub css_set: u64,
}

/// The one whose thread runs; `None` if the reader's PID namespace does not hold it.
#[inline(always)]
pub fn current() -> Option<Process> {
    // SAFETY: always allowed in a tracing program.
    let task = unsafe { bpf_get_current_task() };
    let leader: u64 = read(task, place!(task_group_leader));
    let tgid = number_of(task)?;
    let (comm_low, comm_high) = read_comm(leader, place!(task_comm));
    let start_boottime = read(leader, place!(task_start_boottime));
    let css_set = read(leader, place!(task_cgroups));
    Some(Process { key: SubmitKey { start_boottime, tgid, _pad: 0 }, comm_low, comm_high, css_set })
}

/// The process's id at the reader's level, if the namespace there is the reader's.
#[inline(always)]
fn number_of(task: u64) -> Option<u32> {
    let control = control()?;
    if control.level_plus_one <= 1 {
        // SAFETY: always allowed in a tracing program.
        return Some((unsafe { bpf_get_current_pid_tgid() } >> 32) as u32);
    }
    let level = control.level_plus_one.wrapping_sub(1);
    let signal: u64 = read(task, place!(task_signal));
    let pid: u64 = read(signal, place!(signal_tgid));
    if read::<u32>(pid, place!(pid_level)) < level {
        return None;
    }
    let numbers = pid.wrapping_add(u64::from(level).wrapping_mul(u64::from(number!(upid_size))));
    if read::<u64>(numbers, place!(pid_numbers_ns)) != control.reader_ns {
        return None;
    }
    Some(read(numbers, place!(pid_numbers_nr)))
}
