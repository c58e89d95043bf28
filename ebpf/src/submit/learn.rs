//! The program `learn`: an iterator that whoever reads runs once, so that the others number processes as the reader does.

use core::ffi::c_void;

use aya_ebpf::bindings::task_struct;
use aya_ebpf::helpers::generated::bpf_get_current_task;
use aya_log_ebpf::debug;

use crate::cgroups;
use crate::constants::{number, place};
use crate::kernel::read;
use crate::maps::control;

/// What the kernel hands to a program on `iter/task`; a null task ends the walk.
#[repr(C)]
struct IterTask {
    meta: *const c_void,
    task: *const task_struct,
}

struct Logger;
impl aya_ebpf::EbpfContext for Logger {
    fn as_ptr(&self) -> *mut c_void {
        core::ptr::null_mut()
    }
}

// SAFETY: the section names the hook, the symbol is this program's own.
#[unsafe(link_section = "iter/task")]
#[unsafe(no_mangle)]
extern "C" fn learn(iter: *const IterTask) -> i32 {
    let Some(control) = control() else { return 0 };
    // SAFETY: the kernel hands a valid context to every run.
    if unsafe { (*iter).task }.is_null() {
        let level_plus_one = control.level_plus_one;
        debug!(&Logger, "learn: the reader's level plus one is {}", level_plus_one);
        return 0;
    }
    if control.level_plus_one != 0 {
        return 0;
    }
    // SAFETY: always allowed in a tracing program.
    let reader = unsafe { bpf_get_current_task() };
    let pid: u64 = read(reader, place!(task_thread_pid));
    let level: u32 = read(pid, place!(pid_level));
    let numbers = pid.wrapping_add(u64::from(level).wrapping_mul(u64::from(number!(upid_size))));
    control.reader_ns = read(numbers, place!(pid_numbers_ns));
    control.reader_cgroups = cgroups::root_of_reader();
    control.level_plus_one = level.wrapping_add(1);
    0
}
