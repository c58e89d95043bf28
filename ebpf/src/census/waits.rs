//! The program `waits`: threads that wait until the requests of contexts have completed, and those
//! contexts.
//!
//! io_destroy, exit and exec take a context out of its table before they wait
//! (fs/aio.c:kill_ioctx), so no table shows it. The waiting thread does: its kernel stack holds the
//! `struct ctx_rq_wait` it sleeps on and a copy of the context's address, and `kioctx.rq_wait`
//! points back into that stack.

use aioinspect_ebpf::shared::iterator::{AGAIN, IterTask, NEXT, PF_EXITING};
use aioinspect_ebpf::shared::value::Value;
use aioinspect_ebpf::shared::who::leader_of;
use aioinspect_ebpf::{Control, Place, call, place};
use aya_ebpf::helpers::generated::bpf_get_current_task;

use crate::context::report_context;
use crate::control::{control, tgid, tid};
use crate::dying::{dying_at, is_dead};
use crate::ending;
use crate::maps::{CONTEXTS, WAITS};
use crate::percpu;
use crate::stack::{self, ROW};
use aioinspect_ebpf::shared::here::read_here;
use aioinspect_ebpf::shared::memory::{read, read_comm};
use aioinspect_ebpf::shared::pointer::as_number;
use aioinspect_ebpf::shared::registers::Call;

/// `TASK_UNINTERRUPTIBLE`: how wait_for_completion sleeps.
const UNINTERRUPTIBLE: u32 = 0x2;
/// `TASK_NOLOAD`: a kernel thread that sleeps so for want of work.
const NOLOAD: u32 = 0x400;
/// A context is aligned to this (fs/aio.c:aio_setup, SLAB_HWCACHE_ALIGN).
const ALIGNED: u64 = 64;
/// Places of [`ALIGNED`] bytes around a context that was found: 64 kB on each side.
const NEAR: u32 = 2048;
/// Those in rows.
const NEAR_ROWS: u32 = NEAR / ROW;
/// What a thread without a program of its own, a kernel thread, is in.
const NO_CALL: Call = Call { number: u64::MAX, is_compat: false, argument: 0 };

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
    let task = as_number(control.pointer(), thread);
    let state: u32 = read(task, place!(task_state));
    if state & (UNINTERRUPTIBLE | NOLOAD) != UNINTERRUPTIBLE {
        return NEXT;
    }
    let Call { number, is_compat, argument } = Call::of(thread, task).unwrap_or(NO_CALL);
    let destroys = destroys(number, is_compat);
    if WAITS.get_ptr(control.waits().get()).is_none() || CONTEXTS.get_ptr(control.contexts().get()).is_none()
    {
        control.is_full().set(1);
        return AGAIN;
    }
    if control.walk_task().get() != task {
        begin(control, task, if destroys { argument } else { 0 });
    }
    if control.walk_ending().get() != 0 || control.walk_first().get() != 0 {
        if !percpu::measure(control) {
            return AGAIN;
        }
        // What the records of its contexts are told apart by.
        control.walk_mm().set(task);
    }
    let stack: u64 = read(task, place!(task_stack));
    if control.walk_ending().get() != 0 && control.walk_places().get() == 0 {
        if !ending::walk(stack) {
            return AGAIN;
        }
        // The walk is over; that near the last context begins.
        control.walk_places().set(1);
    }
    if control.walk_first().get() != 0
        && (control.walk_found().get() == 0 || control.walk_found().get() < left(control))
        && !report_near(control)
    {
        return AGAIN;
    }
    let flags: u32 = read(task, place!(task_flags));
    let mm: u64 = read(task, place!(task_mm));
    let ends = (flags & PF_EXITING != 0 && mm == 0) || executes(number, is_compat);
    if control.walk_found().get() != 0 || destroys || (ends && control.walk_ending().get() != 0) {
        control.walk_mm().set(mm);
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

/// Begins with a thread: looks for a context on its stack. `id`: that of the context it destroys, 0
/// if it is not in io_destroy.
#[inline(always)]
fn begin(control: Value<Control>, task: u64, id: u64) {
    let stack: u64 = read(task, place!(task_stack));
    control.walk_task().set(task);
    control.walk_index().set(0);
    control.walk_found().set(0);
    control.walk_cpu().set(0);
    control.walk_available().set(0);
    control.walk_refs().set(0);
    control.walk_first().set(0);
    control.walk_table().set(0);
    control.walk_places().set(0);
    control.walk_ending().set(0);
    for row in 0..stack::rows() {
        if look_at_row(stack, row, id) != 0 {
            break;
        }
    }
    if control.walk_first().get() != 0 {
        // The ctx_rq_wait; 0 while the ring is still being unmapped.
        control.walk_table().set(read(control.walk_first().get(), place!(kioctx_rq_wait)));
    }
    ending::begin(control);
}

/// Looks at a row of the stack, from its top down: below what the thread uses lies what others left
/// there. 1: there is nothing more to look for.
// SAFETY: nobody else has functions of these names. The verifier checks each of them once.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn look_at_row(stack: u64, row: u32, id: u64) -> u32 {
    let mut at =
        stack.wrapping_add(stack::size()).wrapping_sub(u64::from(row).wrapping_mul(u64::from(ROW) * 8));
    for _ in 0..ROW {
        at = at.wrapping_sub(8);
        if look_at_word(at, stack, id) != 0 {
            return 1;
        }
    }
    0
}

