//! The program `waits`: threads that wait until the requests of contexts have completed, and those contexts.
//!
//! io_destroy, exit and exec take a context out of its table before they wait (fs/aio.c:kill_ioctx), so no table shows it. The waiting thread
//! does: its kernel stack holds the `struct ctx_rq_wait` it sleeps on and a copy of the context's address, and `kioctx.rq_wait` points back
//! into that stack.

use aioinspect_ebpf::{Control, Place, call};
use aya_ebpf::helpers::generated::bpf_get_current_task;

use crate::census::{AGAIN, IterTask, NEXT, leader_of};
use crate::constants::place;
use crate::context::report_context;
use crate::ending;
use crate::here::read_here;
use crate::kernel::{read, read_comm};
use crate::maps::{CONTEXTS, WAITS};
use crate::percpu;
use crate::pointer::as_number;
use crate::reader::{control, is_full, tgid, tid};
use crate::registers::{self, THREAD_SIZE, TS_COMPAT};

/// `TASK_UNINTERRUPTIBLE`: how wait_for_completion sleeps.
const UNINTERRUPTIBLE: u32 = 0x2;
/// `TASK_NOLOAD`: a kernel thread that sleeps so for want of work.
const NOLOAD: u32 = 0x400;
/// `PF_EXITING`.
const EXITING: u32 = 0x4;

/// Words of a stack, or contexts, that one row looks at.
const ROW: u32 = 64;
/// Rows of a stack: 32 rows of 64 words are its 16 kB.
const ROWS: u32 = (THREAD_SIZE / 8 / ROW as u64) as u32;
/// A context is aligned to this (fs/aio.c:aio_setup, SLAB_HWCACHE_ALIGN).
const ALIGNED: u64 = 64;
/// Places of [`ALIGNED`] bytes around a context that was found: 64 kB on each side.
const NEAR: u32 = 2048;

// SAFETY: the section names the hook, the symbol is this program's own.
#[unsafe(link_section = "iter/task")]
#[unsafe(no_mangle)]
extern "C" fn waits(iter: *const IterTask) -> i32 {
    let Some(control) = control() else { return NEXT };
    // SAFETY: the kernel hands a valid context to every run.
    let thread = unsafe { (*iter).task };
    if thread.is_null() {
        return NEXT;
    }
    let task = as_number(&mut control.pointer, thread);
    let state: u32 = read(task, place!(task_state));
    if state & (UNINTERRUPTIBLE | NOLOAD) != UNINTERRUPTIBLE {
        return NEXT;
    }
    let number = registers::of_task(thread, task, registers::NUMBER);
    let is_compat = read::<u32>(task, place!(task_status)) & TS_COMPAT != 0;
    let argument = registers::first_argument(thread, task, is_compat);
    let destroys = destroys(number, is_compat);
    if WAITS.get_ptr(control.waits).is_none() || CONTEXTS.get_ptr(control.contexts).is_none() {
        control.is_full = 1;
        return AGAIN;
    }
    if control.walk_task != task {
        begin(control, task, if destroys { argument } else { 0 });
    }
    if control.walk_ending != 0 || control.walk_first != 0 {
        if !percpu::measure(control) {
            return AGAIN;
        }
        // What the records of its contexts are told apart by.
        control.walk_mm = task;
    }
    let stack: u64 = read(task, place!(task_stack));
    if control.walk_ending != 0 && control.walk_places == 0 {
        if !ending::walk(stack) {
            return AGAIN;
        }
        // The walk is over; that near the last context begins.
        control.walk_places = 1;
    }
    if control.walk_first != 0
        && (control.walk_found == 0 || control.walk_found < left(control))
        && !report_near(control)
    {
        return AGAIN;
    }
    let flags: u32 = read(task, place!(task_flags));
    let mm: u64 = read(task, place!(task_mm));
    let ends = (flags & EXITING != 0 && mm == 0) || executes(number, is_compat);
    if control.walk_found != 0 || destroys || (ends && control.walk_ending != 0) {
        control.walk_mm = mm;
        report_wait(task, number, argument, u32::from(is_compat));
    }
    NEXT
}

/// Whether the call is io_destroy.
#[inline(always)]
fn destroys(number: u64, is_compat: bool) -> bool {
    number == if is_compat { call::IO_DESTROY_32 } else { call::IO_DESTROY }
}

