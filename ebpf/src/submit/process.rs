//! Which process calls: its number as the reader's PID namespace has it, when it began, and its name.

use aioinspect_ebpf::SubmitKey;
use aya_ebpf::bindings::task_struct;
use aya_ebpf::helpers::generated::{bpf_get_current_pid_tgid, bpf_get_current_task_btf};

use crate::constants::offset;
use crate::kernel::{follow, load, read};
use crate::maps::control;

/// A process.
pub struct Process {
    pub key: SubmitKey,
    pub comm_low: u64,
    pub comm_high: u64,
}

/// The one whose thread runs; `None` if the reader's PID namespace does not hold it.
#[inline(always)]
pub fn current() -> Option<Process> {
    // SAFETY: always allowed in a tracing program.
    let task: *const task_struct = unsafe { bpf_get_current_task_btf() };
    // SAFETY: a pointer that the verifier knows.
    let leader: *const task_struct = unsafe { follow(task, offset!(task_group_leader)) }.cast();
    let tgid = number(task)?;
    // SAFETY: loaded through a pointer that the verifier knows, as are the next two.
    let start_boottime = unsafe { load(leader, offset!(task_start_boottime)) };
    // SAFETY: as above.
    let comm_low = unsafe { load(leader, offset!(task_comm)) };
    // SAFETY: as above.
    let comm_high = unsafe { load(leader, offset!(task_comm).wrapping_add(8)) };
    Some(Process { key: SubmitKey { start_boottime, tgid, _pad: 0 }, comm_low, comm_high })
}

/// The process's id at the reader's level, if the namespace there is the reader's.
#[inline(always)]
fn number(task: *const task_struct) -> Option<u32> {
    let control = control()?;
    if control.level_plus_one <= 1 {
        // SAFETY: always allowed in a tracing program.
        return Some((unsafe { bpf_get_current_pid_tgid() } >> 32) as u32);
    }
    let level = control.level_plus_one.wrapping_sub(1);
    let signal: u64 = read(task as u64, offset!(task_signal));
    let pid: u64 = read(signal, offset!(signal_tgid));
    if read::<u32>(pid, offset!(pid_level)) < level {
        return None;
    }
    let numbers = pid.wrapping_add(u64::from(level).wrapping_mul(u64::from(offset!(upid_size))));
    if read::<u64>(numbers, offset!(pid_numbers_ns)) != control.reader_ns {
        return None;
    }
    Some(read(numbers, offset!(pid_numbers_nr)))
}
