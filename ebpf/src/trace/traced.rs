//! The map of contexts: what is written to it, and when an entry is emptied.

use core::ptr;

use aioinspect_ebpf::architecture::fence;
use aioinspect_ebpf::shared::value::Value;
use aioinspect_ebpf::shared::who::Who;
use aioinspect_ebpf::{Origin, SpaceRecord, TracedKey, TracedRecord};

use crate::maps::{SPACES, TRACED};
use crate::table::{self, Table};

const NOEXIST: u64 = 1;

/// An entry that holds no context.
pub const EMPTY: TracedRecord = TracedRecord {
    kioctx: 0,
    context: 0,
    made_at: 0,
    comm_low: 0,
    comm_high: 0,
    max_reqs: 0,
    tgid: 0,
    tid: 0,
    origin: 0,
    marked: 0,
};

/// What is known of a context when it is written to the map.
#[derive(Clone, Copy)]
pub struct Made {
    pub kioctx: u64,
    pub context: u64,
    pub at: u64,
    pub max_reqs: u32,
    pub origin: Origin,
}

impl Made {
    /// What the kernel says of a context whose io_setup was not seen.
    #[inline(always)]
    pub fn unseen(kioctx: u64, origin: Origin) -> Self {
        Self { kioctx, context: table::user_id(kioctx), at: 0, max_reqs: table::max_reqs(kioctx), origin }
    }
}

/// Writes a context under its table index, unless its own io_setup was written there before. False
/// if there is no room.
#[inline(always)]
pub fn put(mm: u64, table_index: u32, made: Made, who: &Who) -> bool {
    let key = TracedKey { mm, table_index, _pad: 0 };
    if let Some(entry) = Value::under(&TRACED, &key) {
        write(entry, &made, who);
        return true;
    }
    // Before the entry, so that whoever ends the address space finds the entry.
    if !widen(mm, table_index, who) {
        return false;
    }
    let record = TracedRecord {
        kioctx: made.kioctx,
        context: made.context,
        made_at: made.at,
        comm_low: who.comm_low,
        comm_high: who.comm_high,
        max_reqs: made.max_reqs,
        tgid: who.tgid,
        tid: who.tid,
        origin: made.origin as u32,
        marked: 0,
    };
    if TRACED.insert(&key, &record, NOEXIST).is_ok() {
        return true;
    }
    // Another CPU was quicker, or there is no room.
    if let Some(entry) = Value::under(&TRACED, &key) {
        write(entry, &made, who);
        return true;
    }
    false
}

/// Whether an entry is of that context. The kernel uses memory again: where the end of a call was
/// not seen, another context may have come to the same address and the same index.
#[inline(always)]
pub fn is(entry: Value<TracedRecord>, kioctx: u64, max_reqs: u32) -> bool {
    member(entry, kioctx, entry.max_reqs()) == Some(max_reqs)
}

/// A member of an entry, if the entry holds that context before and after it was read: what is read
/// belongs to it then, as [`write`] takes the context away first and brings it last. So the three
/// loads keep their order.
#[inline(always)]
pub fn member(entry: Value<TracedRecord>, kioctx: u64, of: Value<u32>) -> Option<u32> {
    if entry.kioctx().get() != kioctx {
        return None;
    }
    fence();
    let number = of.get();
    fence();
    (entry.kioctx().get() == kioctx).then_some(number)
}

/// Writes over an entry. All who read go by the context: it is taken away before anything else is
/// written, and comes when all else is there, to other CPUs too.
#[inline(always)]
fn write(entry: Value<TracedRecord>, made: &Made, who: &Who) {
    let seen = entry.origin().get() == Origin::Traced as u32;
    if seen && made.origin as u32 != Origin::Traced as u32 && is(entry, made.kioctx, made.max_reqs) {
        return;
    }
    entry.kioctx().set(0);
    fence();
    entry.context().set(made.context);
    entry.made_at().set(made.at);
    entry.comm_low().set(who.comm_low);
    entry.comm_high().set(who.comm_high);
    entry.max_reqs().set(made.max_reqs);
    entry.tgid().set(who.tgid);
    entry.tid().set(who.tid);
    entry.origin().set(made.origin as u32);
    fence();
    entry.kioctx().set(made.kioctx);
}

/// Notes where an index differs from the table, and nothing else of it. False if there is no room:
/// then the index stays unknown.
#[inline(always)]
pub fn mark(mm: u64, table_index: u32, marked: u64, who: &Who) -> bool {
    let key = TracedKey { mm, table_index, _pad: 0 };
    if TRACED.get_ptr(&key).is_none() {
        if !widen(mm, table_index, who) {
            return false;
        }
        // An io_setup that ends at the same time may be quicker.
        let _ = TRACED.insert(&key, &EMPTY, NOEXIST);
    }
    let Some(entry) = Value::under(&TRACED, &key) else { return false };
    entry.marked().set(marked);
    true
}

