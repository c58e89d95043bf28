//! What the kernel's own table says now: the context at an index, the index of a context.

use core::ffi::c_void;

use aioinspect_ebpf::shared::memory::{read, read_8};
use aioinspect_ebpf::shared::value::Value;
use aioinspect_ebpf::{TracedKey, place};
use aya_ebpf::helpers::generated::bpf_probe_read_user;

use crate::maps::TRACED;

/// A context in its table.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct TableEntry {
    pub kioctx: u64,
    pub table_index: u32,
    pub max_reqs: u32,
}

/// A context table (fs/aio.c: struct kioctx_table).
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Table {
    address: u64,
    pub indexes: u32,
    _pad: u32,
}

impl Table {
    /// That of an mm; without indexes if it has none.
    #[inline(always)]
    pub fn of(mm: u64) -> Self {
        let address: u64 = read(mm, place!(mm_ioctx_table));
        let indexes = if address == 0 { 0 } else { read(address, place!(table_nr)) };
        Self { address, indexes, _pad: 0 }
    }

    /// Where the first of its indexes is.
    #[inline(always)]
    fn first(&self) -> u64 {
        self.address.wrapping_add(u64::from(place!(table_table).offset()))
    }

    /// The context at that index, 0 for none.
    #[inline(always)]
    pub fn at(&self, table_index: u32) -> u64 {
        if table_index >= self.indexes {
            return 0;
        }
        read_8(self.first().wrapping_add(u64::from(table_index).wrapping_mul(8)))
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

/// The context whose id is `context`, found as the kernel does: its table index stands in the first
/// word of its ring, and is believed only if the table agrees (fs/aio.c:lookup_ioctx). A ring that
/// the process has not touched yet cannot be read from here.
#[inline(always)]
pub fn by_ring(mm: u64, context: u64) -> Option<TableEntry> {
    let mut table_index = 0u32;
    // SAFETY: the destination is a live local of this size; the helper checks the source.
    if unsafe { bpf_probe_read_user((&raw mut table_index).cast(), 4, context as *const c_void) } != 0 {
        return None;
    }
    at_index(mm, context, table_index)
}

/// The context whose id is `context`, if it is at that index.
#[inline(always)]
pub fn at_index(mm: u64, context: u64, table_index: u32) -> Option<TableEntry> {
    let kioctx = Table::of(mm).at(table_index);
    if kioctx == 0 || user_id(kioctx) != context {
        return None;
    }
    Some(TableEntry { kioctx, table_index, max_reqs: max_reqs(kioctx) })
}

/// The context whose id is `context`, by a walk through the table. With `or_new`, or else one that
/// the map does not hold: for when the process has written over the variable that io_setup filled.
#[inline(always)]
pub fn by_search(mm: u64, context: u64, or_new: bool) -> Option<TableEntry> {
    let table = Table::of(mm);
    let (first, indexes) = (table.first(), u64::from(table.indexes));
    let mut found = search_1m(mm, first, context, indexes);
    if found == 0 && or_new {
        found = search_1m(mm, first, ANY_NEW, indexes);
    }
    if found == 0 {
        return None;
    }
    let table_index = found.wrapping_sub(1);
    let kioctx = read_8(first.wrapping_add(table_index.wrapping_mul(8)));
    // It may have gone in between.
    (kioctx != 0).then(|| TableEntry { kioctx, table_index: table_index as u32, max_reqs: max_reqs(kioctx) })
}

/// Stands for any context that the map does not hold. No ring is mapped there.
const ANY_NEW: u64 = 0;

// No kernel takes a loop without a bound, and a long one takes long to verify: turn by turn. So a
// short loop calls a function with a short loop: the verifier checks each of them once.
// SAFETY: nobody else has functions of these names.

/// Searches 1,048,576 indexes, of which there are `indexes`; the index plus one, 0: not found. No
/// table has more: the kernel makes it four times as large as the one before, by kzalloc
/// (fs/aio.c:ioctx_add_table), which gives 4 MiB at most, so 262,144 indexes.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn search_1m(mm: u64, first: u64, context: u64, indexes: u64) -> u64 {
    for step in 0..32 {
        let from = step * 32 * 1024;
        if from >= indexes {
            break;
        }
        let found = search_32k(mm, first, context, from, indexes);
        if found != 0 {
            return found;
        }
    }
    0
}

/// The same, 32,768 indexes from `table_index` on.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn search_32k(mm: u64, first: u64, context: u64, table_index: u64, indexes: u64) -> u64 {
    for step in 0..32 {
        let from = table_index.wrapping_add(step * 1024);
        if from >= indexes {
            break;
        }
        let found = search_1k(mm, first, context, from, indexes);
        if found != 0 {
            return found;
        }
    }
    0
}

/// The same, 1024 indexes.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn search_1k(mm: u64, first: u64, context: u64, table_index: u64, indexes: u64) -> u64 {
    for step in 0..32 {
        let from = table_index.wrapping_add(step * 32);
        if from >= indexes {
            break;
        }
        let found = search_32(mm, first, context, from, indexes);
        if found != 0 {
            return found;
        }
    }
    0
}

/// The same, 32 indexes.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn search_32(mm: u64, first: u64, context: u64, table_index: u64, indexes: u64) -> u64 {
    for step in 0..32 {
        let at = table_index.wrapping_add(step);
        if at >= indexes {
            break;
        }
        if is_wanted(mm, first, context, at) != 0 {
            return at.wrapping_add(1);
        }
    }
    0
}

/// 1 if the context at that index is the one that is sought.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn is_wanted(mm: u64, first: u64, context: u64, table_index: u64) -> u32 {
    let kioctx = read_8(first.wrapping_add(table_index.wrapping_mul(8)));
    if kioctx == 0 {
        return 0;
    }
    if context != ANY_NEW {
        return u32::from(user_id(kioctx) == context);
    }
    let key = TracedKey { mm, table_index: table_index as u32, _pad: 0 };
    let known = Value::under(&TRACED, &key).map_or(0, |table_index| table_index.kioctx().get());
    u32::from(known != kioctx)
}
