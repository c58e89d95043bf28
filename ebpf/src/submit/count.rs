//! One call of io_submit, counted at its end.

use core::arch::asm;
use core::ptr;

use aioinspect_ebpf::{SubmitErrorKey, SubmitErrors, SubmitRecord};

use crate::cgroups;
use crate::maps::{SUBMIT_ERRORS, SUBMITS, lose};
use crate::process::{self, Process};

const NOEXIST: u64 = 1;

/// io_submit(ctx, nr, ..) returns.
#[inline(always)]
pub fn submitted(nr: i64, answer: i64) {
    let Some(process) = process::current() else { return };
    let Some(record) = record_of(&process) else {
        lose(|losses| losses.calls = losses.calls.wrapping_add(1));
        return;
    };
    // SAFETY: a live map value.
    unsafe {
        add(&raw mut (*record).calls, 1);
        // A process may take another name, and by exec becomes another program.
        ptr::write_volatile(&raw mut (*record).comm_low, process.comm_low);
        ptr::write_volatile(&raw mut (*record).comm_high, process.comm_high);
        // It is in the same control groups as at its last call, as long as this is the same.
        if ptr::read_volatile(&raw const (*record).css_set) != process.css_set {
            ptr::write_volatile(&raw mut (*record).cgroups, cgroups::told(process.css_set));
            ptr::write_volatile(&raw mut (*record).css_set, process.css_set);
        }
    }
    if answer < 0 {
        // SAFETY: a live map value.
        unsafe { add(&raw mut (*record).errors, 1) };
        failed(&process, answer.wrapping_neg() as u32);
        return;
    }
    // SAFETY: a live map value.
    unsafe {
        add(&raw mut (*record).requests, answer as u64);
        if answer < nr {
            add(&raw mut (*record).short, 1);
        }
    }
}

/// The numbers of that process, new ones if it has none; `None` if there is no room.
#[inline(always)]
fn record_of(process: &Process) -> Option<*mut SubmitRecord> {
    if let Some(record) = SUBMITS.get_ptr_mut(&process.key) {
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
    SUBMITS.get_ptr_mut(&process.key)
}

#[inline(always)]
fn failed(process: &Process, errno: u32) {
    let key = SubmitErrorKey { start_boottime: process.key.start_boottime, tgid: process.key.tgid, errno };
    if SUBMIT_ERRORS.get_ptr_mut(&key).is_none() {
        // Another CPU may be quicker.
        let _ = SUBMIT_ERRORS.insert(&key, &SubmitErrors { count: 0 }, NOEXIST);
    }
    match SUBMIT_ERRORS.get_ptr_mut(&key) {
        // SAFETY: a live map value.
        Some(errors) => unsafe { add(&raw mut (*errors).count, 1) },
        None => lose(|losses| losses.errors = losses.errors.wrapping_add(1)),
    }
}

/// Adds without losing what another CPU adds.
///
/// # Safety
///
/// `counter` must be a member of a live map value.
#[inline(always)]
unsafe fn add(counter: *mut u64, amount: u64) {
    // SAFETY: by the contract above; a map value and its members are aligned. core has no atomic addition for this target.
    unsafe {
        asm!("lock *(u64 *)({counter} + 0) += {amount}", counter = in(reg) counter, amount = in(reg) amount);
    }
}
