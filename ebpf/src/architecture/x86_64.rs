//! `x86_64`.

use crate::Place;

/// Numbers of system calls: of arch/x86/entry/syscalls/syscall_64.tbl, and of syscall_32.tbl for
/// callers of 32 bits.
pub mod call {
    /// io_setup.
    pub const IO_SETUP: u64 = 206;
    /// io_destroy.
    pub const IO_DESTROY: u64 = 207;
    /// io_submit.
    pub const IO_SUBMIT: u64 = 209;
    /// io_getevents.
    pub const IO_GETEVENTS: u64 = 208;
    /// io_pgetevents.
    pub const IO_PGETEVENTS: u64 = 333;
    /// execve.
    pub const EXECVE: u64 = 59;
    /// execveat.
    pub const EXECVEAT: u64 = 322;
    /// io_setup of a 32-bit caller.
    pub const IO_SETUP_32: u64 = 245;
    /// io_destroy of a 32-bit caller.
    pub const IO_DESTROY_32: u64 = 246;
    /// io_submit of a 32-bit caller.
    pub const IO_SUBMIT_32: u64 = 248;
    /// io_getevents of a 32-bit caller.
    pub const IO_GETEVENTS_32: u64 = 247;
    /// io_pgetevents of a 32-bit caller, with times of 32 bits.
    pub const IO_PGETEVENTS_32: u64 = 385;
    /// The same with times of 64 bits.
    pub const IO_PGETEVENTS_TIME64: u64 = 416;
    /// execve of a 32-bit caller.
    pub const EXECVE_32: u64 = 11;
    /// execveat of a 32-bit caller.
    pub const EXECVEAT_32: u64 = 358;
}

/// Functions whose one argument is the user's registers (arch/x86/include/asm/syscall_wrapper.h).
pub mod function {
    /// io_setup.
    pub const SETUP: &str = "__x64_sys_io_setup";
    /// io_destroy.
    pub const DESTROY: &str = "__x64_sys_io_destroy";
    /// io_setup of 32-bit callers.
    pub const SETUP_32: &str = "__ia32_compat_sys_io_setup";
    /// io_destroy of 32-bit callers.
    pub const DESTROY_32: &str = "__ia32_sys_io_destroy";
    /// io_submit.
    pub const SUBMIT: &str = "__x64_sys_io_submit";
    /// io_submit of 32-bit callers.
    pub const SUBMIT_32: &str = "__ia32_compat_sys_io_submit";
    /// io_getevents.
    pub const GETEVENTS: &str = "__x64_sys_io_getevents";
    /// io_getevents of 32-bit callers.
    pub const GETEVENTS_32: &str = "__ia32_sys_io_getevents_time32";
    /// io_pgetevents.
    pub const PGETEVENTS: &str = "__x64_sys_io_pgetevents";
    /// io_pgetevents of 32-bit callers.
    pub const PGETEVENTS_32: &str = "__ia32_compat_sys_io_pgetevents";
    /// io_pgetevents of 32-bit callers with times of 64 bits.
    pub const PGETEVENTS_TIME64: &str = "__ia32_compat_sys_io_pgetevents_time64";
}

// `struct pt_regs` of arch/x86/include/asm/ptrace.h: r15 r14 r13 r12 bp bx r11 r10 r9 r8 ax cx dx si
// di orig_ax ip, 8 bytes each.

/// The number of the call, as it was asked for (`orig_ax`).
pub const NUMBER: Place = Place::whole(120, 8);
/// Where the thread goes on in its program; 0 in a thread that has none (`ip`).
pub const PROGRAM_COUNTER: usize = 128;
/// The first three arguments of a 64-bit caller while the call is under way: di, si, dx.
pub const ARGUMENTS: [usize; 3] = [112, 104, 96];
/// Those of a 32-bit caller: bx, cx, dx.
pub const ARGUMENTS_32: [usize; 3] = [40, 88, 96];
/// The same when the call has its answer, which is in ax.
pub const KEPT: [usize; 3] = ARGUMENTS;
/// Of a 32-bit caller.
pub const KEPT_32: [usize; 3] = ARGUMENTS_32;
/// The first argument of a function of the kernel's own (di).
pub const OF_FUNCTION: usize = 112;
/// What a function of the kernel's own returned (ax).
pub const ANSWER: usize = 80;

/// `TS_COMPAT` of `thread_info.status` (arch/x86/include/asm/thread_info.h): the call under way is
/// a 32-bit one.
pub const COMPAT: u32 = 2;
/// The member that has it, of `struct task_struct`.
pub const COMPAT_MEMBER: &str = "thread_info.status";
/// 32-bit callers have a function of their own: their argument is in another register.
pub const DESTROY_SERVES_BOTH: bool = false;

/// `THREAD_SIZE` (arch/x86/include/asm/page_64_types.h): bytes of a kernel stack, whatever a page is.
pub const fn stack_size(_page_size: u32) -> u32 {
    16 * 1024
}

/// Nothing: a CPU shows its stores to the others in their order, and loads in theirs. Only a load may
/// come before a store that stands before it; nothing here goes by that pair.
#[cfg(target_arch = "bpf")]
#[inline(always)]
pub fn fence() {}
