//! `--hook`: the ladder of hooks, by the names a user types.

use clap::ValueEnum;

/// Where in the kernel the calls are observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HookArg {
    /// The cheapest one that loads.
    Auto,
    /// fentry and fexit on the functions of the system calls.
    Fentry,
    /// kprobes and kretprobes on these functions.
    Kprobe,
    /// The tracepoints syscalls:sys_enter_io_setup and similar, through tracefs. Cannot see 32-bit
    /// callers.
    Tracepoint,
    /// The raw tracepoints sys_enter and sys_exit. Need no tracefs.
    RawTracepoint,
}