/// Whether the call is execve or execveat.
#[inline(always)]
fn executes(number: u64, is_compat: bool) -> bool {
    if is_compat {
        return number == call::EXECVE_32 || number == call::EXECVEAT_32;
    }
    number == call::EXECVE || number == call::EXECVEAT
}

/// Begins with a thread: looks for a context on its stack. `id`: that of the context it destroys, 0 if it is not in io_destroy.
#[inline(always)]
fn begin(control: &mut Control, task: u64, id: u64) {
    let stack: u64 = read(task, place!(task_stack));
    control.walk_task = task;
    control.walk_index = 0;
    control.walk_found = 0;
    control.walk_cpu = 0;
    control.walk_available = 0;
    control.walk_refs = 0;
    control.walk_first = 0;
    control.walk_table = 0;
    control.walk_places = 0;
    control.walk_ending = 0;
    for row in 0..ROWS {
        if look_at_row(stack, row, id) != 0 {
            break;
        }
    }
    begin_found();
}

/// Goes on with what the stack led to. A function of its own, that asks for the control itself: the rows have written there behind the back of
/// whoever holds a reference to it, and the compiler takes what it stored before for what is there.
// SAFETY: as above.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn begin_found() -> u32 {
    let Some(control) = control() else { return 0 };
    if control.walk_first != 0 {
        // The ctx_rq_wait; 0 while the ring is still being unmapped.
        control.walk_table = read(control.walk_first, place!(kioctx_rq_wait));
    }
    ending::begin(control);
    0
}

/// Looks at a row of the stack, from its top down: below what the thread uses lies what others left there. 1: there is nothing more to look for.
// SAFETY: nobody else has functions of these names. The verifier checks each once, whoever calls it.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn look_at_row(stack: u64, row: u32, id: u64) -> u32 {
    let mut at =
        stack.wrapping_add(THREAD_SIZE).wrapping_sub(u64::from(row).wrapping_mul(u64::from(ROW) * 8));
    for _ in 0..ROW {
        at = at.wrapping_sub(8);
        if look_at_word(at, stack, id) != 0 {
            return 1;
        }
    }
    0
}

/// Whether a word stands on the stack.
// SAFETY: as above.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn is_on_stack(stack: u64, word: u64) -> u32 {
    for row in 0..ROWS {
        if is_in_row(stack, row, word) != 0 {
            return 1;
        }
    }
    0
}

/// The same of a row of it.
// SAFETY: as above.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn is_in_row(stack: u64, row: u32, word: u64) -> u32 {
    let mut at = stack.wrapping_add(u64::from(row).wrapping_mul(u64::from(ROW) * 8));
    for _ in 0..ROW {
        if read_here(at, Place::whole(0, 8)) == word {
            return 1;
        }
        at = at.wrapping_add(8);
    }
    0
}

/// Looks whether a word of the stack leads to a context that is dying, or to an mm that ends; 1: there is nothing more to look for.
// SAFETY: as above.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn look_at_word(at: u64, stack: u64, id: u64) -> u32 {
    let word = read_here(at, Place::whole(0, 8));
    if word.cast_signed() >= 0 || word.wrapping_sub(stack) < THREAD_SIZE {
        return 0;
    }
    let Some(control) = control() else { return 1 };
    if control.walk_first == 0 {
        control.walk_first = dying_at(word, stack, id);
    }
    if id == 0 && control.walk_ending == 0 {
        control.walk_ending = ending::ending_at(word, stack);
    }
    u32::from(control.walk_first != 0 && (id != 0 || control.walk_ending != 0))
}

/// The number itself if it is the address of a context whose end a thread with this stack waits for; else 0.
///
/// Words that point into the stack itself look like one by chance; so does what else is on a stack. A real one lies outside, is dead, and its ends
/// meet: rq_wait leads back to the stack, user_id and mmap_base are one address of user memory. Before rq_wait is set it must be what
/// io_destroy was called with.
// SAFETY: as above.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn dying_at(kioctx: u64, stack: u64, id: u64) -> u64 {
    if kioctx.cast_signed() >= 0 || kioctx & 7 != 0 || kioctx.wrapping_sub(stack) < THREAD_SIZE {
        return 0;
    }
    let rq_wait = read_here(kioctx, place!(kioctx_rq_wait));
    let is_waited_for = rq_wait.wrapping_sub(stack) < THREAD_SIZE;
    if !is_waited_for && (id == 0 || rq_wait != 0) {
        return 0;
    }
    if !is_dead(kioctx) {
        return 0;
    }
    let user_id = read_here(kioctx, place!(kioctx_user_id));
    if user_id == 0 || user_id & 0xfff != 0 || user_id.cast_signed() < 0 || (!is_waited_for && user_id != id)
    {
        return 0;
    }
    if place!(kioctx_mmap_base).is_present() && read_here(kioctx, place!(kioctx_mmap_base)) != user_id {
        return 0;
    }
    kioctx
}

