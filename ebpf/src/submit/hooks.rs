//! The programs for each hook: they fetch `nr` and the answer at the end of io_submit.
//!
//! | hook | where | `nr` from |
//! |---|---|---|
//! | fexit | `__x64_sys_io_submit` and its kin | the user's registers, at the bottom of the stack |
//! | kretprobe | the same | the same |
//! | tracepoint | `syscalls:sys_exit_io_submit` | the same |
//! | raw tracepoint | `sys_exit` | the tracepoint's argument: the same |
//!
//! No system call changes the registers that hold its arguments (arch/x86/entry/calling.h). A
//! 32-bit caller has them in others.

use aioinspect_ebpf::call::{IO_SUBMIT, IO_SUBMIT_32};
use aioinspect_ebpf::register_at;
use aioinspect_ebpf::shared::registers::{NUMBER, is_compat, of_current, register};
use aya_ebpf::bindings::pt_regs;

use crate::count::submitted;

/// `nr` of a 64-bit caller: a long in this register.
const NR: usize = register_at!(rsi);
/// `nr` of a 32-bit caller: an int in this one.
const NR_32: usize = register_at!(rcx);

/// The number in a register, by whose it is.
#[inline(always)]
fn nr(at: usize, register: u64) -> i64 {
    if at == NR_32 { i64::from(register as i32) } else { register as i64 }
}

/// Programs at the end of a function whose one argument is the user's registers: after it comes
/// what it returned.
macro_rules! at_end {
    ($fexit:ident, $kretprobe:ident, $function:literal, $nr:expr) => {
        // SAFETY: the section names the hook, the symbol is this program's own.
        #[unsafe(link_section = concat!("fexit/", $function))]
        #[unsafe(no_mangle)]
        extern "C" fn $fexit(arguments: *const u64) -> i32 {
            // SAFETY: after the function's one argument comes what it returned.
            let answer = unsafe { *arguments.add(1) };
            submitted(nr($nr, of_current($nr)), answer as i64);
            0
        }

        // SAFETY: the section names the hook, the symbol is this program's own.
        #[unsafe(link_section = concat!("kretprobe/", $function))]
        #[unsafe(no_mangle)]
        extern "C" fn $kretprobe(registers: *const pt_regs) -> i32 {
            // SAFETY: the context of a kretprobe.
            let answer = unsafe { (*registers).rax };
            submitted(nr($nr, of_current($nr)), answer as i64);
            0
        }
    };
}

at_end!(fexit_submit, kret_submit, "__x64_sys_io_submit", NR);
at_end!(fexit_submit_32, kret_submit_32, "__ia32_compat_sys_io_submit", NR_32);

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
    submitted(nr(NR, of_current(NR)), answer);
    0
}

// SAFETY: the section names the hook, the symbol is this program's own.
#[unsafe(link_section = "tp_btf/sys_exit")]
#[unsafe(no_mangle)]
extern "C" fn raw_exit(arguments: *const u64) -> i32 {
    // SAFETY: the tracepoint's arguments are the registers and what the call returned.
    let regs = unsafe { *arguments.cast::<*const pt_regs>() };
    // SAFETY: a pointer that the verifier knows.
    let number = unsafe { register(regs, NUMBER) };
    if number != IO_SUBMIT && number != IO_SUBMIT_32 {
        return 0;
    }
    let compat = is_compat();
    if compat != (number == IO_SUBMIT_32) {
        return 0;
    }
    // SAFETY: as above.
    let answer = unsafe { *arguments.add(1) } as i64;
    let at = if compat { NR_32 } else { NR };
    // SAFETY: a pointer that the verifier knows.
    let asked = unsafe { if compat { register(regs, NR_32) } else { register(regs, NR) } };
    submitted(nr(at, asked), answer);
    0
}
