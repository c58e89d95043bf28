//! Where the calls of io_setup, io_destroy, io_submit and io_getevents can be seen in this kernel, by BTF id: functions and tracepoints.

use aioinspect_ebpf::architecture::function;

use crate::btf::{Btf, Named, Wanted};

macro_rules! hooks {
    ($($(#[$doc:meta])* $field:ident: $kind:ident, $name:expr;)*) => {
        /// BTF ids; `None` where this kernel has no such thing.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct HookIds { $($(#[$doc])* pub $field: Option<u32>,)* }

        /// What is looked up for them.
        pub const WANTED: &[Wanted] = &[$((Named::$kind, $name),)*];

        impl HookIds {
            /// Looks all of them up.
            pub fn resolve(btf: &Btf<'_>) -> Self {
                Self { $($field: btf.find(Named::$kind, $name).map(|id| id.0),)* }
            }
        }
    };
}

hooks! {
    /// io_setup of 64-bit callers.
    setup: Func, function::SETUP;
    /// io_destroy of 64-bit callers.
    destroy: Func, function::DESTROY;
    /// io_setup of 32-bit callers; `None` where the kernel serves none.
    setup_32: Func, function::SETUP_32;
    /// io_destroy of 32-bit callers.
    destroy_32: Func, function::DESTROY_32;
    /// io_submit of 64-bit callers.
    submit: Func, function::SUBMIT;
    /// io_submit of 32-bit callers.
    submit_32: Func, function::SUBMIT_32;
    /// io_getevents of 64-bit callers.
    getevents: Func, function::GETEVENTS;
    /// io_pgetevents of 64-bit callers.
    pgetevents: Func, function::PGETEVENTS;
    /// io_getevents of 32-bit callers.
    getevents_32: Func, function::GETEVENTS_32;
    /// io_pgetevents of 32-bit callers.
    pgetevents_32: Func, function::PGETEVENTS_32;
    /// io_pgetevents of 32-bit callers with times of 64 bits.
    pgetevents_time64: Func, function::PGETEVENTS_TIME64;
    /// The tracepoint at the end of an address space, since v6.1 (mm/mmap.c:exit_mmap).
    exit_mmap: Typedef, "btf_trace_exit_mmap";
    /// The function that the tracepoint is in.
    exit_mmap_func: Func, "exit_mmap";
    /// The tracepoint of a thread that exits.
    process_exit: Typedef, "btf_trace_sched_process_exit";
    /// The tracepoint of a process that becomes another program.
    process_exec: Typedef, "btf_trace_sched_process_exec";
    /// The tracepoint at the beginning of every system call.
    sys_enter: Typedef, "btf_trace_sys_enter";
    /// The tracepoint at the end of every system call.
    sys_exit: Typedef, "btf_trace_sys_exit";
}

impl HookIds {
    /// Whether this kernel serves 32-bit callers.
    pub fn serves_32_bit(&self) -> bool {
        self.setup_32.is_some()
    }
}
