//! The programs for each hook: they fetch `nr` and the answer at the end of io_submit.
//!
//! | hook | where | `nr` from |
//! |---|---|---|
//! | fexit | the functions of the calls | the user's registers, at the bottom of the stack |
//! | kretprobe | the same | the same |
//! | tracepoint | `syscalls:sys_exit_io_submit` | the same |
//! | raw tracepoint | `sys_exit` | the tracepoint's argument: the same |
//!
//! Those of io_getevents and io_pgetevents, which are attached where their failures are asked for,
//! are at the same places. A call that a filter (seccomp) refuses never comes to its function: only
//! the tracepoints, which are at the end of every system call, see it
//! (kernel/entry/common.c:syscall_trace_enter).
//!
//! No system call changes the register that holds `nr`. A 32-bit caller may have it in another.

use aioinspect_ebpf::Failing;
use aioinspect_ebpf::architecture::{ANSWER, KEPT, KEPT_32};
use aioinspect_ebpf::call::{
    IO_GETEVENTS, IO_GETEVENTS_32, IO_PGETEVENTS, IO_PGETEVENTS_32, IO_PGETEVENTS_TIME64, IO_SUBMIT,
    IO_SUBMIT_32,
};
use aioinspect_ebpf::shared::registers::{is_compat, number_of, of_current, of_function, register};
use aya_ebpf::bindings::pt_regs;

use crate::count::{reaped, submitted};

/// `nr` of a 64-bit caller, a long; of a 32-bit caller, an int.
#[inline(always)]
fn nr(register: u64, compat: bool) -> i64 {
    if compat { i64::from(register as i32) } else { register as i64 }
}

/// Programs at the end of a function whose one argument is the user's registers: after it comes
/// what it returned.
macro_rules! at_end {
    ($fexit:ident, $kretprobe:ident, $function:literal, |$answer:ident| $counts:expr) => {
        // SAFETY: the section names the hook, the symbol is this program's own.
        #[unsafe(link_section = concat!("fexit/", $function))]
        #[unsafe(no_mangle)]
        extern "C" fn $fexit(arguments: *const u64) -> i32 {
            // SAFETY: after the function's one argument comes what it returned.
            let $answer = unsafe { *arguments.add(1) } as i64;
            $counts;
            0
        }

        // SAFETY: the section names the hook, the symbol is this program's own.
        #[unsafe(link_section = concat!("kretprobe/", $function))]
        #[unsafe(no_mangle)]
        extern "C" fn $kretprobe(registers: *const pt_regs) -> i32 {
            // SAFETY: the context of a kretprobe.
            let $answer = unsafe { of_function(registers, ANSWER) } as i64;
            $counts;
            0
        }
    };
}

at_end!(fexit_submit, kret_submit, "io_submit", |answer| submitted(
    nr(of_current(KEPT[1]), false),
    answer,
    false
));
at_end!(fexit_submit_32, kret_submit_32, "io_submit", |answer| submitted(
    nr(of_current(KEPT_32[1]), true),
    answer,
    true
));
at_end!(fexit_getevents, kret_getevents, "io_getevents", |answer| reaped(Failing::Getevents, answer, false));
at_end!(fexit_pgetevents, kret_pgetevents, "io_pgetevents", |answer| reaped(
    Failing::Pgetevents,
    answer,
    false
));
at_end!(fexit_getevents_32, kret_getevents_32, "io_getevents", |answer| reaped(
    Failing::Getevents,
    answer,
    true
));
at_end!(fexit_pgetevents_32, kret_pgetevents_32, "io_pgetevents", |answer| reaped(
    Failing::Pgetevents,
    answer,
    true
));
at_end!(fexit_pgetevents_time64, kret_pgetevents_time64, "io_pgetevents", |answer| reaped(
    Failing::Pgetevents,
    answer,
    true
));

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
    submitted(nr(of_current(KEPT[1]), false), answer, false);
    0
}

// SAFETY: the section names the hook, the symbol is this program's own.
#[unsafe(link_section = "tracepoint/syscalls/sys_exit_io_getevents")]
#[unsafe(no_mangle)]
extern "C" fn exit_getevents(call: *const Ended) -> i32 {
    // SAFETY: the context of this tracepoint.
    reaped(Failing::Getevents, unsafe { (*call).answer }, false);
    0
}

// SAFETY: the section names the hook, the symbol is this program's own.
#[unsafe(link_section = "tracepoint/syscalls/sys_exit_io_pgetevents")]
#[unsafe(no_mangle)]
extern "C" fn exit_pgetevents(call: *const Ended) -> i32 {
    // SAFETY: the context of this tracepoint.
    reaped(Failing::Pgetevents, unsafe { (*call).answer }, false);
    0
}

/// Takes the arguments of the tracepoint apart: the number of the call, the pointer to the
/// registers, and the answer.
///
/// # Safety
///
/// `arguments` are those of `sys_exit`: the registers and what the call returned.
#[inline(always)]
unsafe fn ended(arguments: *const u64) -> (u64, *const pt_regs, i64) {
    // SAFETY: by the contract above.
    let (regs, answer) = unsafe { (*arguments.cast::<*const pt_regs>(), *arguments.add(1)) };
    // SAFETY: a pointer that the verifier knows.
    let number = unsafe { number_of(regs) };
    (number, regs, answer as i64)
}

// SAFETY: the section names the hook, the symbol is this program's own.
#[unsafe(link_section = "tp_btf/sys_exit")]
#[unsafe(no_mangle)]
extern "C" fn raw_exit(arguments: *const u64) -> i32 {
    // SAFETY: the context of this tracepoint.
    let (number, regs, answer) = unsafe { ended(arguments) };
    if number != IO_SUBMIT && number != IO_SUBMIT_32 {
        return 0;
    }
    let compat = is_compat();
    if compat != (number == IO_SUBMIT_32) {
        return 0;
    }
    // SAFETY: a pointer that the verifier knows.
    let asked = unsafe { if compat { register(regs, KEPT_32[1]) } else { register(regs, KEPT[1]) } };
    submitted(nr(asked, compat), answer, compat);
    0
}

// SAFETY: the section names the hook, the symbol is this program's own.
#[unsafe(link_section = "tp_btf/sys_exit")]
#[unsafe(no_mangle)]
extern "C" fn raw_exit_getevents(arguments: *const u64) -> i32 {
    // SAFETY: the context of this tracepoint.
    let (number, _, answer) = unsafe { ended(arguments) };
    // Nearly every call of the host ends here or in the next line.
    if answer >= 0 {
        return 0;
    }
    let (call, of_32) = match number {
        IO_GETEVENTS => (Failing::Getevents, false),
        IO_PGETEVENTS => (Failing::Pgetevents, false),
        IO_GETEVENTS_32 => (Failing::Getevents, true),
        IO_PGETEVENTS_32 | IO_PGETEVENTS_TIME64 => (Failing::Pgetevents, true),
        _ => return 0,
    };
    if is_compat() == of_32 {
        reaped(call, answer, of_32);
    }
    0
}
