//! What both halves know, and what the eBPF programs share.
//!
//! The records are the border between the programs and userspace: the programs write arrays of them
//! into memory-mapped BPF arrays, and userspace reads them as bytes. Fixed-width integers in host
//! byte order, named padding, sizes asserted: no reader needs to know how the other side was
//! compiled. The module `shared` exists for the bpf target alone.
#![no_std]
#![cfg_attr(bpf_target_arch = "aarch64", feature(asm_experimental_arch))]
#![cfg_attr(
    target_arch = "bpf",
    expect(unsafe_code, reason = "BPF helpers and kernel memory are reached through raw pointers only")
)]
#![expect(clippy::pub_underscore_fields, reason = "padding has a name, so that it is written too")]

#[cfg(target_arch = "bpf")]
extern crate self as aioinspect_ebpf;

pub mod architecture;
mod bytes;
mod offsets;
mod records;
#[cfg(target_arch = "bpf")]
pub mod shared;

pub use architecture::call;
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

/// What a program calls where `bpf_rdonly_cast` is meant: no helper of any kernel has this number.
/// Userspace puts the kernel's function there, or a helper that does nothing, since what is never
/// run must be well formed too.
pub const CAST_CALL: i32 = 0x0a10_0001;
