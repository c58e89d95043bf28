//! The program `heads`: the header of every ring, read from the memory of its process.
//!
//! It may sleep, so it reads what is not in memory at the moment too, and it needs no privilege of whoever runs it: a watch has given
//! up all of its own by then.
//!
//! It goes by the kernel's tables, not by the map of contexts: a look-up in that for each of ten thousand is more than a third of its time.
//! Because it may sleep, a table or a context can be freed under it (fs/aio.c:kill_ioctx waits for RCU, and RCU does not wait for this).
//! Then it reads from some address of the process's that no context of a census has, and nobody asks for that.

use core::ffi::c_void;

use aya_ebpf::bindings::task_struct;
use aya_ebpf::helpers::generated::bpf_copy_from_user_task;

use crate::constants::place;
use crate::kernel::{as_number, read};
use crate::maps::{HEADS, control};
use crate::settle::{AGAIN, IterTask, NEXT};
use crate::table::{AT_ONCE, Table, user_id};
use crate::turns::{AT_MOST, repeat};

/// `PF_KTHREAD`.
const PF_KTHREAD: u32 = 0x0020_0000;

#[repr(C)]
struct Walk {
    task: *const task_struct,
    mm: u64,
    table: Table,
    /// The first slot of this walk.
    first: u32,
    _pad: u32,
}

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
    let at = as_number(&mut control.pointer, task);
    if read::<u32>(at, place!(task_flags)) & PF_KTHREAD != 0 {
        return NEXT;
    }
    let mm: u64 = read(at, place!(task_mm));
    if mm == 0 || mm == control.last_mm {
        return NEXT;
    }
    let table = Table::of(mm);
    let first = if control.walk_task == at { control.walk_slot } else { 0 };
    if table.slots > first {
        let mut walk = Walk { task, mm, table, first, _pad: 0 };
        let turns = table.slots.wrapping_sub(first).wrapping_add(AT_ONCE - 1) / AT_ONCE;
        repeat!(turns, read_some, walk);
        if turns > AT_MOST {
            control.walk_task = at;
            control.walk_slot = first.wrapping_add(AT_MOST.wrapping_mul(AT_ONCE));
            return AGAIN;
        }
    }
    control.last_mm = mm;
    NEXT
}

#[inline(always)]
extern "C" fn read_some(turn: u64, walk: *mut c_void) -> i64 {
    // SAFETY: the pointer that `heads` gave.
    let walk = unsafe { &mut *walk.cast::<Walk>() };
    let first = walk.first.wrapping_add((turn as u32).wrapping_mul(AT_ONCE));
    for (step, kioctx) in walk.table.some(first).into_iter().enumerate() {
        if kioctx != 0 && first.wrapping_add(step as u32) < walk.table.slots && !read_one(walk, kioctx) {
            return 1;
        }
    }
    0
}

/// False if there is no room left.
#[inline(always)]
fn read_one(walk: &Walk, kioctx: u64) -> bool {
    let Some(control) = control() else { return false };
    let position = control.heads;
    control.heads = position.wrapping_add(1);
    let Some(record) = HEADS.get_ptr_mut(position) else { return false };
    // A context that is being destroyed may be gone while this reads it: then its address is none of those that a census finds.
    let address = user_id(kioctx);
    // SAFETY: a live map value with room for 32 bytes; the helper checks the source, and the verifier the task.
    unsafe {
        (*record).mm = walk.mm;
        (*record).address = address;
        let header = (&raw mut (*record).header).cast::<c_void>();
        let answer =
            bpf_copy_from_user_task(header, 32, address as *const c_void, walk.task.cast_mut().cast(), 0);
        (*record).answer = answer as i32;
    }
    true
}
