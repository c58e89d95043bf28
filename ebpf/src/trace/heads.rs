//! The program `heads`: the header of every ring, read from the memory of its process.
//!
//! It may sleep, so it reads what is not in memory at the moment too, and it needs no privilege of
//! whoever runs it: a watch has given up all of its own by then.
//!
//! It goes by the kernel's tables, not by the map of contexts: a look-up in that for each of ten
//! thousand is more than a third of its time. Because it may sleep, a table or a context can be
//! freed under it (fs/aio.c:kill_ioctx waits for RCU, and RCU does not wait for this). Then it
//! reads from some address of the process's that no context of a census has, and nobody asks for
//! that.

use core::ffi::c_void;

use aioinspect_ebpf::place;
use aioinspect_ebpf::shared::iterator::{AGAIN, IterTask, NEXT, PF_KTHREAD};
use aioinspect_ebpf::shared::memory::read;
use aioinspect_ebpf::shared::pointer::as_number;
use aioinspect_ebpf::shared::value::Value;
use aya_ebpf::bindings::task_struct;
use aya_ebpf::helpers::generated::bpf_copy_from_user_task;

use crate::maps::{HEADS, control};
use crate::table::{Table, user_id};

/// Slots in one run: the program is run on the same task again until it has been through its table.
const STEPS: u32 = 32;

// SAFETY: the section names the hook, the symbol is this program's own.
#[unsafe(link_section = "iter.s/task")]
#[unsafe(no_mangle)]
extern "C" fn heads(iter: *const IterTask) -> i32 {
    // SAFETY: the kernel hands a valid context to every run.
    let task = unsafe { (*iter).task };
    if task.is_null() {
        return NEXT;
    }
    let Some(control) = control() else { return NEXT };
    let at = as_number(control.pointer(), task);
    if read::<u32>(at, place!(task_flags)) & PF_KTHREAD != 0 {
        return NEXT;
    }
    let mm: u64 = read(at, place!(task_mm));
    if mm == 0 || mm == control.last_mm().get() {
        return NEXT;
    }
    let table = Table::of(mm);
    let first = if control.walk_task().get() == at { control.walk_index().get() } else { 0 };
    if table.indexes > first {
        if HEADS.get_ptr(control.heads().get().wrapping_add(STEPS - 1)).is_none() {
            control.is_full().set(1);
            return AGAIN;
        }
        for step in 0..STEPS {
            let table_index = first.wrapping_add(step);
            if table_index >= table.indexes {
                break;
            }
            let kioctx = table.at(table_index);
            if kioctx != 0 {
                read_one(task, mm, kioctx);
            }
        }
        if table.indexes > first.wrapping_add(STEPS) {
            control.walk_task().set(at);
            control.walk_index().set(first.wrapping_add(STEPS));
            return AGAIN;
        }
    }
    control.last_mm().set(mm);
    NEXT
}

#[inline(always)]
fn read_one(task: *const task_struct, mm: u64, kioctx: u64) {
    let Some(control) = control() else { return };
    let position = control.heads().get();
    let Some(record) = Value::of(&HEADS, position) else { return };
    control.heads().set(position.wrapping_add(1));
    // A context that is being destroyed may be gone while this reads it: then its address is none
    // of those that a census finds.
    let address = user_id(kioctx);
    record.mm().set(mm);
    record.address().set(address);
    let header = record.header().as_ptr().cast::<c_void>();
    // SAFETY: room for 32 bytes, from this member on; the helper checks the source, and the
    // verifier the task.
    let answer =
        unsafe { bpf_copy_from_user_task(header, 32, address as *const c_void, task.cast_mut().cast(), 0) };
    record.answer().set(answer as i32);
}