/// Notes that a table index of this address space is used; false if there is no room for another
/// address space.
#[inline(always)]
fn widen(mm: u64, table_index: u32, who: &Who) -> bool {
    if set_used(mm, table_index) {
        return true;
    }
    let record = SpaceRecord {
        mm,
        used_low: 0,
        used_high: 0,
        tgid: who.tgid,
        busy_round: 0,
        comm_low: who.comm_low,
        comm_high: who.comm_high,
        start_boottime: who.start_boottime,
        likely_index: 0,
        ended: 0,
        swept: 0,
        counted: 0,
        left_by: 0,
        met_round: 0,
    };
    // Another CPU may be quicker.
    let _ = SPACES.insert(&mm, &record, NOEXIST);
    set_used(mm, table_index)
}

/// Where the next context of this address space is likely to be.
#[inline(always)]
pub fn likely(mm: u64) -> u32 {
    Value::under(&SPACES, &mm).map_or(0, |space| space.likely_index().get())
}

/// Says where it is likely to be.
#[inline(always)]
pub fn expect(mm: u64, table_index: u32) {
    if let Some(space) = Value::under(&SPACES, &mm) {
        space.likely_index().set(table_index);
    }
}

/// The number of bits up to the highest one that is set. Without a branch, since each doubles the
/// verifier's work.
#[inline(always)]
fn bit_length(number: u32) -> u32 {
    let mut ones = number;
    ones |= ones >> 1;
    ones |= ones >> 2;
    ones |= ones >> 4;
    ones |= ones >> 8;
    ones |= ones >> 16;
    // Counts the ones.
    ones -= ones >> 1 & 0x5555_5555;
    ones = (ones & 0x3333_3333).wrapping_add(ones >> 2 & 0x3333_3333);
    ones = ones.wrapping_add(ones >> 4) & 0x0f0f_0f0f;
    ones.wrapping_mul(0x0101_0101) >> 24
}

/// Sets the byte of the index's class: class `c` holds indexes below 4^c, as the table grows
/// (fs/aio.c:ioctx_add_table).
#[inline(always)]
fn set_used(mm: u64, table_index: u32) -> bool {
    let Some(space) = Value::under(&SPACES, &mm) else { return false };
    let class = (bit_length(table_index).wrapping_add(1) >> 1 & 15) as usize;
    // SAFETY: a byte of a live map value: the two words are next to each other and the class is
    // below their length.
    unsafe { ptr::write_volatile(space.used_low().as_ptr().cast::<u8>().add(class), 1) };
    true
}

/// All indexes that were ever used are below this.
#[inline(always)]
pub fn used(space: Value<SpaceRecord>) -> u32 {
    let classes = bits(space.used_low().get()) | bits(space.used_high().get()) << 8;
    if classes == 0 {
        return 0;
    }
    1 << (2 * (bit_length(classes).wrapping_sub(1) & 15))
}

/// Eight bytes that are 0 or 1 as eight bits.
#[inline(always)]
fn bits(bytes: u64) -> u32 {
    (bytes.wrapping_mul(0x0102_0408_1020_4080) >> 56) as u32
}

/// Empties an entry if it holds `kioctx` still; true if it did. Not in one step: who calls this
/// looks again with [`level`].
#[inline(always)]
pub fn empty(entry: Value<TracedRecord>, kioctx: u64) -> bool {
    if entry.kioctx().get() != kioctx {
        return false;
    }
    entry.kioctx().set(0);
    true
}

/// Makes one index agree with the table, whoever else changed it: at the end of an io_destroy, when
/// nobody who saw the destroyed context in the table is still writing it here (the call waits for
/// RCU, and programs run under it). True if there was another context.
#[inline(always)]
pub fn level(mm: u64, table_index: u32, who: &Who) -> bool {
    let key = TracedKey { mm, table_index, _pad: 0 };
    let Some(entry) = Value::under(&TRACED, &key) else { return false };
    // What this thread has just written to the entry is there before the table is looked at: an
    // io_setup that writes the entry later has changed the table before, and one that wrote it
    // earlier is seen in the table.
    fence();
    let now = Table::of(mm).at(table_index);
    // Nor is the entry older than the table.
    fence();
    let known = entry.kioctx().get();
    if now == 0 {
        empty(entry, known);
        return false;
    }
    if known == now {
        return false;
    }
    put(mm, table_index, Made::unseen(now, Origin::Met), who);
    true
}
