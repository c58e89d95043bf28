//! The program `settle`: makes the map agree with the kernel's tables, and counts where it did not.
//!
//! A context without an entry may be one whose io_setup is about to return: its own end will write
//! it. So a difference is marked first; then the calls under way are noted; only then is what was
//! marked put right, in address spaces without such calls. Whatever was in the table when it was
//! marked, and has no call under way since, has had its end. An entry without a context is what an
//! io_destroy under way leaves, for as long as it waits: that call names it.

use aioinspect_ebpf::call::{IO_DESTROY, IO_DESTROY_32, IO_SETUP, IO_SETUP_32};
use aioinspect_ebpf::shared::cgroups;
use aioinspect_ebpf::shared::iterator::{AGAIN, IterTask, Logger, NEXT, PF_KTHREAD};
use aioinspect_ebpf::shared::memory::read;
use aioinspect_ebpf::shared::pointer::as_number;
use aioinspect_ebpf::shared::registers::Call;
use aioinspect_ebpf::shared::value::Value;
use aioinspect_ebpf::shared::who::{self, Reader, Who};
use aioinspect_ebpf::{
    EventKind, EventRecord, GONE, Origin, Pass, TraceControl, TracedKey, TracedRecord, place,
};
use aya_ebpf::bindings::task_struct;
use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;
use aya_log_ebpf::debug;

use crate::ended;
use crate::maps::{self, CALLS, SPACES, TRACED, control, emit};
use crate::table::{self, Table};
use crate::traced::{self, Made};

/// Where the program is in the indexes of one address space.
#[map]
static WALK: Array<Walk> = Array::with_max_entries(1, 0);

/// The walk through the indexes of one address space.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Walk {
    mm: u64,
    table: Table,
    who: Who,
    /// Whether to put right, not to mark.
    resolve: u32,
    _pad: u32,
}

// SAFETY: the section names the hook, the symbol is this program's own.
#[unsafe(link_section = "iter/task")]
#[unsafe(no_mangle)]
extern "C" fn settle(iter: *const IterTask) -> i32 {
    // SAFETY: the kernel hands a valid context to every run.
    let task = unsafe { (*iter).task };
    let Some(control) = control() else { return NEXT };
    if task.is_null() {
        let (pass, unsettled, found, gone) =
            (control.pass().get(), control.unsettled().get(), control.found().get(), control.gone().get());
        debug!(&Logger, "settle: pass {}, {} unsettled, {} found, {} gone", pass, unsettled, found, gone);
        return NEXT;
    }
    if control.pass().get() == Pass::Learn as u32 {
        learn(control);
        return NEXT;
    }
    if control.pass().get() == Pass::Sweep as u32 {
        if control.mm().get() != 0 && !ended::sweep(control.mm().get(), control.end().get()) {
            return AGAIN;
        }
        control.mm().set(0);
        return NEXT;
    }
    let at = as_number(control.pointer(), task);
    if read::<u32>(at, place!(task_flags)) & PF_KTHREAD != 0 {
        return NEXT;
    }
    let mm: u64 = read(at, place!(task_mm));
    if mm == 0 {
        return NEXT;
    }
    if control.pass().get() == Pass::Busy as u32 {
        note_call(task, at, mm, control);
        return NEXT;
    }
    if mm == control.last_mm().get() {
        return NEXT;
    }
    if !compare(at, mm, control) {
        return AGAIN;
    }
    control.last_mm().set(mm);
    NEXT
}

/// Who reads: the level and the address of its PID namespace.
#[inline(always)]
fn learn(control: Value<TraceControl>) {
    if control.level_plus_one().get() != 0 {
        return;
    }
    let reader = Reader::current();
    control.reader_ns().set(reader.ns);
    control.reader_cgroups().set(cgroups::root_of_reader());
    control.level_plus_one().set(reader.level_plus_one);
    // The one entry that is no context: since when the map is kept.
    // SAFETY: always allowed.
    let since = TracedRecord { made_at: unsafe { bpf_ktime_get_ns() }, ..traced::EMPTY };
    let _ = TRACED.insert(&TracedKey { mm: 0, table_index: u32::MAX, _pad: 0 }, &since, 0);
}

