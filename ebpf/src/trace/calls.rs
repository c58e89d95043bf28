//! The two calls, from their beginning to their end, whatever hook brings the news.

use core::ffi::c_void;

use aioinspect_ebpf::architecture::fence;
use aioinspect_ebpf::shared::cgroups;
use aioinspect_ebpf::shared::memory::read;
use aioinspect_ebpf::shared::value::Value;
use aioinspect_ebpf::shared::who::{self, Who};
use aioinspect_ebpf::{
    CallKind, CallRecord, Counters, EventKind, EventRecord, Origin, TracedKey, flag, place,
};
use aya_ebpf::helpers::generated::{bpf_get_current_task, bpf_ktime_get_ns, bpf_probe_read_user};

use crate::maps::{CALLS, TRACED, count, emit, reader};
use crate::table;
use crate::traced::{self, Made};

const ANY: u64 = 0;
const NOEXIST: u64 = 1;
const EINVAL: i64 = 22;
const EFAULT: i64 = 14;

#[inline(always)]
fn task() -> u64 {
    // SAFETY: always allowed in a tracing program.
    unsafe { bpf_get_current_task() }
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: always allowed.
    unsafe { bpf_ktime_get_ns() }
}

/// The thread that runs, as the reader knows it.
#[inline(always)]
fn current(task: u64) -> Option<Who> {
    who::current(task, reader()?)
}

/// io_setup(nr_events, ctxp) begins.
#[inline(always)]
pub fn setup_begins(nr_events: u64, pointer: u64, compat: bool) {
    let task = task();
    let call = CallRecord {
        mm: read(task, place!(task_mm)),
        // The argument is an unsigned int.
        argument: nr_events & 0xffff_ffff,
        pointer,
        kioctx: 0,
        entered_at: now(),
        table_index: 0,
        max_reqs: 0,
        kind: CallKind::Setup as u32,
        compat: u32::from(compat),
        origin: 0,
        _pad: 0,
    };
    begin(task, &call);
}

/// io_destroy(ctx) begins.
#[inline(always)]
pub fn destroy_begins(context: u64, compat: bool) {
    let task = task();
    let mm = read(task, place!(task_mm));
    let context = if compat { context & 0xffff_ffff } else { context };
    let found = match table::by_ring(mm, context) {
        Some(found) => Some(found),
        None => table::by_search(mm, context, false),
    };
    let call = CallRecord {
        mm,
        argument: context,
        pointer: 0,
        kioctx: found.map_or(0, |found| found.kioctx),
        entered_at: now(),
        table_index: found.map_or(0, |found| found.table_index),
        max_reqs: found.map_or(0, |found| found.max_reqs),
        kind: CallKind::Destroy as u32,
        compat: u32::from(compat),
        origin: found.map_or(0, |found| known_as(mm, found.table_index, found.kioctx)),
        _pad: 0,
    };
    begin(task, &call);
}

/// How the map knows that context at that index: one of [`Origin`], or 0.
#[inline(always)]
fn known_as(mm: u64, table_index: u32, kioctx: u64) -> u32 {
    let Some(entry) = Value::under(&TRACED, &TracedKey { mm, table_index, _pad: 0 }) else { return 0 };
    traced::member(entry, kioctx, entry.origin()).unwrap_or(0)
}

#[inline(always)]
fn begin(task: u64, call: &CallRecord) {
    if CALLS.insert(&task, call, NOEXIST).is_ok() {
        return;
    }
    if CALLS.insert(&task, call, ANY).is_ok() {
        // The thread was in a call already: the end of that one was not seen.
        count(Value::<Counters>::ends);
    } else {
        count(Value::<Counters>::calls);
    }
}

/// The call that the running thread began, if it is of that kind, and its end. It counts as under
/// way until `act` is done: a census that no longer saw it, and not yet what it leaves in the map,
/// would put right what is not wrong.
#[inline(always)]
fn end(kind: CallKind, act: impl FnOnce(u64, &CallRecord)) {
    let task = task();
    let Some(call) = CALLS.get_ptr(&task) else { return };
    // SAFETY: a live map value that only this thread's calls change.
    let call = unsafe { *call };
    if call.kind == kind as u32 {
        act(task, &call);
    }
    // Whoever no longer sees the call sees what it left in the map.
    fence();
    let _ = CALLS.remove(&task);
}

/// The running thread ends. Nobody ends inside one of these calls, so of one that it began the end was
/// not seen.
#[inline(always)]
pub fn thread_ends() {
    if CALLS.remove(&task()).is_ok() {
        count(Value::<Counters>::ends);
    }
}

