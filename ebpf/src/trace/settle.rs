//! The program `settle`: makes the map agree with the kernel's tables, and counts where it did not.
//!
//! A context without an entry may be one whose io_setup is about to return: its own end will write it. So a difference
//! is marked first; then the calls under way are noted; only then is what was marked put right, in address spaces
//! without such calls. Whatever was in the table when it was marked, and has no call under way since, has had its end.
//! An entry without a context is what an io_destroy under way leaves, for as long as it waits: that call names it.

use core::ffi::c_void;
use core::ptr;

use aioinspect_ebpf::call::{IO_DESTROY, IO_DESTROY_32, IO_SETUP, IO_SETUP_32};
use aioinspect_ebpf::{EventKind, EventRecord, GONE, Origin, Pass, SlotKey, SlotRecord, TraceControl};
use aya_ebpf::bindings::task_struct;
use aya_ebpf::helpers::generated::{bpf_get_current_task, bpf_ktime_get_ns};
use aya_log_ebpf::debug;

use crate::cgroups;
use crate::constants::place;
use crate::ended;
use crate::kernel::read;
use crate::maps::{self, CALLS, SPACES, TRACED, WALK, control, emit};
use crate::pointer::as_number;
use crate::registers;
use crate::slots::{self, Made};
use crate::table::{self, Table};
use crate::who::{self, Who};

/// `PF_KTHREAD`.
const PF_KTHREAD: u32 = 0x0020_0000;

/// What a program on an iterator answers: go on to the next object.
pub const NEXT: i32 = 0;
/// Run it on the same object again (kernel/bpf/bpf_iter.c:bpf_iter_run_prog). The read(2) that runs it ends with EAGAIN, and the next one begins here.
pub const AGAIN: i32 = 1;

/// What the kernel hands to a program on `iter/task`; a null task ends the walk.
#[repr(C)]
pub struct IterTask {
    meta: *const c_void,
    pub task: *const task_struct,
}

struct Logger;
impl aya_ebpf::EbpfContext for Logger {
    fn as_ptr(&self) -> *mut c_void {
        ptr::null_mut()
    }
}

/// The walk through the slots of one address space.
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
    let Some(control) = control() else { return 0 };
    if task.is_null() {
        let (pass, unsettled, found, gone) = (control.pass, control.unsettled, control.found, control.gone);
        debug!(&Logger, "settle: pass {}, {} unsettled, {} found, {} gone", pass, unsettled, found, gone);
        return NEXT;
    }
    if control.pass == Pass::Learn as u32 {
        learn(control);
        return NEXT;
    }
    if control.pass == Pass::Sweep as u32 {
        if control.mm != 0 && !ended::sweep(control.mm, control.end) {
            return AGAIN;
        }
        control.mm = 0;
        return NEXT;
    }
    let at = as_number(&mut control.pointer, task);
    if read::<u32>(at, place!(task_flags)) & PF_KTHREAD != 0 {
        return NEXT;
    }
    let mm: u64 = read(at, place!(task_mm));
    if mm == 0 {
        return NEXT;
    }
    if control.pass == Pass::Busy as u32 {
        note_call(task, at, mm, control);
        return NEXT;
    }
    if mm == control.last_mm {
        return NEXT;
    }
    if !compare(at, mm, control) {
        return AGAIN;
    }
    control.last_mm = mm;
    NEXT
}

/// Who reads: the level and the address of its PID namespace.
#[inline(always)]
fn learn(control: &mut TraceControl) {
    if control.level_plus_one != 0 {
        return;
    }
    // SAFETY: always allowed in a tracing program.
    let reader = unsafe { bpf_get_current_task() };
    let pid: u64 = read(reader, place!(task_thread_pid));
    let level: u32 = read(pid, place!(pid_level));
    control.reader_ns = who::namespace(pid, level);
    control.reader_cgroups = cgroups::root_of_reader();
    control.level_plus_one = level.wrapping_add(1);
    // The one entry that is no context: since when the map is kept.
    // SAFETY: always allowed.
    let since = SlotRecord { made_at: unsafe { bpf_ktime_get_ns() }, ..slots::EMPTY };
    let _ = TRACED.insert(&SlotKey { mm: 0, slot: u32::MAX, _pad: 0 }, &since, 0);
}