/// A thread in a call explains what was marked, or makes its address space busy.
#[inline(always)]
fn note_call(task: *const task_struct, at: u64, mm: u64, control: Value<TraceControl>) {
    let Some(call) = Value::under(&CALLS, &at) else {
        if is_in_unseen_call(task, at, mm) {
            make_busy(mm, control);
        }
        return;
    };
    let (mm, table_index, kioctx) = (call.mm().get(), call.table_index().get(), call.kioctx().get());
    if kioctx != 0 {
        // An io_destroy of a context that was known when it began.
        if let Some(entry) = Value::under(&TRACED, &TracedKey { mm, table_index, _pad: 0 })
            && entry.marked().get() == kioctx | GONE
        {
            entry.marked().set(0);
        }
        return;
    }
    make_busy(mm, control);
}

#[inline(always)]
fn make_busy(mm: u64, control: Value<TraceControl>) {
    if let Some(space) = Value::under(&SPACES, &mm) {
        space.busy_round().set(control.round().get());
    }
}

/// Whether a thread is in a call that began before anything was attached, and that may change the
/// table yet: its end will not be told. By the registers with which it entered the kernel last;
/// where that is long over, it is one round lost.
#[inline(always)]
fn is_in_unseen_call(task: *const task_struct, at: u64, mm: u64) -> bool {
    let Some(call) = Call::of(task, at) else { return false };
    match (call.number, call.is_compat) {
        (IO_SETUP, false) | (IO_SETUP_32, true) => true,
        // Once the context is out of the table the call waits, for as long as its requests take.
        (IO_DESTROY, false) | (IO_DESTROY_32, true) => table::by_search(mm, call.argument, false).is_some(),
        _ => false,
    }
}

/// Walks the indexes of one address space, those of its table and those of the map. False: there are
/// more of them.
#[inline(always)]
fn compare(task: u64, mm: u64, control: Value<TraceControl>) -> bool {
    let table = Table::of(mm);
    let mut indexes = table.indexes;
    let mut resolve = 0;
    if let Some(space) = Value::under(&SPACES, &mm) {
        space.met_round().set(control.round().get());
        let (known, busy) = (traced::used(space), space.busy_round().get());
        if known > indexes {
            indexes = known;
        }
        if control.pass().get() != Pass::Mark as u32 {
            if busy == control.round().get() {
                control.unsettled().count();
                return true;
            }
            resolve = 1;
        }
    } else if control.pass().get() != Pass::Mark as u32 {
        return true;
    }
    let first = if control.walk_task().get() == task { control.walk_index().get() } else { 0 };
    if indexes <= first {
        return true;
    }
    let tgid = who::id(who::tgid_of(task), control.level_plus_one().get().wrapping_sub(1));
    let Some(walk) = WALK.get_ptr_mut(0) else { return true };
    // SAFETY: a live map value; userspace runs this program once at a time.
    unsafe { *walk = Walk { mm, table, who: who::named(task, tgid, 0), resolve, _pad: 0 } };
    control.walk_task().set(task);
    for step in 0..32 {
        let from = first.wrapping_add(step * 32);
        control.walk_index().set(from);
        if from >= indexes {
            return true;
        }
        if must_wait(control) {
            return false;
        }
        settle_32(from, indexes);
    }
    let next = first.wrapping_add(1024);
    control.walk_index().set(next);
    next >= indexes
}

/// Whether userspace is to take events out of the buffer before 32 indexes more are compared, or told
/// of: nobody else does while it runs this. Not twice in a row: in a flood there would be no end to
/// it, and what does not fit is counted.
#[inline(always)]
fn must_wait(control: Value<TraceControl>) -> bool {
    let waits = control.is_full().get() == 0 && !maps::has_room_for(32);
    control.is_full().set(u32::from(waits));
    waits
}

