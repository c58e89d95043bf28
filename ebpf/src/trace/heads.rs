//! The program `heads`: the header of every ring, read from the memory of its process.
//!
//! It may sleep, so it reads what is not in memory at the moment too, and it needs no privilege of whoever runs it: a watch has given
//! up all of its own by then.

use core::ffi::c_void;

use aioinspect_ebpf::SlotKey;
use aya_ebpf::bindings::task_struct;
use aya_ebpf::helpers::generated::{bpf_copy_from_user_task, bpf_loop};

use crate::constants::offset;
use crate::kernel::{follow, load};
use crate::maps::{HEADS, SPACES, TRACED, control};
use crate::settle::IterTask;
use crate::{slots, table};

/// `PF_KTHREAD`.
const PF_KTHREAD: u32 = 0x0020_0000;

#[repr(C)]
struct Walk {
    task: *const task_struct,
    mm: u64,
}

// SAFETY: the section names the hook, the symbol is this program's own.
#[unsafe(link_section = "iter.s/task")]
#[unsafe(no_mangle)]
extern "C" fn heads(iter: *const IterTask) -> i32 {
    // SAFETY: the kernel hands a valid context to every run.
    let task = unsafe { (*iter).task };
    if task.is_null() {
        return 0;
    }
    // SAFETY: `task` comes from the context.
    let flags: u32 = unsafe { load(task, offset!(task_flags)) };
    if flags & PF_KTHREAD != 0 {
        return 0;
    }
    // SAFETY: `task` comes from the context.
    let mm = unsafe { follow(task, offset!(task_mm)) } as u64;
    let Some(control) = control() else { return 0 };
    if mm == 0 || mm == control.last_mm {
        return 0;
    }
    control.last_mm = mm;
    let Some(space) = SPACES.get_ptr(&mm) else { return 0 };
    // SAFETY: a live map value.
    let slots = unsafe { slots::used(space) };
    let mut walk = Walk { task, mm };
    // SAFETY: the callback has the signature that bpf_loop calls, and `walk` outlives the call.
    unsafe { bpf_loop(slots, read_one as *mut c_void, (&raw mut walk).cast(), 0) };
    0
}

extern "C" fn read_one(slot: u64, walk: *mut c_void) -> i64 {
    // SAFETY: bpf_loop hands back the pointer that `heads` gave it.
    let walk = unsafe { &mut *walk.cast::<Walk>() };
    let Some(entry) = TRACED.get_ptr(&SlotKey { mm: walk.mm, slot: slot as u32, _pad: 0 }) else { return 0 };
    // SAFETY: a live map value.
    let kioctx = unsafe { core::ptr::read_volatile(&raw const (*entry).kioctx) };
    if kioctx == 0 {
        return 0;
    }
    let Some(control) = control() else { return 1 };
    let position = control.heads;
    control.heads = position.wrapping_add(1);
    let Some(record) = HEADS.get_ptr_mut(position) else { return 1 };
    // A context that is being destroyed may be gone while this reads it: then its address is none of those that a census finds.
    let address = table::user_id(kioctx);
    // SAFETY: a live map value with room for 32 bytes; the helper checks the source, and the verifier the task.
    unsafe {
        (*record).mm = walk.mm;
        (*record).address = address;
        let header = (&raw mut (*record).header).cast::<c_void>();
        let answer =
            bpf_copy_from_user_task(header, 32, address as *const c_void, walk.task.cast_mut().cast(), 0);
        (*record).answer = answer as i32;
    }
    0
}
