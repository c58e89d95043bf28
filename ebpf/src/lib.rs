//! What both halves know, and what the eBPF programs share.
//!
//! The records are the border between the programs and userspace: the programs write arrays of them
//! into memory-mapped BPF arrays, and userspace reads them as bytes. Fixed-width integers in host
//! byte order, named padding, sizes asserted: no reader needs to know how the other side was
//! compiled. The module `shared` exists for the bpf target alone.
#![no_std]
#![cfg_attr(
    target_arch = "bpf",
    expect(unsafe_code, reason = "BPF helpers and kernel memory are reached through raw pointers only")
)]
#![expect(clippy::pub_underscore_fields, reason = "padding has a name, so that it is written too")]

#[cfg(target_arch = "bpf")]
extern crate self as aioinspect_ebpf;

mod bytes;
mod offsets;
mod records;
#[cfg(target_arch = "bpf")]
pub mod shared;

pub use bytes::Wire;
pub use offsets::{Offsets, Place};
pub use records::census::{
    ContextRecord, Control, CreditsRecord, MmRecord, Mode, RingRecord, TaskRecord, WaitRecord,
};
pub use records::cgroups::{CgroupKey, CgroupNameKey, CgroupNameRecord, CgroupRecord};
pub use records::submit::{
    Failing, SubmitControl, SubmitErrorKey, SubmitErrors, SubmitKey, SubmitLosses, SubmitRecord,
};
pub use records::trace::{
    CallKind, CallRecord, Counters, EventKind, EventRecord, GONE, HeadRecord, Origin, Pass, SpaceKey,
    SpaceRecord, TraceControl, TracedKey, TracedRecord, flag,
};
#[cfg(target_arch = "bpf")]
pub use shared::constants;

/// `AIO_RING_MAGIC`: the superblock magic of the file system that ring inodes live on
/// (fs/aio.c:aio_init_fs_context), the same number that every ring header begins with.
pub const AIO_RING_FS_MAGIC: u64 = 0xa10a_10a1;

/// Bits of `Offsets::ways`: what the kernel that runs offers, found by trying.
pub mod way {
    /// `bpf_rdonly_cast` makes any number an address that can be loaded from: no helper call, and
    /// also under lockdown=confidentiality.
    pub const CAST: u32 = 1;
    /// `bpf_map_lookup_percpu_elem` shows the memory of every possible CPU.
    pub const EVERY_CPU: u32 = 2;
    /// `bpf_task_pt_regs` and `bpf_get_current_task_btf` are there.
    pub const TASK_REGISTERS: u32 = 4;
}

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

/// What a program calls where `bpf_rdonly_cast` is meant: no helper of any kernel has this number.
/// Userspace puts the kernel's function there, or a helper that does nothing, since what is never
/// run must be well formed too.
pub const CAST_CALL: i32 = 0x0a10_0001;
