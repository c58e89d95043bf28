//! One `struct kioctx` into one record.

use crate::control::control;
use crate::maps::CONTEXTS;
use crate::percpu;
use aioinspect_ebpf::place;
use aioinspect_ebpf::shared::here::read_here;
use aioinspect_ebpf::shared::memory::read;
use aioinspect_ebpf::shared::value::Value;

/// Adds what fits into one step to the sums of a context, and writes its record with the last of
/// them; 1: that was it.
///
/// A context that runs moves under any order of reading; only a still one is exact, and for that
/// the order does not matter.
// SAFETY: nobody else has a function of this name. The verifier checks it once, whoever calls it.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn report_context(kioctx: u64) -> u32 {
    if let Some(control) = control()
        && control.walk_cpu().get() == 0
    {
        control.walk_credits().set(control.credits().get());
        control.walk_short().set(u32::from(is_short(kioctx)));
    }
    let refs = read_here(kioctx, place!(kioctx_reqs_ptr));
    let per_cpu_refs = if refs & 3 == 0 { refs } else { 0 };
    if !percpu::sum(read_here(kioctx, place!(kioctx_cpu)), per_cpu_refs) {
        return 0;
    }
    let Some(control) = control() else { return 1 };
    let position = control.contexts().count();
    control.walk_found().count();
    if let Some(record) = Value::of(&CONTEXTS, position) {
        record.mm().set(control.walk_mm().get());
        record.user_id().set(read_here(kioctx, place!(kioctx_user_id)));
        record.mmap_base().set(read_here(kioctx, place!(kioctx_mmap_base)));
        record.mmap_size().set(read_here(kioctx, place!(kioctx_mmap_size)));
        record.nr_pages().set(read_here(kioctx, place!(kioctx_nr_pages)));
        record.percpu_available().set(control.walk_available().get());
        record.percpu_refs().set(control.walk_refs().get());
        // The atomic part says something only when the reference is no longer counted per CPU.
        record.atomic_refs().set(if per_cpu_refs == 0 {
            read(read(kioctx, place!(kioctx_reqs_data)), place!(ref_data_count))
        } else {
            0
        });
        record.ref_flags().set((refs & 3) as u32);
        record.table_index().set(control.walk_index().get());
        record.max_reqs().set(read_here(kioctx, place!(kioctx_max_reqs)));
        record.nr_events().set(read_here(kioctx, place!(kioctx_nr_events)));
        record.tail().set(read_here(kioctx, place!(kioctx_tail)));
        record.completed_events().set(read_here(kioctx, place!(kioctx_completed_events)));
        let available = place!(kioctx_reqs_available);
        record.reqs_available().set(available.signed(read_here(kioctx, available)));
        record.dead().set(read_here(kioctx, place!(kioctx_dead)));
        record.kioctx().set(kioctx);
        record.req_batch().set(read_here(kioctx, place!(kioctx_req_batch)));
        record.credits_first().set(control.walk_credits().get());
        record.credits_count().set(control.credits().get().wrapping_sub(control.walk_credits().get()));
    }
    control.walk_available().set(0);
    control.walk_refs().set(0);
    1
}

/// Whether a CPU without credits of its own gets none of the others
/// (fs/aio.c:__get_reqs_available): only then it matters which CPU has how many. Where the kernel
/// does not say what a batch is, it may be so.
#[inline(always)]
fn is_short(kioctx: u64) -> bool {
    let available = place!(kioctx_reqs_available);
    !place!(kioctx_req_batch).is_present()
        || available.signed(read_here(kioctx, available))
            < read_here(kioctx, place!(kioctx_req_batch)).cast_signed()
}