/// Looks whether a word of the stack leads to a context that is dying, or to an mm that ends; 1:
/// there is nothing more to look for.
// SAFETY: as above.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn look_at_word(at: u64, stack: u64, id: u64) -> u32 {
    let word = read_here(at, Place::whole(0, 8));
    if word.cast_signed() >= 0 || stack::holds(stack, word) {
        return 0;
    }
    let Some(control) = control() else { return 1 };
    if control.walk_first().get() == 0 {
        control.walk_first().set(dying_at(word, stack, id));
    }
    if id == 0 && control.walk_ending().get() == 0 {
        control.walk_ending().set(ending::ending_at(word, stack));
    }
    u32::from(control.walk_first().get() != 0 && (id != 0 || control.walk_ending().get() != 0))
}

/// Reports the context that was found and those beside it that the same thread waits for; true:
/// that was it.
///
/// exit and exec wait for all contexts at once, and their stack holds the last alone. The others
/// were mostly made one after the other, which puts them side by side in memory.
#[inline(always)]
fn report_near(control: Value<Control>) -> bool {
    if control.walk_table().get() == 0 || left(control) == 1 {
        return report_context(control.walk_first().get()) != 0;
    }
    for _ in 0..NEAR_ROWS {
        if report_row() != 0 {
            return control.is_full().get() == 0;
        }
    }
    false
}

/// How many contexts the thread still waits for.
#[inline(always)]
fn left(control: Value<Control>) -> u32 {
    if control.walk_table().get() == 0 { 0 } else { read(control.walk_table().get(), place!(rq_wait_count)) }
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
    let index = control.walk_index().get();
    if index >= NEAR {
        return 1;
    }
    if CONTEXTS.get_ptr(control.contexts().get()).is_none() {
        control.is_full().set(1);
        return 1;
    }
    let from = control.walk_first().get().wrapping_sub(u64::from(NEAR / 2) * ALIGNED);
    let kioctx = from.wrapping_add(u64::from(index).wrapping_mul(ALIGNED));
    let is_waited_for =
        read_here(kioctx, place!(kioctx_rq_wait)) == control.walk_table().get() && is_dead(kioctx);
    if !is_waited_for || report_context(kioctx) != 0 {
        control.walk_cpu().set(0);
        control.walk_index().set(index.wrapping_add(1));
    }
    0
}

/// Writes the record of a thread that waits.
// SAFETY: as above.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn report_wait(task: u64, call: u64, argument: u64, is_compat: u32) -> u32 {
    let Some(control) = control() else { return 0 };
    let position = control.waits().count();
    let Some(record) = Value::of(&WAITS, position) else { return 0 };
    // SAFETY: always allowed in a tracing program.
    let reader = unsafe { bpf_get_current_task() };
    let leader = leader_of(task);
    record.mm().set(control.walk_mm().get());
    record.task().set(task);
    record.ending().set(control.walk_ending().get());
    record.argument().set(argument);
    record.call().set(call as u32);
    record.is_compat().set(is_compat);
    record.start_boottime().set(read(task, place!(task_start_boottime)));
    record.leader_start_boottime().set(read(leader, place!(task_start_boottime)));
    record.ran_at().set(read(task, place!(task_last_arrival)));
    record.now().set(read(reader, place!(task_last_arrival)));
    record.runtime().set(read(task, place!(task_sum_exec_runtime)));
    record.voluntary_switches().set(read(task, place!(task_nvcsw)));
    record.involuntary_switches().set(read(task, place!(task_nivcsw)));
    let (comm_low, comm_high) = read_comm(leader, place!(task_comm));
    record.comm_low().set(comm_low);
    record.comm_high().set(comm_high);
    record.css_set().set(read(task, place!(task_cgroups)));
    record.tid().set(tid(task, control));
    record.tgid().set(tgid(task, control));
    record.flags().set(read(task, place!(task_flags)));
    record.state().set(read(task, place!(task_state)));
    record.left().set(left(control));
    record._pad().set(0);
    0
}
