//! The maps, and the one global.

use aioinspect_ebpf::{ContextRecord, Control, MmRecord, Offsets, RingRecord, TaskRecord};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, PerCpuArray};

/// `BPF_F_MMAPABLE`: userspace reads the records where the program wrote them.
const MMAPABLE: u32 = 1024;

/// Sizes here are the smallest; userspace sets the real ones before loading.
#[map]
pub static CONTROL: Array<Control> = Array::with_max_entries(1, MMAPABLE);
#[map]
pub static CONTEXTS: Array<ContextRecord> = Array::with_max_entries(1, MMAPABLE);
#[map]
pub static MMS: Array<MmRecord> = Array::with_max_entries(1, MMAPABLE);
#[map]
pub static TASKS: Array<TaskRecord> = Array::with_max_entries(1, MMAPABLE);
#[map]
pub static RINGS: Array<RingRecord> = Array::with_max_entries(1, MMAPABLE);
/// Distance of each possible CPU's memory from a per-CPU pointer; sized by userspace.
#[map]
pub static CPU_OFFSETS: Array<u64> = Array::with_max_entries(1, 0);
/// A per-CPU variable of our own, to learn those distances from.
#[map]
pub static CPU_RULER: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Where one `struct kioctx` is copied to in one go; its members are then picked without a helper.
#[map]
pub static SCRATCH: PerCpuArray<[u64; KIOCTX_ROOM / 8]> = PerCpuArray::with_max_entries(1, 0);

/// Bytes of a kioctx that are copied at most; userspace refuses a kernel whose kioctx has what we read beyond it.
pub const KIOCTX_ROOM: usize = aioinspect_ebpf::KIOCTX_ROOM;

/// Filled in before loading; read-only and frozen, so every member is a constant to the verifier.
#[unsafe(no_mangle)]
pub static OFFSETS: Offsets = EMPTY;

const EMPTY: Offsets = {
    // SAFETY: Offsets is made of u32 and u64 only, for which zero bytes are a value.
    unsafe { core::mem::zeroed() }
};

/// Reads a member of [`OFFSETS`] as it was loaded, not as it was compiled.
#[inline(always)]
pub fn constant(member: &'static u32) -> u32 {
    // SAFETY: a reference to a static is valid; volatile, because the loader changed it after compilation.
    unsafe { core::ptr::read_volatile(member) }
}

/// One member of [`OFFSETS`].
macro_rules! offset {
    ($member:ident) => {
        $crate::maps::constant(&$crate::maps::OFFSETS.$member)
    };
}
pub(crate) use offset;
