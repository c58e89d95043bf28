//! The order of userspace, and who it comes from.

use aioinspect_ebpf::Control;
use aya_ebpf::helpers::generated::bpf_get_current_task;

use crate::constants::offset;
use crate::kernel::read;
use crate::maps::{CONTROL, RING_CONTROL};

/// The order and the counts of this run of `census`.
#[inline(always)]
pub fn control() -> Option<&'static mut Control> {
    // SAFETY: a map value outlives the program; userspace runs each program once at a time on a set of maps.
    CONTROL.get_ptr_mut(0).map(|control| unsafe { &mut *control })
}

/// The same of `rings`.
#[inline(always)]
pub fn ring_control() -> Option<&'static mut Control> {
    // SAFETY: as above.
    RING_CONTROL.get_ptr_mut(0).map(|control| unsafe { &mut *control })
}

/// The id of a `struct pid` in the PID namespace of whoever runs the iterator.
#[inline(always)]
pub fn id_for_reader(pid: u64, control: &mut Control) -> u32 {
    if control.level_plus_one == 0 {
        // SAFETY: always allowed in a tracing program.
        let reader = unsafe { bpf_get_current_task() };
        let reader_pid: u64 = read(reader, offset!(task_thread_pid));
        control.level_plus_one = read::<u32>(reader_pid, offset!(pid_level)).wrapping_add(1);
    }
    let level = u64::from(control.level_plus_one.wrapping_sub(1));
    read(pid.wrapping_add(level.wrapping_mul(u64::from(offset!(upid_size)))), offset!(pid_numbers_nr))
}
