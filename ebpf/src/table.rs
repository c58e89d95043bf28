//! The walk through one context table (fs/aio.c: struct kioctx_table), a bounded number of steps at a time.
//!
//! No kernel takes a loop without a bound, few take callbacks, and none without its JIT. So a run of the program takes some steps, leaves a cursor in
//! the map and asks to be run on the same task again, which every kernel with iterators does (kernel/bpf/bpf_iter.c:bpf_iter_run_prog).

use aioinspect_ebpf::Control;

use crate::constants::place;
use crate::context::report_context;
use crate::kernel::{read, read_8};

/// Contexts, or parts of one on a host with many CPUs, in one run.
const STEPS: u32 = 32;
/// Takes some steps of the walk that the cursor is at; true: the table is at its end.
#[inline(always)]
pub fn walk(control: &mut Control) -> bool {
    let table: u64 = read(control.walk_mm, place!(mm_ioctx_table));
    if table == 0 {
        return true;
    }
    let places: u32 = read(table, place!(table_nr));
    let first = table.wrapping_add(u64::from(place!(table_table).offset()));
    for _ in 0..STEPS {
        if control.walk_index >= places {
            return true;
        }
        let kioctx = context_at(first, control.walk_index);
        if kioctx == 0 {
            control.walk_cpu = 0;
        }
        if kioctx == 0 || report_context(kioctx) != 0 {
            control.walk_index = control.walk_index.wrapping_add(1);
        }
    }
    control.walk_index >= places
}

#[inline(always)]
fn context_at(first: u64, index: u32) -> u64 {
    read_8(first.wrapping_add(u64::from(index).wrapping_mul(8)))
}
