//! The walk through one context table (fs/aio.c: struct kioctx_table), a bounded number of steps at
//! a time.
//!
//! No kernel takes a loop without a bound, few take callbacks, and none without its JIT. So a run
//! of the program takes some steps, leaves a cursor in the map and asks to be run on the same task
//! again, which every kernel with iterators does (kernel/bpf/bpf_iter.c:bpf_iter_run_prog).

use aioinspect_ebpf::shared::value::Value;
use aioinspect_ebpf::{Control, Place, place};

use crate::context::report_context;
use crate::control::control;
use aioinspect_ebpf::shared::here::read_here;
use aioinspect_ebpf::shared::memory::read;

/// Places of the table, or parts of a context on a host with many CPUs, in one run.
pub const STEPS: u32 = 64;

/// Takes some steps of the walk that the cursor is at; true: the table is at its end.
#[inline(always)]
pub fn walk(control: Value<Control>) -> bool {
    let table: u64 = read(control.walk_mm().get(), place!(mm_ioctx_table));
    if table == 0 {
        return true;
    }
    control.walk_places().set(read(table, place!(table_nr)));
    control.walk_first().set(table.wrapping_add(u64::from(place!(table_table).offset())));
    for _ in 0..STEPS {
        if step_through_table() != 0 {
            return true;
        }
    }
    false
}

/// One step; 1: the table is at its end.
// SAFETY: nobody else has a function of this name. The verifier checks it once, whoever calls it,
// and all it knows of is in the map: so a loop over it is nothing but its calls.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn step_through_table() -> u32 {
    let Some(control) = control() else { return 1 };
    let index = control.walk_index().get();
    if index >= control.walk_places().get() {
        return 1;
    }
    let place = control.walk_first().get().wrapping_add(u64::from(index).wrapping_mul(8));
    let kioctx = read_here(place, Place::whole(0, 8));
    if kioctx == 0 || report_context(kioctx) != 0 {
        control.walk_cpu().set(0);
        control.walk_index().set(index.wrapping_add(1));
    }
    0
}