/// A thread in a call explains what was marked, or makes its address space busy.
#[inline(always)]
fn note_call(task: *const task_struct, at: u64, mm: u64, control: &mut TraceControl) {
    let Some(call) = CALLS.get_ptr(&at) else {
        if is_in_unseen_call(task, at, mm) {
            make_busy(mm, control);
        }
        return;
    };
    // SAFETY: a live map value.
    let (mm, slot, kioctx) = unsafe {
        (
            ptr::read_volatile(&raw const (*call).mm),
            ptr::read_volatile(&raw const (*call).slot),
            ptr::read_volatile(&raw const (*call).kioctx),
        )
    };
    if kioctx != 0 {
        // An io_destroy of a context that was known when it began.
        if let Some(entry) = TRACED.get_ptr_mut(&SlotKey { mm, slot, _pad: 0 }) {
            // SAFETY: a live map value.
            unsafe {
                if ptr::read_volatile(&raw const (*entry).marked) == kioctx | GONE {
                    ptr::write_volatile(&raw mut (*entry).marked, 0);
                }
            }
        }
        return;
    }
    make_busy(mm, control);
}

#[inline(always)]
fn make_busy(mm: u64, control: &TraceControl) {
    if let Some(space) = SPACES.get_ptr_mut(&mm) {
        // SAFETY: a live map value.
        unsafe { ptr::write_volatile(&raw mut (*space).busy_round, control.round) };
    }
}

/// Whether a thread is in a call that began before anything was attached, and that may change the table yet: its end will
/// not be told. By the registers with which it entered the kernel last; where that is long over, it is one round lost.
#[inline(always)]
fn is_in_unseen_call(task: *const task_struct, at: u64, mm: u64) -> bool {
    let context = match registers::of_task(task, at, registers::NUMBER) {
        IO_SETUP | IO_SETUP_32 => return true,
        IO_DESTROY => registers::first_argument(task, at, false),
        IO_DESTROY_32 => registers::first_argument(task, at, true),
        _ => return false,
    };
    // Once the context is out of the table the call waits, for as long as its requests take.
    table::by_search(mm, context, false).is_some()
}

/// Walks the slots of one address space: those of its table, and those of the map. False: there are more of them.
#[inline(always)]
fn compare(task: u64, mm: u64, control: &mut TraceControl) -> bool {
    let table = Table::of(mm);
    let mut slots = table.slots;
    let mut resolve = 0;
    if let Some(space) = SPACES.get_ptr_mut(&mm) {
        // SAFETY: a live map value.
        let (known, busy) = unsafe {
            ptr::write_volatile(&raw mut (*space).met_round, control.round);
            (slots::used(space), (*space).busy_round)
        };
        if known > slots {
            slots = known;
        }
        if control.pass != Pass::Mark as u32 {
            if busy == control.round {
                control.unsettled = control.unsettled.wrapping_add(1);
                return true;
            }
            resolve = 1;
        }
    } else if control.pass != Pass::Mark as u32 {
        return true;
    }
    let first = if control.walk_task == task { control.walk_slot } else { 0 };
    if slots <= first {
        return true;
    }
    let signal: u64 = read(task, place!(task_signal));
    let tgid = who::id(read(signal, place!(signal_tgid)), control.level_plus_one.wrapping_sub(1));
    let Some(walk) = WALK.get_ptr_mut(0) else { return true };
    // SAFETY: a live map value; userspace runs this program once at a time.
    unsafe { *walk = Walk { mm, table, who: who::named(task, tgid, 0), resolve, _pad: 0 } };
    control.walk_task = task;
    for step in 0..32 {
        let from = first.wrapping_add(step * 32);
        control.walk_slot = from;
        if from >= slots {
            return true;
        }
        if must_wait(control) {
            return false;
        }
        settle_32(from, slots);
    }
    control.walk_slot = first.wrapping_add(1024);
    control.walk_slot >= slots
}

