//! `aarch64`.

#[cfg(target_arch = "bpf")]
use core::arch::asm;

use crate::Place;

/// Numbers of system calls: of scripts/syscall.tbl (include/uapi/asm-generic/unistd.h), and of
/// arch/arm64/tools/syscall_32.tbl (before 6.11 arch/arm64/include/asm/unistd32.h) for callers of 32
/// bits.
///
/// io_setup is number 0: what a thread that never made a call has too.
pub mod call {
    /// io_setup.
    pub const IO_SETUP: u64 = 0;
    /// io_destroy.
    pub const IO_DESTROY: u64 = 1;
    /// io_submit.
    pub const IO_SUBMIT: u64 = 2;
    /// io_getevents.
    pub const IO_GETEVENTS: u64 = 4;
    /// io_pgetevents.
    pub const IO_PGETEVENTS: u64 = 292;
    /// execve.
    pub const EXECVE: u64 = 221;
    /// execveat.
    pub const EXECVEAT: u64 = 281;
    /// io_setup of a 32-bit caller.
    pub const IO_SETUP_32: u64 = 243;
    /// io_destroy of a 32-bit caller.
    pub const IO_DESTROY_32: u64 = 244;
    /// io_submit of a 32-bit caller.
    pub const IO_SUBMIT_32: u64 = 246;
    /// io_getevents of a 32-bit caller.
    pub const IO_GETEVENTS_32: u64 = 245;
    /// io_pgetevents of a 32-bit caller, with times of 32 bits.
    pub const IO_PGETEVENTS_32: u64 = 399;
    /// The same with times of 64 bits.
    pub const IO_PGETEVENTS_TIME64: u64 = 416;
    /// execve of a 32-bit caller.
    pub const EXECVE_32: u64 = 11;
    /// execveat of a 32-bit caller.
    pub const EXECVEAT_32: u64 = 387;
}

/// Functions whose one argument is the user's registers
/// (arch/arm64/include/asm/syscall_wrapper.h).
pub mod function {
    /// io_setup.
    pub const SETUP: &str = "__arm64_sys_io_setup";
    /// io_destroy.
    pub const DESTROY: &str = "__arm64_sys_io_destroy";
    /// io_setup of 32-bit callers.
    pub const SETUP_32: &str = "__arm64_compat_sys_io_setup";
    /// io_destroy of 32-bit callers: no other one.
    pub const DESTROY_32: &str = DESTROY;
    /// io_submit.
    pub const SUBMIT: &str = "__arm64_sys_io_submit";
    /// io_submit of 32-bit callers.
    pub const SUBMIT_32: &str = "__arm64_compat_sys_io_submit";
    /// io_getevents.
    pub const GETEVENTS: &str = "__arm64_sys_io_getevents";
    /// io_getevents of 32-bit callers.
    pub const GETEVENTS_32: &str = "__arm64_sys_io_getevents_time32";
    /// io_pgetevents.
    pub const PGETEVENTS: &str = "__arm64_sys_io_pgetevents";
    /// io_pgetevents of 32-bit callers.
    pub const PGETEVENTS_32: &str = "__arm64_compat_sys_io_pgetevents";
    /// io_pgetevents of 32-bit callers with times of 64 bits.
    pub const PGETEVENTS_TIME64: &str = "__arm64_compat_sys_io_pgetevents_time64";
}

// `struct pt_regs` of arch/arm64/include/asm/ptrace.h: x0 to x30, sp, pc, pstate, orig_x0, 8 bytes
// each, and syscallno. What follows differs between kernels.

/// The number of the call, as it was asked for (`syscallno`).
pub const NUMBER: Place = Place::whole(280, 4);
/// Where the thread goes on in its program; 0 in a thread that has none (`pc`).
pub const PROGRAM_COUNTER: usize = 256;
/// The first three arguments while the call is under way: x0, x1, x2.
pub const ARGUMENTS: [usize; 3] = [0, 8, 16];
/// Those of a 32-bit caller: r0, r1, r2, which are in the same places.
pub const ARGUMENTS_32: [usize; 3] = ARGUMENTS;
/// The same when the call has its answer, which is in x0: `orig_x0`, x1, x2.
pub const KEPT: [usize; 3] = [272, 8, 16];
/// Of a 32-bit caller.
pub const KEPT_32: [usize; 3] = KEPT;
/// The first argument of a function of the kernel's own (x0).
pub const OF_FUNCTION: usize = 0;
/// What a function of the kernel's own returned (x0).
pub const ANSWER: usize = 0;

/// `TIF_32BIT`, bit 22 of `thread_info.flags` (arch/arm64/include/asm/thread_info.h): the thread
/// runs 32-bit code, so that every call of it is a 32-bit one.
pub const COMPAT: u32 = 1 << 22;
/// The member that has it, of `struct task_struct`.
pub const COMPAT_MEMBER: &str = "thread_info.flags";
/// 32-bit callers come to the same function, with their argument in the same register.
pub const DESTROY_SERVES_BOTH: bool = true;

/// `THREAD_SIZE` (arch/arm64/include/asm/memory.h): bytes of a kernel stack, 16 kB, and no less than
/// a page.
pub const fn stack_size(page_size: u32) -> u32 {
    const SMALLEST: u32 = 16 * 1024;
    if page_size > SMALLEST { page_size } else { SMALLEST }
}

/// What stands before it is seen by all other CPUs before what stands after it, loads and stores
/// alike: this architecture promises it of nothing else.
///
/// BPF has no instruction of that name. But an atomic operation that gives back what was there is
/// fully ordered (Documentation/bpf/standardization/instruction-set.rst, by the kernel's memory
/// model; arch/arm64/net/bpf_jit_comp.c makes `ldaddal` of it, or a loop and a barrier). So nothing
/// is added to a word of our own. Kernels whose programs have no such operation get none: see
/// `Code::without_fences` of userspace/kernel/src/bpf/call.rs.
#[cfg(target_arch = "bpf")]
#[expect(clippy::inline_always, reason = "a function that is not inlined is a subprogram")]
#[inline(always)]
pub fn fence() {
    let mut own = 0u64;
    // SAFETY: the word is a live local. The compiler moves no access to memory across it.
    unsafe {
        asm!(
            "{old} = atomic_fetch_add((u64 *)({own} + 0), {old})",
            own = in(reg) &raw mut own,
            old = inout(reg) 0u64 => _,
        );
    }
}
