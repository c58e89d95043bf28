//! One `struct kioctx` into one record.

use crate::constants::place;
use crate::here::read_here;
use crate::kernel::read;
use crate::maps::CONTEXTS;
use crate::percpu;
use crate::reader::control;

/// Adds what fits into one step to the sums of a context, and writes its record with the last of them; 1: that was it.
///
/// A context that runs moves under any order of reading; only a still one is exact, and for that the order does not matter.
// SAFETY: nobody else has a function of this name. The verifier checks it once, whoever calls it.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn report_context(kioctx: u64) -> u32 {
    if let Some(control) = control()
        && control.walk_cpu == 0
    {
        control.walk_credits = control.credits;
        control.walk_short = u32::from(is_short(kioctx));
    }
    let refs = read_here(kioctx, place!(kioctx_reqs_ptr));
    let per_cpu_refs = if refs & 3 == 0 { refs } else { 0 };
    if !percpu::sum(read_here(kioctx, place!(kioctx_cpu)), per_cpu_refs) {
        return 0;
    }
    let Some(control) = control() else { return 1 };
    let position = control.contexts;
    control.contexts = position.wrapping_add(1);
    control.walk_found = control.walk_found.wrapping_add(1);
    if let Some(record) = CONTEXTS.get_ptr_mut(position) {
        // SAFETY: a live map value that nobody else writes during this run.
        let record = unsafe { &mut *record };
        record.mm = control.walk_mm;
        record.user_id = read_here(kioctx, place!(kioctx_user_id));
        record.mmap_base = read_here(kioctx, place!(kioctx_mmap_base));
        record.mmap_size = read_here(kioctx, place!(kioctx_mmap_size));
        record.nr_pages = read_here(kioctx, place!(kioctx_nr_pages));
        record.percpu_available = control.walk_available;
        record.percpu_refs = control.walk_refs;
        // The atomic part says something only when the reference is no longer counted per CPU.
        record.atomic_refs = if per_cpu_refs == 0 {
            read(read(kioctx, place!(kioctx_reqs_data)), place!(ref_data_count))
        } else {
            0
        };
        record.ref_flags = (refs & 3) as u32;
        record.table_index = control.walk_index;
        record.max_reqs = read_here(kioctx, place!(kioctx_max_reqs));
        record.nr_events = read_here(kioctx, place!(kioctx_nr_events));
        record.tail = read_here(kioctx, place!(kioctx_tail));
        record.completed_events = read_here(kioctx, place!(kioctx_completed_events));
        let available = place!(kioctx_reqs_available);
        record.reqs_available = available.signed(read_here(kioctx, available));
        record.dead = read_here(kioctx, place!(kioctx_dead));
        record.kioctx = kioctx;
        record.req_batch = read_here(kioctx, place!(kioctx_req_batch));
        record.credits_first = control.walk_credits;
        record.credits_count = control.credits.wrapping_sub(control.walk_credits);
    }
    control.walk_available = 0;
    control.walk_refs = 0;
    1
}

/// Whether a CPU without credits of its own gets none of the others (fs/aio.c:__get_reqs_available): only then it matters which CPU has how many.
/// Where the kernel does not say what a batch is, it may be so.
#[inline(always)]
fn is_short(kioctx: u64) -> bool {
    let available = place!(kioctx_reqs_available);
    !place!(kioctx_req_batch).is_present()
        || available.signed(read_here(kioctx, available))
            < read_here(kioctx, place!(kioctx_req_batch)).cast_signed()
}
