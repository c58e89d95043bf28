//! One `struct kioctx` into one record.

use core::ffi::c_void;
use core::ptr;

use aya_ebpf::helpers::generated::{bpf_loop, bpf_probe_read_kernel};

use aioinspect_ebpf::{ContextRecord, Control};

use crate::kernel::{control, read};
use crate::maps::{CONTEXTS, KIOCTX_ROOM, SCRATCH, offset};
use crate::percpu::{self, Sums};

/// What the walk of one table carries from slot to slot.
#[repr(C)]
struct Table {
    mm: u64,
    slots_at: u64,
    slots: u32,
    found: u32,
    /// The slots of the group that is walked, read in one go; empty ones are zero.
    group: [u64; GROUP],
    /// The index of the group's first slot.
    first: u32,
    _pad: u32,
}

/// Slots that are read in one go. A table has 4 slots at first and grows by a factor of 4 (fs/aio.c:ioctx_add_table).
const GROUP: usize = 16;
/// Slots of a table that is smaller than a group.
const FEW: usize = 4;

/// Reports every context of `table` (fs/aio.c: struct kioctx_table); returns how many there are.
#[inline(always)]
pub fn report_table(mm: u64, table: u64, slots: u32) -> u32 {
    let slots_at = table.wrapping_add(u64::from(offset!(table_table)));
    let mut walk = Table { mm, slots_at, slots, found: 0, group: [0; GROUP], first: 0, _pad: 0 };
    let turns = slots.wrapping_add(GROUP as u32 - 1) / GROUP as u32;
    // SAFETY: the callback has the signature that bpf_loop calls, and `walk` outlives the call.
    unsafe { bpf_loop(turns, report_group as *mut c_void, (&raw mut walk).cast(), 0) };
    walk.found
}

extern "C" fn report_group(turn: u64, walk: *mut c_void) -> i64 {
    // SAFETY: bpf_loop hands back the pointer that `report_table` gave it.
    let table = unsafe { &mut *walk.cast::<Table>() };
    let first = (turn as u32).wrapping_mul(GROUP as u32);
    let left = table.slots.wrapping_sub(first);
    table.first = first;
    let from = table.slots_at.wrapping_add(u64::from(first).wrapping_mul(8));
    let whole = left >= GROUP as u32;
    if whole {
        read_slots::<GROUP>(&mut table.group, 0, from);
        // All their cache misses at once, where one after the other they were most of a census: the processor does not wait
        // for what nobody uses yet.
        for kioctx in table.group.iter().skip(1) {
            if *kioctx != 0 {
                read::<u64>(*kioctx, offset!(kioctx_user_id));
            }
        }
    } else {
        table.group = [0; GROUP];
        read_slots::<FEW>(&mut table.group, 0, from);
        if left > FEW as u32 {
            read_slots::<FEW>(&mut table.group, FEW, from);
        }
        if left > 2 * FEW as u32 {
            read_slots::<FEW>(&mut table.group, 2 * FEW, from);
        }
        if left > 3 * FEW as u32 {
            read_slots::<FEW>(&mut table.group, 3 * FEW, from);
        }
    }
    let turns = if whole { GROUP as u32 } else { left };
    // SAFETY: as above.
    unsafe { bpf_loop(turns, report_slot as *mut c_void, walk, 0) };
    0
}

/// Reads `N` slots of the table at `from` to their place in the group.
#[inline(always)]
fn read_slots<const N: usize>(group: &mut [u64; GROUP], at: usize, from: u64) {
    // SAFETY: callers leave room for N after `at`; the helper checks the source.
    unsafe {
        let to = group.as_mut_ptr().add(at);
        bpf_probe_read_kernel(to.cast(), (N * 8) as u32, from.wrapping_add(at as u64 * 8) as *const c_void);
    }
}

extern "C" fn report_slot(turn: u64, walk: *mut c_void) -> i64 {
    // SAFETY: bpf_loop hands back the pointer that `report_group` gave it.
    let table = unsafe { &mut *walk.cast::<Table>() };
    let Some(kioctx) = table.group.get(turn as usize).copied() else { return 1 };
    if kioctx == 0 {
        return 0;
    }
    let Some(control) = control() else { return 1 };
    table.found = table.found.wrapping_add(1);
    report_context(control, table.mm, kioctx, table.first.wrapping_add(turn as u32));
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
    true
}
