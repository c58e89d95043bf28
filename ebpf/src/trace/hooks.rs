//! The programs for each hook: they fetch the arguments and hand them on.
//!
//! | hook | where | for whom |
//! |---|---|---|
//! | fentry, fexit | the functions of the calls | only who calls them |
//! | kprobe, kretprobe | the same | only who calls them |
//! | tracepoint | `syscalls:sys_enter_io_setup` and its kin | every system call of the host gets slower |
//! | raw tracepoint | `sys_enter`, `sys_exit` | the same, and a program runs at each of them |
//!
//! The one argument of those functions is the user's registers. A 32-bit caller has other call
//! numbers, and may have its arguments in others. Which function a program is put at is said when it
//! is attached, by [`aioinspect_ebpf::architecture::function`].

use aioinspect_ebpf::architecture::{ANSWER, ARGUMENTS, ARGUMENTS_32, DESTROY_SERVES_BOTH, OF_FUNCTION};
use aioinspect_ebpf::call::{IO_DESTROY, IO_DESTROY_32, IO_SETUP, IO_SETUP_32};
use aioinspect_ebpf::shared::registers::{at, is_compat, number_of, of_current, of_function, register};
use aya_ebpf::bindings::pt_regs;

use crate::calls;

/// A pair of programs at the beginning and the end of a function whose argument is the user's
/// registers. They are taken from where they are kept: of the argument some kernels say no type
/// (5.10).
macro_rules! at_function {
    ($begin:ident, $end:ident, $function:literal, $begins:expr, $ends:path) => {
        mod $begin {
            use super::*;

            // SAFETY: the section names the hook, the symbol is this program's own.
            #[unsafe(link_section = concat!("fentry/", $function))]
            #[unsafe(no_mangle)]
            extern "C" fn $begin(_arguments: *const u64) -> i32 {
                $begins;
                0
            }
        }

        mod $end {
            use super::*;

            // SAFETY: the section names the hook, the symbol is this program's own.
            #[unsafe(link_section = concat!("fexit/", $function))]
            #[unsafe(no_mangle)]
            extern "C" fn $end(arguments: *const u64) -> i32 {
                // SAFETY: after the function's one argument comes what it returned.
                $ends(unsafe { *arguments.add(1) } as i64);
                0
            }
        }
    };
}

/// Whether the caller of a function for io_destroy is a 32-bit one: of one that serves both, it says so itself.
#[inline(always)]
fn destroys_for_32() -> bool {
    DESTROY_SERVES_BOTH && is_compat()
}

at_function!(
    fentry_setup,
    fexit_setup,
    "io_setup",
    calls::setup_begins(of_current(ARGUMENTS[0]), of_current(ARGUMENTS[1]), false),
    calls::setup_ends
);
at_function!(
    fentry_destroy,
    fexit_destroy,
    "io_destroy",
    calls::destroy_begins(of_current(ARGUMENTS[0]), destroys_for_32()),
    calls::destroy_ends
);
at_function!(
    fentry_setup_32,
    fexit_setup_32,
    "io_setup",
    calls::setup_begins(of_current(ARGUMENTS_32[0]), of_current(ARGUMENTS_32[1]), true),
    calls::setup_ends
);
at_function!(
    fentry_destroy_32,
    fexit_destroy_32,
    "io_destroy",
    calls::destroy_begins(of_current(ARGUMENTS_32[0]), true),
    calls::destroy_ends
);

/// The same with kprobes: the argument is in the probed function's own registers, and nothing
/// vouches for it.
macro_rules! at_probe {
    ($begin:ident, $end:ident, $function:literal, |$regs:ident| $begins:expr, $ends:path) => {
        mod $begin {
            use super::*;

            // SAFETY: the section names the hook, the symbol is this program's own.
            #[unsafe(link_section = concat!("kprobe/", $function))]
            #[unsafe(no_mangle)]
            extern "C" fn $begin(registers: *const pt_regs) -> i32 {
                // SAFETY: the context of a kprobe.
                let $regs = unsafe { of_function(registers, OF_FUNCTION) };
                $begins;
                0
            }
        }

        mod $end {
            use super::*;

            // SAFETY: the section names the hook, the symbol is this program's own.
            #[unsafe(link_section = concat!("kretprobe/", $function))]
            #[unsafe(no_mangle)]
            extern "C" fn $end(registers: *const pt_regs) -> i32 {
                // SAFETY: the context of a kretprobe.
                $ends(unsafe { of_function(registers, ANSWER) } as i64);
                0
            }
        }
    };
}

at_probe!(
    kprobe_setup,
    kretprobe_setup,
    "io_setup",
    |regs| calls::setup_begins(at(regs, ARGUMENTS[0]), at(regs, ARGUMENTS[1]), false),
    calls::setup_ends
);
at_probe!(
    kprobe_destroy,
    kretprobe_destroy,
    "io_destroy",
    |regs| calls::destroy_begins(at(regs, ARGUMENTS[0]), destroys_for_32()),
    calls::destroy_ends
);
at_probe!(
    kprobe_setup_32,
    kretprobe_setup_32,
    "io_setup",
    |regs| calls::setup_begins(at(regs, ARGUMENTS_32[0]), at(regs, ARGUMENTS_32[1]), true),
    calls::setup_ends
);
at_probe!(
    kprobe_destroy_32,
    kretprobe_destroy_32,
    "io_destroy",
    |regs| calls::destroy_begins(at(regs, ARGUMENTS_32[0]), true),
    calls::destroy_ends
);

