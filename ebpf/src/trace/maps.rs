//! The maps. Sizes are set by userspace before loading.

use aioinspect_ebpf::shared::value::Value;
use aioinspect_ebpf::shared::who::Reader;
use aioinspect_ebpf::{
    CallRecord, Counters, EventKind, EventRecord, HeadRecord, SpaceRecord, TraceControl, TracedKey,
    TracedRecord,
};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, PerCpuArray, RingBuf};

/// `BPF_F_MMAPABLE`.
const MMAPABLE: u32 = 1024;
/// `BPF_F_NO_PREALLOC`: memory is taken as contexts come.
const NO_PREALLOC: u32 = 1;

/// The inputs of a pass, and its counts.
#[map]
pub static TRACE: Array<TraceControl> = Array::with_max_entries(1, MMAPABLE);
/// Every context: the map of each process's rings.
#[map]
pub static TRACED: HashMap<TracedKey, TracedRecord> = HashMap::with_max_entries(1, NO_PREALLOC);
/// Every address space that has contexts.
#[map]
pub static SPACES: HashMap<u64, SpaceRecord> = HashMap::with_max_entries(1, NO_PREALLOC);
/// Every call under way. All memory is taken at once: of what is taken as entries come, the kernel
/// has no more than some dozens at hand.
#[map]
pub static CALLS: HashMap<u64, CallRecord> = HashMap::with_max_entries(1, 0);
/// What the rings' headers say.
#[map]
pub static HEADS: Array<HeadRecord> = Array::with_max_entries(1, MMAPABLE);
/// The events, until userspace takes them.
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(4096, 0);
/// What was missed.
#[map]
static COUNTERS: PerCpuArray<Counters> = PerCpuArray::with_max_entries(1, 0);

/// Bytes that wait before userspace is woken, a power of two; until then it looks by itself,
/// several times a second.
const WAKE_AT: u64 = 64 * 1024;
/// A call that failed wakes it at once, unless more than this waits already: why it failed is for
/// what is free and who holds it at that moment. In a flood userspace is awake anyway.
const WAKE_BELOW: u64 = 4 * 1024;
/// Bytes that one event takes, its header included.
const STEP: u64 = size_of::<EventRecord>() as u64 + 8;
const AVAIL_DATA: u64 = 0;
const RING_SIZE: u64 = 1;
const NO_WAKEUP: u64 = 1;
const FORCE_WAKEUP: u64 = 2;

/// Hands one event to userspace, or counts it as lost.
#[inline(always)]
pub fn emit(event: &EventRecord) {
    let Some(mut entry) = EVENTS.reserve::<EventRecord>(0) else {
        count(Value::<Counters>::events);
        return;
    };
    entry.write(*event);
    // Once for each of these amounts, not for each event beyond it: a wake-up costs more than an
    // event.
    let waiting = EVENTS.query(AVAIL_DATA);
    let many = waiting & (WAKE_AT - 1) < STEP && waiting >= WAKE_AT;
    let urgent = event.kind == EventKind::SetupFailed as u32 && waiting < WAKE_BELOW;
    let flags = if many || urgent { FORCE_WAKEUP } else { NO_WAKEUP };
    entry.submit(flags);
}

/// Whether the buffer is half empty, and takes so many events more.
#[inline(always)]
pub fn has_room_for(events: u64) -> bool {
    let (waiting, size) = (EVENTS.query(AVAIL_DATA), EVENTS.query(RING_SIZE));
    waiting <= size / 2 && waiting.wrapping_add(events * STEP) <= size
}

/// Counts something as missed.
#[inline(always)]
pub fn count(what: impl FnOnce(Value<Counters>) -> Value<u64>) {
    if let Some(counters) = Value::of_this_cpu(&COUNTERS) {
        what(counters).count();
    }
}

/// The order of userspace.
#[inline(always)]
pub fn control() -> Option<Value<TraceControl>> {
    Value::of(&TRACE, 0)
}

/// Who reads: written before the programs are attached that ask for it.
#[inline(always)]
pub fn reader() -> Option<Reader> {
    let control = control()?;
    Some(Reader { level_plus_one: control.level_plus_one().get(), ns: control.reader_ns().get() })
}
