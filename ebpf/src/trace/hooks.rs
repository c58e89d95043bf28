//! The programs for each hook: they fetch the arguments and hand them on.
//!
//! | hook | where | for whom |
//! |---|---|---|
//! | fentry, fexit | `__x64_sys_io_setup` and its kin | only who calls them |
//! | kprobe, kretprobe | the same | only who calls them |
//! | tracepoint | `syscalls:sys_enter_io_setup` and its kin | every system call of the host gets slower |
//! | raw tracepoint | `sys_enter`, `sys_exit` | the same, and a program runs at each of them |
//!
//! The functions are those of arch/x86: their one argument is the user's registers. A 32-bit caller
//! has its arguments in others, and other call numbers.

use aioinspect_ebpf::call::{IO_DESTROY, IO_DESTROY_32, IO_SETUP, IO_SETUP_32};
use aioinspect_ebpf::shared::registers::is_compat;
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

/// One register of the user's, of the thread that runs.
macro_rules! own {
    ($register:ident) => {
        aioinspect_ebpf::shared::registers::of_current(aioinspect_ebpf::register_at!($register))
    };
}

/// One register of the user's, through a pointer whose type the verifier knows.
macro_rules! user {
    ($regs:ident.$register:ident) => {
        // SAFETY: comes from the program's context.
        unsafe {
            aioinspect_ebpf::shared::registers::register($regs, aioinspect_ebpf::register_at!($register))
        }
    };
}

at_function!(
    fentry_setup,
    fexit_setup,
    "__x64_sys_io_setup",
    calls::setup_begins(own!(rdi), own!(rsi), false),
    calls::setup_ends
);
at_function!(
    fentry_destroy,
    fexit_destroy,
    "__x64_sys_io_destroy",
    calls::destroy_begins(own!(rdi), false),
    calls::destroy_ends
);
at_function!(
    fentry_setup_32,
    fexit_setup_32,
    "__ia32_compat_sys_io_setup",
    calls::setup_begins(own!(rbx), own!(rcx), true),
    calls::setup_ends
);
at_function!(
    fentry_destroy_32,
    fexit_destroy_32,
    "__ia32_sys_io_destroy",
    calls::destroy_begins(own!(rbx), true),
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
                let $regs = unsafe { (*registers).rdi };
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
                $ends(unsafe { (*registers).rax } as i64);
                0
            }
        }
    };
}

/// One register of the user's, at an address that is only a number.
macro_rules! probed {
    ($regs:ident.$register:ident) => {
        aioinspect_ebpf::shared::memory::read_8(
            $regs.wrapping_add(aioinspect_ebpf::register_at!($register) as u64),
        )
    };
}

at_probe!(
    kprobe_setup,
    kretprobe_setup,
    "__x64_sys_io_setup",
    |regs| calls::setup_begins(probed!(regs.rdi), probed!(regs.rsi), false),
    calls::setup_ends
);
at_probe!(
    kprobe_destroy,
    kretprobe_destroy,
    "__x64_sys_io_destroy",
    |regs| calls::destroy_begins(probed!(regs.rdi), false),
    calls::destroy_ends
);
at_probe!(
    kprobe_setup_32,
    kretprobe_setup_32,
    "__ia32_compat_sys_io_setup",
    |regs| calls::setup_begins(probed!(regs.rbx), probed!(regs.rcx), true),
    calls::setup_ends
);
at_probe!(
    kprobe_destroy_32,
    kretprobe_destroy_32,
    "__ia32_sys_io_destroy",
    |regs| calls::destroy_begins(probed!(regs.rbx), true),
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
    match (number, is_compat()) {
        (IO_SETUP, false) => calls::setup_begins(user!(regs.rdi), user!(regs.rsi), false),
        (IO_DESTROY, false) => calls::destroy_begins(user!(regs.rdi), false),
        (IO_SETUP_32, true) => calls::setup_begins(user!(regs.rbx), user!(regs.rcx), true),
        (IO_DESTROY_32, true) => calls::destroy_begins(user!(regs.rbx), true),
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
    let number = user!(regs.orig_rax);
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