/// Beside kretprobes, which miss a return where too many threads are inside the function.
// SAFETY: the section names the hook, the symbol is this program's own.
#[unsafe(link_section = "tp_btf/sched_process_exit")]
#[unsafe(no_mangle)]
extern "C" fn thread_exits(_arguments: *const u64) -> i32 {
    calls::thread_ends();
    0
}

/// What the tracepoints of system calls hand over (`events/syscalls/*/format`).
#[repr(C)]
pub struct Syscall {
    common: u64,
    number: u64,
    /// The arguments of the call, or what it returned.
    values: [u64; 2],
}

// SAFETY: the section names the hook, the symbol is this program's own.
#[unsafe(link_section = "tracepoint/syscalls/sys_enter_io_setup")]
#[unsafe(no_mangle)]
extern "C" fn enter_setup(call: *const Syscall) -> i32 {
    // SAFETY: the context of this tracepoint.
    let [nr_events, pointer] = unsafe { (*call).values };
    calls::setup_begins(nr_events, pointer, false);
    0
}

// SAFETY: the section names the hook, the symbol is this program's own.
#[unsafe(link_section = "tracepoint/syscalls/sys_exit_io_setup")]
#[unsafe(no_mangle)]
extern "C" fn exit_setup(call: *const Syscall) -> i32 {
    // SAFETY: the context of this tracepoint.
    calls::setup_ends(unsafe { (*call).values[0] } as i64);
    0
}

// SAFETY: the section names the hook, the symbol is this program's own.
#[unsafe(link_section = "tracepoint/syscalls/sys_enter_io_destroy")]
#[unsafe(no_mangle)]
extern "C" fn enter_destroy(call: *const Syscall) -> i32 {
    // SAFETY: the context of this tracepoint.
    calls::destroy_begins(unsafe { (*call).values[0] }, false);
    0
}

// SAFETY: the section names the hook, the symbol is this program's own.
#[unsafe(link_section = "tracepoint/syscalls/sys_exit_io_destroy")]
#[unsafe(no_mangle)]
extern "C" fn exit_destroy(call: *const Syscall) -> i32 {
    // SAFETY: the context of this tracepoint.
    calls::destroy_ends(unsafe { (*call).values[0] } as i64);
    0
}

// SAFETY: the section names the hook, the symbol is this program's own.
#[unsafe(link_section = "tp_btf/sys_enter")]
#[unsafe(no_mangle)]
extern "C" fn raw_enter(arguments: *const u64) -> i32 {
    // SAFETY: the tracepoint's arguments are the registers and the number of the call.
    let number = unsafe { *arguments.add(1) };
    if number != IO_SETUP && number != IO_DESTROY && number != IO_SETUP_32 && number != IO_DESTROY_32 {
        return 0;
    }
    // SAFETY: as above; the verifier knows its type.
    let regs = unsafe { *arguments.cast::<*const pt_regs>() };
    // SAFETY: likewise.
    let user = |offset| unsafe { register(regs, offset) };
    match (number, is_compat()) {
        (IO_SETUP, false) => calls::setup_begins(user(ARGUMENTS[0]), user(ARGUMENTS[1]), false),
        (IO_DESTROY, false) => calls::destroy_begins(user(ARGUMENTS[0]), false),
        (IO_SETUP_32, true) => calls::setup_begins(user(ARGUMENTS_32[0]), user(ARGUMENTS_32[1]), true),
        (IO_DESTROY_32, true) => calls::destroy_begins(user(ARGUMENTS_32[0]), true),
        _ => {}
    }
    0
}

// SAFETY: the section names the hook, the symbol is this program's own.
#[unsafe(link_section = "tp_btf/sys_exit")]
#[unsafe(no_mangle)]
extern "C" fn raw_exit(arguments: *const u64) -> i32 {
    // SAFETY: the tracepoint's arguments are the registers and what the call returned.
    let regs = unsafe { *arguments.cast::<*const pt_regs>() };
    // SAFETY: a pointer that the verifier knows.
    let number = unsafe { number_of(regs) };
    if number != IO_SETUP && number != IO_DESTROY && number != IO_SETUP_32 && number != IO_DESTROY_32 {
        return 0;
    }
    // SAFETY: as above.
    let answer = unsafe { *arguments.add(1) } as i64;
    match (number, is_compat()) {
        (IO_SETUP, false) | (IO_SETUP_32, true) => calls::setup_ends(answer),
        (IO_DESTROY, false) | (IO_DESTROY_32, true) => calls::destroy_ends(answer),
        _ => {}
    }
    0
}
