//! One call of io_submit, counted at its end.

use core::arch::asm;

use aioinspect_ebpf::shared::cgroups;
use aioinspect_ebpf::shared::value::Value;
use aioinspect_ebpf::{SubmitErrorKey, SubmitErrors, SubmitLosses, SubmitRecord};

use crate::maps::{SUBMIT_ERRORS, SUBMITS, lose};
use crate::process::{self, Process};

const NOEXIST: u64 = 1;

/// io_submit(ctx, nr, ..) returns.
#[inline(always)]
pub fn submitted(nr: i64, answer: i64) {
    let Some(process) = process::current() else { return };
    let Some(record) = record_of(&process) else {
        lose(Value::<SubmitLosses>::calls);
        return;
    };
    add(record.calls(), 1);
    // A process may take another name, and by exec becomes another program.
    record.comm_low().set(process.comm_low);
    record.comm_high().set(process.comm_high);
    // It is in the same control groups as at its last call, as long as this is the same.
    if record.css_set().get() != process.css_set {
        record.cgroups().set(cgroups::told(process.css_set));
        record.css_set().set(process.css_set);
    }
    if answer < 0 {
        add(record.errors(), 1);
        failed(&process, answer.wrapping_neg() as u32);
        return;
    }
    add(record.requests(), answer as u64);
    if answer < nr {
        add(record.short(), 1);
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
fn failed(process: &Process, errno: u32) {
    let key = SubmitErrorKey { start_boottime: process.key.start_boottime, tgid: process.key.tgid, errno };
    if SUBMIT_ERRORS.get_ptr(&key).is_none() {
        // Another CPU may be quicker.
        let _ = SUBMIT_ERRORS.insert(&key, &SubmitErrors { count: 0 }, NOEXIST);
    }
    match Value::under(&SUBMIT_ERRORS, &key) {
        Some(errors) => add(errors.count(), 1),
        None => lose(Value::<SubmitLosses>::errors),
    }
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
