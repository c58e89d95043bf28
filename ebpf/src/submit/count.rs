//! One call of io_submit, counted at its end; and one of io_getevents or io_pgetevents that failed.
//!
//! What went well costs nothing more: a failure alone has its arguments looked up.

use core::arch::asm;

use aioinspect_ebpf::architecture::{KEPT, KEPT_32};
use aioinspect_ebpf::shared::cgroups;
use aioinspect_ebpf::shared::registers::of_current;
use aioinspect_ebpf::shared::value::Value;
use aioinspect_ebpf::{Failing, SubmitErrorKey, SubmitErrors, SubmitLosses, SubmitRecord};

use crate::maps::{SUBMIT_ERRORS, SUBMITS, lose};
use crate::process::{self, Process};

const NOEXIST: u64 = 1;
/// Answers of io_getevents that are no failures: a signal came, which restarts io_pgetevents
/// (`ERESTARTNOHAND`), or time was up.
const EINTR: i64 = 4;
const ETIMEDOUT: i64 = 110;
const ERESTARTSYS: i64 = 512;
const ERESTART_RESTARTBLOCK: i64 = 516;

/// io_submit(ctx, nr, ..) returns. `compat`: to a 32-bit caller.
#[inline(always)]
pub fn submitted(nr: i64, answer: i64, compat: bool) {
    let Some(process) = process::current() else { return };
    let Some(record) = record_of(&process) else {
        lose(Value::<SubmitLosses>::calls);
        return;
    };
    add(record.calls(), 1);
    name(record, &process);
    if answer < 0 {
        add(record.errors(), 1);
        failed(&process, Failing::Submit, answer, compat);
        return;
    }
    add(record.requests(), answer as u64);
    if answer < nr {
        add(record.short(), 1);
    }
}

/// io_getevents(ctx, min_nr, nr, ..) or io_pgetevents returns.
#[inline(always)]
pub fn reaped(call: Failing, answer: i64, compat: bool) {
    if answer >= 0 {
        return;
    }
    let errno = answer.wrapping_neg();
    if errno == EINTR || errno == ETIMEDOUT || (ERESTARTSYS..=ERESTART_RESTARTBLOCK).contains(&errno) {
        return;
    }
    let Some(process) = process::current() else { return };
    let Some(record) = record_of(&process) else {
        lose(Value::<SubmitLosses>::errors);
        return;
    };
    name(record, &process);
    failed(&process, call, answer, compat);
}

/// Notes who the process is now.
#[inline(always)]
fn name(record: Value<SubmitRecord>, process: &Process) {
    // A process may take another name, and by exec becomes another program.
    record.comm_low().set(process.comm_low);
    record.comm_high().set(process.comm_high);
    // It is in the same control groups as at its last call, as long as this is the same.
    if record.css_set().get() != process.css_set {
        record.cgroups().set(cgroups::told(process.css_set));
        record.css_set().set(process.css_set);
    }
}

/// The numbers of that process, new ones if it has none; `None` if there is no room.
#[inline(always)]
fn record_of(process: &Process) -> Option<Value<SubmitRecord>> {
    if let Some(record) = Value::under(&SUBMITS, &process.key) {
        return Some(record);
    }
    let empty = SubmitRecord {
        calls: 0,
        short: 0,
        errors: 0,
        requests: 0,
        comm_low: 0,
        comm_high: 0,
        css_set: 0,
        cgroups: 0,
    };
    // Another CPU may be quicker.
    let _ = SUBMITS.insert(&process.key, &empty, NOEXIST);
    Value::under(&SUBMITS, &process.key)
}

#[inline(always)]
fn failed(process: &Process, call: Failing, answer: i64, compat: bool) {
    let key = SubmitErrorKey {
        start_boottime: process.key.start_boottime,
        tgid: process.key.tgid,
        errno: answer.wrapping_neg() as u16,
        call: call as u16,
    };
    if SUBMIT_ERRORS.get_ptr(&key).is_none() {
        let empty = SubmitErrors { count: 0, context: 0, second: 0, third: 0 };
        // Another CPU may be quicker.
        let _ = SUBMIT_ERRORS.insert(&key, &empty, NOEXIST);
    }
    let Some(errors) = Value::under(&SUBMIT_ERRORS, &key) else {
        lose(Value::<SubmitLosses>::errors);
        return;
    };
    // The arguments of one call, or of two at once: the count alone must be right.
    if compat {
        let of_32 = |register: u64| i64::from(register as i32) as u64;
        errors.context().set(of_current(KEPT_32[0]) & 0xffff_ffff);
        errors.second().set(of_32(of_current(KEPT_32[1])));
        errors.third().set(of_32(of_current(KEPT_32[2])));
    } else {
        errors.context().set(of_current(KEPT[0]));
        errors.second().set(of_current(KEPT[1]));
        errors.third().set(of_current(KEPT[2]));
    }
    add(errors.count(), 1);
}

/// Adds without losing what another CPU adds.
#[inline(always)]
fn add(counter: Value<u64>, amount: u64) {
    let counter = counter.as_ptr();
    // SAFETY: a map value and its members are aligned. core has no atomic addition for this target.
    unsafe {
        asm!("lock *(u64 *)({counter} + 0) += {amount}", counter = in(reg) counter, amount = in(reg) amount);
    }
}
