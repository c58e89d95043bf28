//! What the kernel's own table says now: the context of a slot, the slot of a context.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_probe_read_user;

use aioinspect_ebpf::SlotKey;

use crate::constants::place;
use crate::kernel::{read, read_8};
use crate::maps::TRACED;
use crate::turns::repeat;

/// Slots that are read in one go: as many as the smallest table has (fs/aio.c:ioctx_add_table).
pub const AT_ONCE: u32 = 4;

/// A context in its table.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Found {
    pub kioctx: u64,
    pub slot: u32,
    pub max_reqs: u32,
}

/// A context table (fs/aio.c: struct kioctx_table).
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Table {
    address: u64,
    pub slots: u32,
    _pad: u32,
}

impl Table {
    /// That of an mm; without slots if it has none.
    #[inline(always)]
    pub fn of(mm: u64) -> Self {
        let address: u64 = read(mm, place!(mm_ioctx_table));
        let slots = if address == 0 { 0 } else { read(address, place!(table_nr)) };
        Self { address, slots, _pad: 0 }
    }

    /// Where the first of its slots is.
    #[inline(always)]
    fn first(&self) -> u64 {
        self.address.wrapping_add(u64::from(place!(table_table).offset()))
    }

    /// The context in that slot, 0 for none.
    #[inline(always)]
    pub fn at(&self, slot: u32) -> u64 {
        if slot >= self.slots {
            return 0;
        }
        read_8(self.first().wrapping_add(u64::from(slot).wrapping_mul(8)))
    }

    /// The contexts in that slot and the three behind it, 0 for none; what lies beyond the table means nothing.
    #[inline(always)]
    pub fn some(&self, first: u32) -> [u64; AT_ONCE as usize] {
        let at = self.first().wrapping_add(u64::from(first).wrapping_mul(8));
        [read_8(at), read_8(at.wrapping_add(8)), read_8(at.wrapping_add(16)), read_8(at.wrapping_add(24))]
    }
}

/// `kioctx.user_id`.
#[inline(always)]
pub fn user_id(kioctx: u64) -> u64 {
    read(kioctx, place!(kioctx_user_id))
}

/// `kioctx.max_reqs`.
#[inline(always)]
pub fn max_reqs(kioctx: u64) -> u32 {
    read(kioctx, place!(kioctx_max_reqs))
}

/// The context whose id is `context`, found as the kernel does: its slot stands in the first word of its ring, and is
/// believed only if the table agrees (fs/aio.c:lookup_ioctx). A ring that the process has not touched yet cannot be read
/// from here.
#[inline(always)]
pub fn by_ring(mm: u64, context: u64) -> Option<Found> {
    let mut slot = 0u32;
    // SAFETY: the destination is a live local of this size; the helper checks the source.
    if unsafe { bpf_probe_read_user((&raw mut slot).cast(), 4, context as *const c_void) } != 0 {
        return None;
    }
    in_slot(mm, context, slot)
}

/// The context whose id is `context`, if it is in that slot.
#[inline(always)]
pub fn in_slot(mm: u64, context: u64, slot: u32) -> Option<Found> {
    let kioctx = Table::of(mm).at(slot);
    if kioctx == 0 || user_id(kioctx) != context {
        return None;
    }
    Some(Found { kioctx, slot, max_reqs: max_reqs(kioctx) })
}

/// What a search through a whole table carries.
#[repr(C)]
struct Search {
    table: Table,
    mm: u64,
    context: u64,
    found: Found,
    /// Whether one that the map does not hold will do.
    or_new: u64,
}

/// The context whose id is `context`, by a walk through the table. With `or_new`, or else one that the map does not hold:
/// for when the process has written over the variable that io_setup filled.
#[inline(always)]
pub fn by_search(mm: u64, context: u64, or_new: bool) -> Option<Found> {
    let table = Table::of(mm);
    let found = Found { kioctx: 0, slot: 0, max_reqs: 0 };
    let mut search = Search { table, mm, context, found, or_new: u64::from(or_new) };
    repeat!(table.slots, look, search);
    let mut found = search.found;
    if found.kioctx == 0 {
        return None;
    }
    found.max_reqs = max_reqs(found.kioctx);
    Some(found)
}

#[inline(always)]
extern "C" fn look(slot: u64, search: *mut c_void) -> i64 {
    // SAFETY: the pointer that `by_search` gave.
    let search = unsafe { &mut *search.cast::<Search>() };
    let slot = slot as u32;
    let kioctx = search.table.at(slot);
    if kioctx == 0 {
        return 0;
    }
    if user_id(kioctx) == search.context {
        search.found.kioctx = kioctx;
        search.found.slot = slot;
        return 1;
    }
    if search.or_new != 0 && search.found.kioctx == 0 {
        let key = SlotKey { mm: search.mm, slot, _pad: 0 };
        // SAFETY: a live map value; one word of it is read.
        let known = TRACED.get_ptr(&key).map_or(0, |slot| unsafe { (*slot).kioctx });
        if known != kioctx {
            search.found.kioctx = kioctx;
            search.found.slot = slot;
        }
    }
    0
}
