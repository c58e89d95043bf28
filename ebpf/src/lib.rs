//! Wire records between the eBPF programs and userspace.
//!
//! The programs write arrays of these into memory-mapped BPF arrays; userspace reads them as bytes. Fixed-width integers
//! in host byte order, named padding, sizes asserted: no reader needs to know how the other side was compiled.
#![no_std]
#![expect(clippy::pub_underscore_fields, reason = "padding has a name, so that it is written too")]

mod bytes;
mod offsets;
mod record;
mod submit_record;
mod trace_record;

pub use bytes::Wire;
pub use offsets::Offsets;
pub use record::{ContextRecord, Control, MmRecord, Mode, RingRecord, TaskRecord};
pub use submit_record::{SubmitControl, SubmitErrorKey, SubmitErrors, SubmitKey, SubmitLosses, SubmitRecord};
pub use trace_record::{
    CallKind, CallRecord, Counters, EventKind, EventRecord, GONE, HeadRecord, Origin, Pass, SlotKey,
    SlotRecord, SpaceRecord, TraceControl, flag,
};

/// `AIO_RING_MAGIC`: the superblock magic of the file system that ring inodes live on (fs/aio.c:aio_init_fs_context), the same
/// number that every ring header begins with.
pub const AIO_RING_FS_MAGIC: u64 = 0xa10a_10a1;

/// Bytes of a `struct kioctx` that the programs can copy: 576 on the kernels seen, with room for a larger one.
pub const KIOCTX_ROOM: usize = 1024;
