//! The user's registers of a thread that is in the kernel: what it asked for, and with which call.

use aya_ebpf::bindings::{pt_regs, task_struct};
use aya_ebpf::helpers::generated::{bpf_get_current_task, bpf_get_current_task_btf, bpf_task_pt_regs};

use crate::architecture::{ARGUMENTS, ARGUMENTS_32, COMPAT, NUMBER, PROGRAM_COUNTER};
use crate::shared::constants::has;
use crate::shared::memory::{read, read_8};
use crate::{number, place, way};

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

/// The number of the call, likewise.
///
/// # Safety
///
/// As above.
#[inline(always)]
pub unsafe fn number_of(registers: *const pt_regs) -> u64 {
    const AT: usize = NUMBER.offset() as usize;
    if NUMBER.size() == 4 {
        // SAFETY: by the contract above.
        return u64::from(unsafe { registers.byte_add(AT).cast::<u32>().read_volatile() });
    }
    // SAFETY: as above.
    unsafe { register(registers, AT) }
}

/// One register of the user's of a thread that an iterator hands over; `at`: its address once more,
/// as a number.
#[inline(always)]
fn of_task(task: *const task_struct, at: u64, offset: usize) -> u64 {
    if has(way::TASK_REGISTERS) {
        // SAFETY: `task` comes from the context, as whoever calls this promises the verifier; what
        // the helper returns it knows.
        return unsafe { register(bpf_task_pt_regs(task.cast_mut()) as *const pt_regs, offset) };
    }
    read_8(on_stack(at).wrapping_add(offset as u64))
}

/// A call that a thread is in, or the last one it was in.
#[derive(Clone, Copy)]
pub struct Call {
    /// Its number, as it was asked for.
    pub number: u64,
    /// Whether it is a 32-bit one.
    pub is_compat: bool,
    /// Its first argument.
    pub argument: u64,
}

impl Call {
    /// That of a thread that an iterator hands over; `None` for one that has no program to go back
    /// to: a worker of io_uring is a thread of its process and never made a call.
    #[inline(always)]
    pub fn of(task: *const task_struct, at: u64) -> Option<Self> {
        // Where nothing tells where they are, no call is known.
        if !has(way::TASK_REGISTERS) && number!(registers_size) == 0 {
            return None;
        }
        if of_task(task, at, PROGRAM_COUNTER) == 0 {
            return None;
        }
        let is_compat = read::<u32>(at, place!(task_compat)) & COMPAT != 0;
        let number = if has(way::TASK_REGISTERS) {
            // SAFETY: as in `of_task`.
            unsafe { number_of(bpf_task_pt_regs(task.cast_mut()) as *const pt_regs) }
        } else {
            read::<u64>(on_stack(at), NUMBER)
        };
        let argument = if is_compat {
            of_task(task, at, ARGUMENTS_32[0]) & 0xffff_ffff
        } else {
            of_task(task, at, ARGUMENTS[0])
        };
        Some(Self { number, is_compat, argument })
    }
}

/// One register of the user's of the thread that runs.
#[inline(always)]
pub fn of_current(offset: usize) -> u64 {
    if has(way::TASK_REGISTERS) {
        // SAFETY: always allowed in a tracing program.
        return of_task(unsafe { bpf_get_current_task_btf() }, 0, offset);
    }
    // SAFETY: always allowed in a tracing program.
    of_task(core::ptr::null(), unsafe { bpf_get_current_task() }, offset)
}

/// Where they are where no helper knows, which is before 5.15: at the top of the kernel's stack.
#[inline(always)]
fn on_stack(task: u64) -> u64 {
    let stack: u64 = read(task, place!(task_stack));
    stack.wrapping_add(u64::from(number!(stack_size))).wrapping_sub(u64::from(number!(registers_size)))
}

/// Whether the call under way of the running thread is a 32-bit one.
#[inline(always)]
pub fn is_compat() -> bool {
    // SAFETY: always allowed in a tracing program.
    let task = unsafe { bpf_get_current_task() };
    read::<u32>(task, place!(task_compat)) & COMPAT != 0
}

/// A register of a function of the kernel's own, from the context of a kprobe or kretprobe.
///
/// # Safety
///
/// `registers` must be the program's context.
#[inline(always)]
pub unsafe fn of_function(registers: *const pt_regs, offset: usize) -> u64 {
    // SAFETY: by the contract above; the verifier checks the offset.
    unsafe { registers.byte_add(offset).cast::<u64>().read_volatile() }
}

/// One register of the user's, at an address that is only a number.
#[inline(always)]
pub fn at(registers: u64, offset: usize) -> u64 {
    read_8(registers.wrapping_add(offset as u64))
}
