//! The user's registers of a thread that is in the kernel: what it asked for, and with which call.

use core::mem::offset_of;

use aya_ebpf::bindings::{pt_regs, task_struct};
use aya_ebpf::helpers::generated::{bpf_get_current_task, bpf_get_current_task_btf, bpf_task_pt_regs};

use crate::shared::constants::has;
use crate::shared::memory::{read, read_8};
use crate::{place, register_at, way};

/// `THREAD_SIZE` of arch/x86: bytes of a kernel stack. Used where no helper knows, which is before
/// 5.15: nothing lay above the registers then.
pub const THREAD_SIZE: u64 = 16 * 1024;
/// `TS_COMPAT` of arch/x86/include/asm/thread_info.h: the call under way is a 32-bit one.
pub const TS_COMPAT: u32 = 2;

/// One register, by its offset in `struct pt_regs`, through a pointer whose type the verifier
/// knows.
///
/// # Safety
///
/// `registers` must come from the program's context or from a helper that gives such a pointer.
#[inline(always)]
pub unsafe fn register(registers: *const pt_regs, offset: usize) -> u64 {
    // SAFETY: by the contract above; the verifier checks the offset against the type.
    unsafe { registers.byte_add(offset).cast::<u64>().read_volatile() }
}

/// One register of the user's of a thread that an iterator hands over; `at`: its address once more,
/// as a number.
#[inline(always)]
pub fn of_task(task: *const task_struct, at: u64, offset: usize) -> u64 {
    if has(way::TASK_REGISTERS) {
        // SAFETY: `task` comes from the context, as whoever calls this promises the verifier; what
        // the helper returns it knows.
        return unsafe { register(bpf_task_pt_regs(task.cast_mut()) as *const pt_regs, offset) };
    }
    on_stack(at, offset)
}

/// The first argument of the call that a thread is in; `is_compat`: a 32-bit one.
#[inline(always)]
pub fn first_argument(task: *const task_struct, at: u64, is_compat: bool) -> u64 {
    if is_compat {
        return of_task(task, at, register_at!(rbx)) & 0xffff_ffff;
    }
    of_task(task, at, register_at!(rdi))
}

/// One register of the user's of the thread that runs.
#[inline(always)]
pub fn of_current(offset: usize) -> u64 {
    if has(way::TASK_REGISTERS) {
        // SAFETY: always allowed in a tracing program.
        return of_task(unsafe { bpf_get_current_task_btf() }, 0, offset);
    }
    // SAFETY: always allowed in a tracing program.
    on_stack(unsafe { bpf_get_current_task() }, offset)
}

#[inline(always)]
fn on_stack(task: u64, offset: usize) -> u64 {
    let stack: u64 = read(task, place!(task_stack));
    let at = stack.wrapping_add(THREAD_SIZE - size_of::<pt_regs>() as u64).wrapping_add(offset as u64);
    read_8(at)
}

/// Whether the call under way of the running thread is a 32-bit one.
#[inline(always)]
pub fn is_compat() -> bool {
    // SAFETY: always allowed in a tracing program.
    let task = unsafe { bpf_get_current_task() };
    read::<u32>(task, place!(task_status)) & TS_COMPAT != 0
}

/// The offset of a register in `struct pt_regs`.
#[macro_export]
macro_rules! register_at {
    ($register:ident) => {
        core::mem::offset_of!(aya_ebpf::bindings::pt_regs, $register)
    };
}

/// The number of the call, as it was asked for.
pub const NUMBER: usize = offset_of!(pt_regs, orig_rax);
