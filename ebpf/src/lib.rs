//! Wire records between the eBPF programs and userspace.
//!
//! The programs write arrays of these into memory-mapped BPF arrays; userspace reads them as bytes. Fixed-width integers
//! in host byte order, named padding, sizes asserted: no reader needs to know how the other side was compiled.
#![no_std]
#![expect(clippy::pub_underscore_fields, reason = "padding has a name, so that it is written too")]

mod bytes;
mod cgroup_record;
mod offsets;
mod record;
mod submit_record;
mod trace_record;

pub use bytes::Wire;
pub use cgroup_record::{CgroupKey, CgroupNameKey, CgroupNameRecord, CgroupRecord};
pub use offsets::{Offsets, Place};
pub use record::{ContextRecord, Control, CreditsRecord, MmRecord, Mode, RingRecord, TaskRecord, WaitRecord};
pub use submit_record::{SubmitControl, SubmitErrorKey, SubmitErrors, SubmitKey, SubmitLosses, SubmitRecord};
pub use trace_record::{
    CallKind, CallRecord, Counters, EventKind, EventRecord, GONE, HeadRecord, Origin, Pass, SlotKey,
    SlotRecord, SpaceKey, SpaceRecord, TraceControl, flag,
};

/// `AIO_RING_MAGIC`: the superblock magic of the file system that ring inodes live on (fs/aio.c:aio_init_fs_context), the same
/// number that every ring header begins with.
pub const AIO_RING_FS_MAGIC: u64 = 0xa10a_10a1;

/// Bits of `Offsets::ways`: what the kernel that runs offers, found by trying.
pub mod way {
    /// `bpf_rdonly_cast` makes any number an address that can be loaded from: no helper call, and also under lockdown=confidentiality.
    pub const CAST: u32 = 1;
    /// `bpf_map_lookup_percpu_elem` shows the memory of every possible CPU.
    pub const EVERY_CPU: u32 = 2;
    /// `bpf_task_pt_regs` and `bpf_get_current_task_btf` are there.
    pub const TASK_REGISTERS: u32 = 4;
}

/// Numbers of system calls: of arch/x86/entry/syscalls/syscall_64.tbl, and of syscall_32.tbl for callers of 32 bits.
pub mod call {
    /// io_setup.
    pub const IO_SETUP: u64 = 206;
    /// io_destroy.
    pub const IO_DESTROY: u64 = 207;
    /// execve.
    pub const EXECVE: u64 = 59;
    /// execveat.
    pub const EXECVEAT: u64 = 322;
    /// io_setup of a 32-bit caller.
    pub const IO_SETUP_32: u64 = 245;
    /// io_destroy of a 32-bit caller.
    pub const IO_DESTROY_32: u64 = 246;
    /// execve of a 32-bit caller.
    pub const EXECVE_32: u64 = 11;
    /// execveat of a 32-bit caller.
    pub const EXECVEAT_32: u64 = 358;
}

/// What a program calls where `bpf_rdonly_cast` is meant: no helper of any kernel has this number. Userspace puts the kernel's function there, or
/// a helper that does nothing, since what is never run must be well formed too.
pub const CAST_CALL: i32 = 0x0a10_0001;
