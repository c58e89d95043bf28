//! One `struct kioctx` into one record.

use core::ffi::c_void;
use core::ptr;

use aya_ebpf::helpers::generated::{bpf_loop, bpf_probe_read_kernel};

use aioinspect_ebpf::{ContextRecord, Control};

use crate::constants::offset;
use crate::kernel::read;
use crate::maps::{CONTEXTS, KIOCTX_ROOM, SCRATCH};
use crate::percpu::{self, Sums};
use crate::reader::control;

/// What the walk of one table carries from slot to slot.
#[repr(C)]
struct Table {
    mm: u64,
    slots_at: u64,
    slots: u32,
    found: u32,
}

/// Slots of a table that are read in one go. A table has 4 slots at first and grows by a factor of 4 (fs/aio.c:ioctx_add_table).
const AT_ONCE: usize = 4;

/// Reports every context of `table` (fs/aio.c: struct kioctx_table); returns how many there are.
#[inline(always)]
pub fn report_table(mm: u64, table: u64, slots: u32) -> u32 {
    let mut walk =
        Table { mm, slots_at: table.wrapping_add(u64::from(offset!(table_table))), slots, found: 0 };
    let turns = slots.wrapping_add(AT_ONCE as u32 - 1) / AT_ONCE as u32;
    // SAFETY: the callback has the signature that bpf_loop calls, and `walk` outlives the call.
    unsafe { bpf_loop(turns, report_slots as *mut c_void, (&raw mut walk).cast(), 0) };
    walk.found
}

extern "C" fn report_slots(turn: u64, walk: *mut c_void) -> i64 {
    // SAFETY: bpf_loop hands back the pointer that `report_table` gave it.
    let walk = unsafe { &mut *walk.cast::<Table>() };
    let mut slots = [0u64; AT_ONCE];
    let first = turn.wrapping_mul(AT_ONCE as u64);
    let from = walk.slots_at.wrapping_add(first.wrapping_mul(8));
    // SAFETY: the destination is a live local of this size; the helper checks the source.
    unsafe {
        bpf_probe_read_kernel((&raw mut slots).cast(), size_of_val(&slots) as u32, from as *const c_void)
    };
    let Some(control) = control() else { return 1 };
    for (step, kioctx) in slots.into_iter().enumerate() {
        let index = first.wrapping_add(step as u64);
        if kioctx != 0 && index < u64::from(walk.slots) {
            walk.found = walk.found.wrapping_add(1);
            report_context(control, walk.mm, kioctx, index as u32);
        }
    }
    0
}

#[inline(always)]
fn report_context(control: &mut Control, mm: u64, kioctx: u64, index: u32) {
    let position = control.contexts;
    control.contexts = position.wrapping_add(1);
    let Some(record) = CONTEXTS.get_ptr_mut(position) else { return };
    // SAFETY: a live map value that nobody else writes during this run.
    let record = unsafe { &mut *record };
    record.faulted = u32::from(!fill(record, mm, kioctx, index));
}

/// One member of the copy of a kioctx in SCRATCH.
macro_rules! member {
    ($scratch:ident, $member:ident: $ty:ty) => {{
        let offset = offset!($member) as usize;
        // The verifier knows the offset as a constant and folds this check away.
        if offset + size_of::<$ty>() > KIOCTX_ROOM {
            return false;
        }
        // SAFETY: inside the scratch buffer, by the check above.
        unsafe { ptr::read_volatile($scratch.byte_add(offset).cast::<$ty>()) }
    }};
}

/// Copies the kioctx once and picks its members; false if it cannot be read.
///
/// A context that runs moves under any order of reading; only a still one is exact, and for that the order does not matter.
#[inline(always)]
fn fill(record: &mut ContextRecord, mm: u64, kioctx: u64, index: u32) -> bool {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return false };
    let scratch = scratch.cast::<u64>();
    let span = offset!(kioctx_span);
    if span as usize > KIOCTX_ROOM {
        return false;
    }
    // SAFETY: `span` bytes fit into the buffer; the helper checks the source.
    if unsafe { bpf_probe_read_kernel(scratch.cast(), span, kioctx as *const c_void) } != 0 {
        return false;
    }
    let refs = member!(scratch, kioctx_reqs_ptr: u64);
    let mut sums = Sums {
        available_at: member!(scratch, kioctx_cpu: u64),
        refs_at: if refs & 3 == 0 { refs } else { 0 },
        available: 0,
        refs: 0,
    };
    percpu::sum(&mut sums);
    record.mm = mm;
    record.user_id = member!(scratch, kioctx_user_id: u64);
    record.mmap_base = member!(scratch, kioctx_mmap_base: u64);
    record.mmap_size = member!(scratch, kioctx_mmap_size: u64);
    record.nr_pages = member!(scratch, kioctx_nr_pages: u64);
    record.percpu_available = sums.available;
    record.percpu_refs = sums.refs;
    // The atomic part says something only when the reference is no longer counted per CPU.
    record.atomic_refs = if refs & 3 == 0 {
        0
    } else {
        read(member!(scratch, kioctx_reqs_data: u64), offset!(ref_data_count))
    };
    record.ref_flags = (refs & 3) as u32;
    record.max_reqs = member!(scratch, kioctx_max_reqs: u32);
    record.nr_events = member!(scratch, kioctx_nr_events: u32);
    record.tail = member!(scratch, kioctx_tail: u32);
    record.completed_events = member!(scratch, kioctx_completed_events: u32);
    record.reqs_available = member!(scratch, kioctx_reqs_available: i32);
    record.dead = member!(scratch, kioctx_dead: u32);
    record.table_index = index;
    record.kioctx = kioctx;
    true
}
