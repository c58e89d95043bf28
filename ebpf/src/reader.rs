//! The order of userspace, and who it comes from.

use aioinspect_ebpf::Control;
use aya_ebpf::helpers::generated::bpf_get_current_task;

use crate::constants::{number, place};
use crate::kernel::read;
use crate::maps::{CONTROL, RING_CONTROL};

/// The order and the counts of this run of `census`.
#[inline(always)]
pub fn control() -> Option<&'static mut Control> {
    // SAFETY: a map value outlives the program; userspace runs each program once at a time on a set of maps.
    CONTROL.get_ptr_mut(0).map(|control| unsafe { &mut *control })
}

/// Whether the run stopped for want of room: asked anew, for what a function wrote is unknown to whoever held the control before it was called.
#[inline(always)]
pub fn is_full() -> bool {
    control().is_some_and(|control| control.is_full != 0)
}

/// The same of `rings`.
#[inline(always)]
pub fn ring_control() -> Option<&'static mut Control> {
    // SAFETY: as above.
    RING_CONTROL.get_ptr_mut(0).map(|control| unsafe { &mut *control })
}

/// The process id of a task in the PID namespace of whoever runs the iterator.
#[inline(always)]
pub fn tgid(task: u64, control: &mut Control) -> u32 {
    if place!(signal_tgid).is_present() {
        let signal: u64 = read(task, place!(task_signal));
        return id_for_reader(read(signal, place!(signal_tgid)), control);
    }
    read(task, place!(task_tgid))
}

/// Its thread id, in the same way.
#[inline(always)]
pub fn tid(task: u64, control: &mut Control) -> u32 {
    if place!(task_thread_pid).is_present() {
        return id_for_reader(read(task, place!(task_thread_pid)), control);
    }
    read(task, place!(task_pid))
}

/// The number of a `struct pid` at the reader's level.
#[inline(always)]
fn id_for_reader(pid: u64, control: &mut Control) -> u32 {
    if control.level_plus_one == 0 {
        // SAFETY: always allowed in a tracing program.
        let reader = unsafe { bpf_get_current_task() };
        let reader_pid: u64 = read(reader, place!(task_thread_pid));
        control.level_plus_one = read::<u32>(reader_pid, place!(pid_level)).wrapping_add(1);
    }
    let level = u64::from(control.level_plus_one.wrapping_sub(1));
    read(pid.wrapping_add(level.wrapping_mul(u64::from(number!(upid_size)))), place!(pid_numbers_nr))
}