#[inline(always)]
fn event(kind: EventKind, cgroups: u64, call: &CallRecord, who: &Who) -> EventRecord {
    EventRecord {
        time: now(),
        context: call.argument,
        entered_at: call.entered_at,
        value: 0,
        comm_low: who.comm_low,
        comm_high: who.comm_high,
        start_boottime: who.start_boottime,
        cgroups,
        kind: kind as u32,
        tgid: who.tgid,
        tid: who.tid,
        errno: 0,
        max_reqs: call.max_reqs,
        count: 0,
        flags: 0,
        _pad: 0,
    }
}

/// io_setup returns. A call that began before we were attached is not known here: the next census
/// finds what it made.
#[inline(always)]
pub fn setup_ends(answer: i64) {
    setup_ended(answer, cgroups::of_process(task()));
}

/// Apart, so that what looks at control groups has the stack for itself.
#[inline(never)]
fn setup_ended(answer: i64, cgroups: u64) {
    end(CallKind::Setup, |task, call| after_setup(task, call, answer, cgroups));
}

#[inline(always)]
fn after_setup(task: u64, call: &CallRecord, answer: i64, cgroups: u64) {
    let Some(who) = current(task) else { return };
    if answer != 0 {
        setup_failed(cgroups, call, answer, &who);
        return;
    }
    let claimed = variable(call).unwrap_or(0);
    // A new ring is not touched yet: its own word is not to be had. What the thread says may be
    // false. The table has it in any case, unless it is destroyed again.
    let found = match table::at_index(call.mm, claimed, traced::likely(call.mm)) {
        Some(found) => Some(found),
        None => table::by_search(call.mm, claimed, true),
    };
    let mut event = event(EventKind::Setup, cgroups, call, &who);
    event.max_reqs = call.argument as u32;
    event.context = claimed;
    if let Some(found) = found {
        event.context = table::user_id(found.kioctx);
        event.value = found.kioctx;
        let made = Made {
            kioctx: found.kioctx,
            context: event.context,
            at: event.time,
            max_reqs: found.max_reqs,
            origin: Origin::Traced,
        };
        if !traced::put(call.mm, found.table_index, made, &who) {
            count(Value::<Counters>::contexts);
        }
        traced::expect(call.mm, found.table_index.wrapping_add(1));
    }
    emit(&event);
}

#[inline(always)]
fn setup_failed(cgroups: u64, call: &CallRecord, answer: i64, who: &Who) {
    let mut event = event(EventKind::SetupFailed, cgroups, call, who);
    let errno = answer.wrapping_neg();
    event.errno = errno as u32;
    event.context = 0;
    event.max_reqs = call.argument as u32;
    if (errno == EINVAL || errno == EFAULT)
        && let Some(value) = variable(call)
    {
        event.value = value;
        event.flags = flag::HAS_VALUE;
    }
    emit(&event);
}

/// What `*ctxp` holds now; `None` if it cannot be read.
#[inline(always)]
fn variable(call: &CallRecord) -> Option<u64> {
    let mut value = 0u64;
    let size = if call.compat != 0 { 4 } else { 8 };
    // SAFETY: the destination is a live local of at least this size; the helper checks the source.
    let failed = unsafe { bpf_probe_read_user((&raw mut value).cast(), size, call.pointer as *const c_void) };
    (failed == 0).then_some(value)
}

/// Whether a context that the map knows in this way was told of.
#[inline(always)]
fn is_told(origin: u32) -> bool {
    origin == Origin::Traced as u32 || origin == Origin::Found as u32
}

/// io_destroy returns.
#[inline(always)]
pub fn destroy_ends(answer: i64) {
    destroy_ended(answer, cgroups::of_process(task()));
}

/// Apart, as above.
#[inline(never)]
fn destroy_ended(answer: i64, cgroups: u64) {
    end(CallKind::Destroy, |task, call| {
        if answer == 0 {
            after_destroy(task, call, cgroups);
        }
    });
}

#[inline(always)]
fn after_destroy(task: u64, call: &CallRecord, cgroups: u64) {
    let Some(who) = current(task) else { return };
    let mut event = event(EventKind::Destroy, cgroups, call, &who);
    event.value = call.kioctx;
    if call.kioctx != 0 {
        let key = TracedKey { mm: call.mm, table_index: call.table_index, _pad: 0 };
        // What was known at the start counts too: by now the index may be another context's, or
        // marked again by a census that read the table before this one left it.
        let mut told = is_told(call.origin);
        if let Some(entry) = Value::under(&TRACED, &key) {
            let now = traced::member(entry, call.kioctx, entry.origin());
            if traced::empty(entry, call.kioctx) {
                told |= now.is_some_and(is_told);
            }
        }
        if !told {
            event.flags = flag::UNANNOUNCED;
        }
        traced::level(call.mm, call.table_index, &who);
        traced::expect(call.mm, call.table_index);
    }
    emit(&event);
}