/// Whether its end has begun; true where this kernel does not say, since all else must fit as well.
#[inline(always)]
fn is_dead(kioctx: u64) -> bool {
    !place!(kioctx_dead).is_present() || read_here(kioctx, place!(kioctx_dead)) == 1
}

/// Reports the context that was found and those beside it that the same thread waits for; true: that was it.
///
/// exit and exec wait for all contexts at once, and their stack holds the last alone. The others were mostly made one after the other, which
/// puts them side by side in memory.
#[inline(always)]
fn report_near(control: &mut Control) -> bool {
    if control.walk_table == 0 || left(control) == 1 {
        return report_context(control.walk_first) != 0;
    }
    for _ in 0..ROWS {
        if report_row() != 0 {
            return !is_full();
        }
    }
    false
}

/// How many contexts the thread still waits for.
#[inline(always)]
fn left(control: &Control) -> u32 {
    if control.walk_table == 0 { 0 } else { read(control.walk_table, place!(rq_wait_count)) }
}

/// Looks at some places beside the context that was found; 1: those were the last.
// SAFETY: as above.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn report_row() -> u32 {
    for _ in 0..ROW {
        if report_beside() != 0 {
            return 1;
        }
    }
    0
}

/// Looks at one; 1: it was the last.
// SAFETY: as above.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn report_beside() -> u32 {
    let Some(control) = control() else { return 1 };
    let index = control.walk_index;
    if index >= NEAR {
        return 1;
    }
    if CONTEXTS.get_ptr(control.contexts).is_none() {
        control.is_full = 1;
        return 1;
    }
    let from = control.walk_first.wrapping_sub(u64::from(NEAR / 2) * ALIGNED);
    let kioctx = from.wrapping_add(u64::from(index).wrapping_mul(ALIGNED));
    let is_waited_for = read_here(kioctx, place!(kioctx_rq_wait)) == control.walk_table && is_dead(kioctx);
    if !is_waited_for || report_context(kioctx) != 0 {
        control.walk_cpu = 0;
        control.walk_index = index.wrapping_add(1);
    }
    0
}

/// Writes the record of a thread that waits.
// SAFETY: as above.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn report_wait(task: u64, call: u64, argument: u64, is_compat: u32) -> u32 {
    let Some(control) = control() else { return 0 };
    let position = control.waits;
    control.waits = position.wrapping_add(1);
    let Some(record) = WAITS.get_ptr_mut(position) else { return 0 };
    // SAFETY: a live map value that nobody else writes during this run.
    let record = unsafe { &mut *record };
    // SAFETY: always allowed in a tracing program.
    let reader = unsafe { bpf_get_current_task() };
    let leader = leader_of(task);
    record.mm = control.walk_mm;
    record.task = task;
    record.ending = control.walk_ending;
    record.argument = argument;
    record.call = call as u32;
    record.is_compat = is_compat;
    record.start_boottime = read(task, place!(task_start_boottime));
    record.leader_start_boottime = read(leader, place!(task_start_boottime));
    record.ran_at = read(task, place!(task_last_arrival));
    record.now = read(reader, place!(task_last_arrival));
    record.runtime = read(task, place!(task_sum_exec_runtime));
    record.voluntary_switches = read(task, place!(task_nvcsw));
    record.involuntary_switches = read(task, place!(task_nivcsw));
    (record.comm_low, record.comm_high) = read_comm(leader, place!(task_comm));
    record.css_set = read(task, place!(task_cgroups));
    record.tid = tid(task, control);
    record.tgid = tgid(task, control);
    record.flags = read(task, place!(task_flags));
    record.state = read(task, place!(task_state));
    record.left = left(control);
    record.contexts = control.walk_found;
    0
}
