//! The programs for each hook: they fetch `nr` and the answer at the end of io_submit.
//!
//! | hook | where | `nr` from |
//! |---|---|---|
//! | fexit | `__x64_sys_io_submit` and its kin | the function's argument: the user's registers |
//! | kretprobe | the same | the user's registers, at the bottom of the thread's stack |
//! | tracepoint | `syscalls:sys_exit_io_submit` | the same |
//! | raw tracepoint | `sys_exit` | the tracepoint's argument: the same |
//!
//! No system call changes the registers that hold its arguments (arch/x86/entry/calling.h). A 32-bit caller has them in others.

use aya_ebpf::bindings::{pt_regs, task_struct};
use aya_ebpf::helpers::generated::{bpf_get_current_task_btf, bpf_task_pt_regs};

use crate::constants::offset;
use crate::count::submitted;
use crate::kernel::load;

/// Number of arch/x86/entry/syscalls/syscall_64.tbl.
const IO_SUBMIT: u64 = 209;
/// Number of arch/x86/entry/syscalls/syscall_32.tbl.
const IO_SUBMIT_32: u64 = 248;

/// `TS_COMPAT` of arch/x86/include/asm/thread_info.h: the call under way is a 32-bit one.
const TS_COMPAT: u32 = 2;

/// `nr` of a 64-bit caller.
#[inline(always)]
fn nr(regs: *const pt_regs) -> i64 {
    // SAFETY: a pointer that the verifier knows.
    unsafe { load(regs, core::mem::offset_of!(pt_regs, rsi) as u32) }
}

/// `nr` of a 32-bit caller: an int.
#[inline(always)]
fn nr_32(regs: *const pt_regs) -> i64 {
    // SAFETY: a pointer that the verifier knows.
    let nr: i32 = unsafe { load(regs, core::mem::offset_of!(pt_regs, rcx) as u32) };
    i64::from(nr)
}

#[inline(always)]
fn task() -> *const task_struct {
    // SAFETY: always allowed in a tracing program.
    unsafe { bpf_get_current_task_btf() }
}

/// The user's registers of the thread that runs.
#[inline(always)]
fn user_registers() -> *const pt_regs {
    // SAFETY: the task is one that the verifier knows.
    unsafe { bpf_task_pt_regs(task().cast_mut()) as *const pt_regs }
}

/// Programs at the end of a function whose one argument is the user's registers: after it comes what it returned.
macro_rules! at_end {
    ($fexit:ident, $kretprobe:ident, $function:literal, $nr:path) => {
        // SAFETY: the section names the hook, the symbol is this program's own.
        #[unsafe(link_section = concat!("fexit/", $function))]
        #[unsafe(no_mangle)]
        extern "C" fn $fexit(arguments: *const u64) -> i32 {
            // SAFETY: the context of this program.
            let (regs, answer) = unsafe { (*arguments.cast::<*const pt_regs>(), *arguments.add(1)) };
            submitted($nr(regs), answer as i64);
            0
        }

        // SAFETY: the section names the hook, the symbol is this program's own.
        #[unsafe(link_section = concat!("kretprobe/", $function))]
        #[unsafe(no_mangle)]
        extern "C" fn $kretprobe(registers: *const pt_regs) -> i32 {
            // SAFETY: the context of a kretprobe.
            let answer = unsafe { (*registers).rax };
            submitted($nr(user_registers()), answer as i64);
            0
        }
    };
}

at_end!(fexit_submit, kret_submit, "__x64_sys_io_submit", nr);
at_end!(fexit_submit_32, kret_submit_32, "__ia32_compat_sys_io_submit", nr_32);

/// What the tracepoints at the end of system calls hand over (`events/syscalls/*/format`).
#[repr(C)]
struct Ended {
    common: u64,
    number: u64,
    answer: i64,
}

// SAFETY: the section names the hook, the symbol is this program's own.
#[unsafe(link_section = "tracepoint/syscalls/sys_exit_io_submit")]
#[unsafe(no_mangle)]
extern "C" fn exit_submit(call: *const Ended) -> i32 {
    // SAFETY: the context of this tracepoint.
    let answer = unsafe { (*call).answer };
    submitted(nr(user_registers()), answer);
    0
}

/// Whether the call under way of the running thread is a 32-bit one.
#[inline(always)]
fn is_compat() -> bool {
    let status = offset!(task_status);
    if status == u32::MAX {
        return false;
    }
    // SAFETY: a pointer that the verifier knows.
    let status: u32 = unsafe { load(task(), status) };
    status & TS_COMPAT != 0
}

// SAFETY: the section names the hook, the symbol is this program's own.
#[unsafe(link_section = "tp_btf/sys_exit")]
#[unsafe(no_mangle)]
extern "C" fn raw_exit(arguments: *const u64) -> i32 {
    // SAFETY: the tracepoint's arguments are the registers and what the call returned.
    let regs = unsafe { *arguments.cast::<*const pt_regs>() };
    // SAFETY: a pointer that the verifier knows.
    let number: u64 = unsafe { load(regs, core::mem::offset_of!(pt_regs, orig_rax) as u32) };
    if number != IO_SUBMIT && number != IO_SUBMIT_32 {
        return 0;
    }
    let compat = is_compat();
    if compat != (number == IO_SUBMIT_32) {
        return 0;
    }
    // SAFETY: as above.
    let answer = unsafe { *arguments.add(1) } as i64;
    submitted(if compat { nr_32(regs) } else { nr(regs) }, answer);
    0
}
