//! The maps. Sizes are set by userspace before loading.

use aioinspect_ebpf::shared::value::Value;
use aioinspect_ebpf::{SubmitControl, SubmitErrorKey, SubmitErrors, SubmitKey, SubmitLosses, SubmitRecord};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, PerCpuArray};

/// `BPF_F_MMAPABLE`.
const MMAPABLE: u32 = 1024;
/// `BPF_F_NO_PREALLOC`: memory is taken as processes come.
const NO_PREALLOC: u32 = 1;

/// Whose PID namespace the numbers are of: see [`control`].
#[map]
static SUBMIT: Array<SubmitControl> = Array::with_max_entries(1, MMAPABLE);
/// Every process that has called io_submit.
#[map]
pub static SUBMITS: HashMap<SubmitKey, SubmitRecord> = HashMap::with_max_entries(1, NO_PREALLOC);
/// What its calls failed of.
#[map]
pub static SUBMIT_ERRORS: HashMap<SubmitErrorKey, SubmitErrors> = HashMap::with_max_entries(1, NO_PREALLOC);
/// What was missed.
#[map]
static LOSSES: PerCpuArray<SubmitLosses> = PerCpuArray::with_max_entries(1, 0);

/// Who reads: written before the other programs are attached.
#[inline(always)]
pub fn control() -> Option<Value<SubmitControl>> {
    Value::of(&SUBMIT, 0)
}

/// Counts something as missed.
#[inline(always)]
pub fn lose(what: impl FnOnce(Value<SubmitLosses>) -> Value<u64>) {
    if let Some(losses) = Value::of_this_cpu(&LOSSES) {
        what(losses).count();
    }
}