/// Compares 32 indexes, as far as there are so many.
// SAFETY: nobody else has a function of this name. The verifier checks it once, whoever calls it.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn settle_32(first: u32, indexes: u32) -> u32 {
    for step in 0..32 {
        let table_index = first.wrapping_add(step);
        if table_index >= indexes {
            break;
        }
        settle_index(table_index);
    }
    0
}

/// Compares one index of the walk, and marks it or puts it right.
// SAFETY: nobody else has a function of this name. The verifier checks it once, whoever calls it.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn settle_index(table_index: u32) -> u32 {
    let Some(walk) = WALK.get_ptr(0) else { return 0 };
    // SAFETY: a live map value that nobody changes during this walk: `compare` wrote it before.
    let walk = unsafe { &*walk };
    let Some(control) = control() else { return 0 };
    let kioctx = walk.table.at(table_index);
    let entry = Value::under(&TRACED, &TracedKey { mm: walk.mm, table_index, _pad: 0 });
    let known = entry.map_or(0, |entry| entry.kioctx().get());
    let agrees =
        if kioctx == 0 { known == 0 } else { entry.is_some_and(|entry| holds(control, entry, kioctx)) };
    if walk.resolve == 0 {
        if !agrees {
            if traced::mark(walk.mm, table_index, if kioctx == 0 { known | GONE } else { kioctx }, &walk.who)
            {
                control.unsettled().count();
            } else {
                control.unstored().count();
            }
        } else if let Some(entry) = entry {
            // What an earlier census marked, and had to leave.
            entry.marked().set(0);
        }
    } else if !agrees && let Some(entry) = entry {
        resolve(control, walk, table_index, kioctx, known, entry);
    }
    0
}

/// Whether an entry holds that context, and has told of it if it has to.
#[inline(always)]
fn holds(control: Value<TraceControl>, entry: Value<TracedRecord>, kioctx: u64) -> bool {
    traced::is(entry, kioctx, table::max_reqs(kioctx))
        && (control.announce().get() == 0 || entry.origin().get() != Origin::Met as u32)
}

/// Puts right what was marked, is as it was marked, and no call under way explains.
#[inline(always)]
fn resolve(
    control: Value<TraceControl>,
    walk: &Walk,
    table_index: u32,
    kioctx: u64,
    known: u64,
    entry: Value<TracedRecord>,
) {
    let marked = entry.marked().get();
    if kioctx == 0 {
        if marked == known | GONE && traced::empty(entry, known) {
            control.gone().count();
        }
        return;
    }
    if marked != kioctx {
        return;
    }
    traced::put(walk.mm, table_index, Made::unseen(kioctx, Origin::Found), &walk.who);
    control.found().count();
    if control.announce().get() != 0 {
        announce(walk, kioctx);
    }
    // Another context may have come to the index meanwhile, and its io_setup may have ended before
    // this was written.
    if traced::level(walk.mm, table_index, &walk.who) {
        control.unsettled().count();
    }
}

#[inline(always)]
fn announce(walk: &Walk, kioctx: u64) {
    emit(&EventRecord {
        // SAFETY: always allowed.
        time: unsafe { bpf_ktime_get_ns() },
        context: table::user_id(kioctx),
        entered_at: 0,
        value: kioctx,
        comm_low: walk.who.comm_low,
        comm_high: walk.who.comm_high,
        start_boottime: walk.who.start_boottime,
        // Its process lives: it can be asked.
        cgroups: 0,
        kind: EventKind::Found as u32,
        tgid: walk.who.tgid,
        tid: 0,
        errno: 0,
        max_reqs: table::max_reqs(kioctx),
        count: 0,
        flags: 0,
        _pad: 0,
    });
}
