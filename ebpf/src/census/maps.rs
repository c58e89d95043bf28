//! The maps.

use aioinspect_ebpf::{ContextRecord, Control, CreditsRecord, MmRecord, RingRecord, TaskRecord, WaitRecord};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, PerCpuArray};

/// `BPF_F_MMAPABLE`: userspace reads the records where the program wrote them.
const MMAPABLE: u32 = 1024;

/// Levels of a tree of mappings; ten slots to a node make this many more than there can be
/// mappings.
pub const LEVELS: u32 = 12;

/// Sizes here are the smallest; userspace sets the real ones before loading.
#[map]
pub static CONTROL: Array<Control> = Array::with_max_entries(1, MMAPABLE);
/// The same for `rings`, which may run while `census` does.
#[map]
pub static RING_CONTROL: Array<Control> = Array::with_max_entries(1, MMAPABLE);
#[map]
pub static CONTEXTS: Array<ContextRecord> = Array::with_max_entries(1, MMAPABLE);
#[map]
pub static CREDITS: Array<CreditsRecord> = Array::with_max_entries(1, MMAPABLE);
#[map]
pub static MMS: Array<MmRecord> = Array::with_max_entries(1, MMAPABLE);
#[map]
pub static TASKS: Array<TaskRecord> = Array::with_max_entries(1, MMAPABLE);
#[map]
pub static WAITS: Array<WaitRecord> = Array::with_max_entries(1, MMAPABLE);
/// Where a walk through a tree of mappings is: for each level the node's address, and in its low
/// bits what it is and the slot that is next.
#[map]
pub static TREE: Array<u64> = Array::with_max_entries(LEVELS, 0);
#[map]
pub static RINGS: Array<RingRecord> = Array::with_max_entries(1, MMAPABLE);
/// Distance of each possible CPU's memory from a per-CPU pointer; sized by userspace.
#[map]
pub static CPU_OFFSETS: Array<u64> = Array::with_max_entries(1, 0);
/// A per-CPU variable of our own, to learn those distances from.
#[map]
pub static CPU_RULER: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);