/// Whether userspace is to take events out of the buffer before 32 slots more are compared, or told of: nobody else does while it runs this. Not twice in a
/// row: in a flood there would be no end to it, and what does not fit is counted.
#[inline(always)]
fn must_wait(control: &mut TraceControl) -> bool {
    let waits = control.is_full == 0 && !maps::has_room_for(32);
    control.is_full = u32::from(waits);
    waits
}

/// Compares 32 slots, as far as there are so many.
// SAFETY: nobody else has a function of this name. The verifier checks it once, whoever calls it.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn settle_32(first: u32, slots: u32) -> u32 {
    for step in 0..32 {
        let slot = first.wrapping_add(step);
        if slot >= slots {
            break;
        }
        settle_slot(slot);
    }
    0
}

/// Compares one slot of the walk, and marks it or puts it right.
// SAFETY: nobody else has a function of this name. The verifier checks it once, whoever calls it.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn settle_slot(slot: u32) -> u32 {
    let Some(walk) = WALK.get_ptr(0) else { return 0 };
    // SAFETY: a live map value that nobody changes during this walk.
    let walk = unsafe { &*walk };
    let Some(control) = control() else { return 0 };
    let kioctx = walk.table.at(slot);
    let entry = TRACED.get_ptr_mut(&SlotKey { mm: walk.mm, slot, _pad: 0 });
    // SAFETY: a live map value.
    let known = entry.map_or(0, |entry| unsafe { ptr::read_volatile(&raw const (*entry).kioctx) });
    let agrees =
        if kioctx == 0 { known == 0 } else { entry.is_some_and(|entry| holds(control, entry, kioctx)) };
    if walk.resolve == 0 {
        if !agrees {
            if slots::mark(walk.mm, slot, if kioctx == 0 { known | GONE } else { kioctx }, &walk.who) {
                control.unsettled = control.unsettled.wrapping_add(1);
            } else {
                control.unstored = control.unstored.wrapping_add(1);
            }
        } else if let Some(entry) = entry {
            // What an earlier census marked, and had to leave.
            // SAFETY: a live map value.
            unsafe { ptr::write_volatile(&raw mut (*entry).marked, 0) };
        }
    } else if !agrees && let Some(entry) = entry {
        resolve(control, walk, slot, kioctx, known, entry);
    }
    0
}

/// Whether an entry holds that context, and has told of it if it has to.
#[inline(always)]
fn holds(control: &TraceControl, entry: *mut SlotRecord, kioctx: u64) -> bool {
    // SAFETY: a live map value.
    let (is, origin) = unsafe {
        (slots::is(entry, kioctx, table::max_reqs(kioctx)), ptr::read_volatile(&raw const (*entry).origin))
    };
    is && (control.announce == 0 || origin != Origin::Met as u32)
}

/// Puts right what was marked, is as it was marked, and no call under way explains.
#[inline(always)]
fn resolve(
    control: &mut TraceControl,
    walk: &Walk,
    slot: u32,
    kioctx: u64,
    known: u64,
    entry: *mut SlotRecord,
) {
    // SAFETY: a live map value.
    let marked = unsafe { ptr::read_volatile(&raw const (*entry).marked) };
    if kioctx == 0 {
        // SAFETY: a live map value.
        if marked == known | GONE && unsafe { slots::empty(entry, known) } {
            control.gone = control.gone.wrapping_add(1);
        }
        return;
    }
    if marked != kioctx {
        return;
    }
    slots::put(walk.mm, slot, Made::unseen(kioctx, Origin::Found), &walk.who);
    control.found = control.found.wrapping_add(1);
    if control.announce != 0 {
        announce(walk, kioctx);
    }
    // Another context may have come into the slot meanwhile, and its io_setup may have ended before this was written.
    if slots::level(walk.mm, slot, &walk.who) {
        control.unsettled = control.unsettled.wrapping_add(1);
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
