//! The maps. Sizes are set by userspace before loading.

use aioinspect_ebpf::{
    CgroupKey, CgroupNameKey, CgroupNameRecord, CgroupRecord, SubmitControl, SubmitErrorKey, SubmitErrors,
    SubmitKey, SubmitLosses, SubmitRecord,
};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, PerCpuArray};

/// `BPF_F_MMAPABLE`.
const MMAPABLE: u32 = 1024;
/// `BPF_F_NO_PREALLOC`: memory is taken as processes come.
const NO_PREALLOC: u32 = 1;

/// Who reads.
#[map]
static SUBMIT: Array<SubmitControl> = Array::with_max_entries(1, MMAPABLE);
/// Every process that has called io_submit.
#[map]
pub static SUBMITS: HashMap<SubmitKey, SubmitRecord> = HashMap::with_max_entries(1, NO_PREALLOC);
/// What its calls failed of.
#[map]
pub static SUBMIT_ERRORS: HashMap<SubmitErrorKey, SubmitErrors> = HashMap::with_max_entries(1, NO_PREALLOC);
/// The control groups that were told of. All memory is taken at once, here and below: of what is taken as entries come, the kernel has no more than
/// some dozens at hand, and a program may need more at its first call.
#[map]
pub static CGROUPS: HashMap<CgroupKey, CgroupRecord> = HashMap::with_max_entries(1, 0);
/// Their names.
#[map]
pub static CGROUP_NAMES: HashMap<CgroupNameKey, CgroupNameRecord> = HashMap::with_max_entries(1, 0);
/// What was missed.
#[map]
static LOSSES: PerCpuArray<SubmitLosses> = PerCpuArray::with_max_entries(1, 0);

/// Who reads.
#[inline(always)]
pub fn control() -> Option<&'static mut SubmitControl> {
    // SAFETY: a map value outlives the program; what the other programs read of it is written before they are attached.
    SUBMIT.get_ptr_mut(0).map(|control| unsafe { &mut *control })
}

/// Counts something as missed.
#[inline(always)]
pub fn lose(what: impl FnOnce(&mut SubmitLosses)) {
    if let Some(losses) = LOSSES.get_ptr_mut(0) {
        // SAFETY: a live map value of this CPU.
        what(unsafe { &mut *losses });
    }
}
