//! The program `census`: every task, every address space once, every context.

use core::ffi::c_void;

use aioinspect_ebpf::{Control, Mode};
use aya_ebpf::bindings::task_struct;
use aya_log_ebpf::debug;

use crate::constants::place;
use crate::kernel::{read, read_comm};
use crate::maps::{CONTEXTS, CREDITS, MMS, TASKS};
use crate::percpu;
use crate::pointer::as_number;
use crate::reader::{control, tgid, tid};
use crate::table;

/// `PF_KTHREAD`: a kernel thread may borrow an mm, but lives in none.
const PF_KTHREAD: u32 = 0x0020_0000;

/// What a program on an iterator answers: go on to the next object.
pub const NEXT: i32 = 0;
/// Run it on the same object again. The read(2) that runs it ends with EAGAIN, and the next one begins here.
pub const AGAIN: i32 = 1;

/// What the kernel hands to a program on `iter/task`; a null task ends the walk.
#[repr(C)]
pub struct IterTask {
    meta: *const c_void,
    /// The task.
    pub task: *const task_struct,
}

struct Logger;
impl aya_ebpf::EbpfContext for Logger {
    fn as_ptr(&self) -> *mut c_void {
        core::ptr::null_mut()
    }
}

// SAFETY: the section names the hook, the symbol is this program's own.
#[unsafe(link_section = "iter/task")]
#[unsafe(no_mangle)]
extern "C" fn census(iter: *const IterTask) -> i32 {
    let Some(control) = control() else { return NEXT };
    // SAFETY: the kernel hands a valid context to every run.
    let task = as_number(&mut control.pointer, unsafe { (*iter).task });
    if control.mode == Mode::ThisCpu as u32 {
        if control.tasks == 0 {
            control.tasks = 1;
            percpu::measure_this(control);
        }
        return NEXT;
    }
    if control.walk_mm != 0 && control.walk_task != task {
        // The task through which a table was walked is gone, before the end of the table.
        close_walk(1);
    }
    if task == 0 {
        let (mms, contexts, tasks) = (control.mms, control.contexts, control.tasks);
        debug!(&Logger, "census: {} address spaces, {} contexts, {} threads", mms, contexts, tasks);
        return NEXT;
    }
    let flags: u32 = read(task, place!(task_flags));
    if flags & PF_KTHREAD != 0 {
        return NEXT;
    }
    let mm: u64 = read(task, place!(task_mm));
    if control.walk_mm != 0 && control.walk_mm != mm {
        // It has become another program meanwhile.
        close_walk(1);
    }
    if mm == 0 || !is_wanted(control, task, mm) {
        return NEXT;
    }
    if control.in_pieces != 0 && !has_room(control) {
        control.is_full = 1;
        return AGAIN;
    }
    if mm != control.last_mm {
        if !percpu::measure(control) {
            return AGAIN;
        }
        if control.walk_mm == 0 {
            begin(control, task, mm);
        }
        if !table::walk(control) {
            return AGAIN;
        }
        // The table and its contexts cannot be freed under us (RCU), but a task that left its mm makes them worthless.
        let mm_now: u64 = read(task, place!(task_mm));
        let table_now: u64 = read(mm, place!(mm_ioctx_table));
        let torn = mm_now != mm || table_now != control.walk_table;
        close_walk(u32::from(torn));
        control.last_mm = mm;
    }
    report_task(task, mm, flags);
    NEXT
}

/// Whether what one run may write fits: a step's contexts with the credits of their CPUs, one task, and of address spaces one at its end, one at the beginning of the next run, and one
/// at the end of the walk.
#[inline(always)]
fn has_room(control: &Control) -> bool {
    CONTEXTS.get_ptr(control.contexts.wrapping_add(table::STEPS - 1)).is_some()
        && CREDITS.get_ptr(control.credits.wrapping_add(table::STEPS * percpu::SUMMED_AT_ONCE - 1)).is_some()
        && MMS.get_ptr(control.mms.wrapping_add(2)).is_some()
        && TASKS.get_ptr(control.tasks).is_some()
}

/// Whether the order asks for this task and its mm.
#[inline(always)]
fn is_wanted(control: &mut Control, task: u64, mm: u64) -> bool {
    if control.mode == Mode::All as u32 {
        return read::<u64>(mm, place!(mm_ioctx_table)) != 0;
    }
    if control.mode == Mode::OneMm as u32 {
        return mm == control.mm;
    }
    tgid(task, control) == control.tgid
}

#[inline(always)]
fn begin(control: &mut Control, task: u64, mm: u64) {
    control.walk_mm = mm;
    control.walk_task = task;
    control.walk_table = read(mm, place!(mm_ioctx_table));
    control.walk_index = 0;
    control.walk_found = 0;
    control.walk_cpu = 0;
    control.walk_available = 0;
    control.walk_refs = 0;
}

/// Ends the walk of a table with the record of its mm; `torn`: 1 if it proves nothing.
// SAFETY: nobody else has a function of this name. The verifier checks it once, whoever calls it.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn close_walk(torn: u32) -> u32 {
    let Some(control) = control() else { return 0 };
    let mm = control.walk_mm;
    let position = control.mms;
    control.mms = position.wrapping_add(1);
    control.walk_mm = 0;
    let Some(record) = MMS.get_ptr_mut(position) else { return 0 };
    // SAFETY: a live map value that nobody else writes during this run.
    let record = unsafe { &mut *record };
    record.mm = mm;
    record.brk = read(mm, place!(mm_brk));
    record.flags = read(mm, place!(mm_flags));
    record.lock_seq = read(mm, place!(mm_lock_seq));
    record.map_count = read(mm, place!(mm_map_count));
    record.table_slots = if control.walk_table == 0 { 0 } else { read(control.walk_table, place!(table_nr)) };
    record.torn = torn;
    record.contexts = control.walk_found;
    record._pad = 0;
    0
}

/// Writes the record of a thread.
// SAFETY: nobody else has a function of this name. The verifier checks it once, whoever calls it.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn report_task(task: u64, mm: u64, flags: u32) -> u32 {
    let Some(control) = control() else { return 0 };
    let position = control.tasks;
    control.tasks = position.wrapping_add(1);
    let Some(record) = TASKS.get_ptr_mut(position) else { return 0 };
    // SAFETY: a live map value that nobody else writes during this run.
    let record = unsafe { &mut *record };
    record.mm = mm;
    record.start_boottime = read(task, place!(task_start_boottime));
    record.voluntary_switches = read(task, place!(task_nvcsw));
    record.involuntary_switches = read(task, place!(task_nivcsw));
    record.runtime = read(task, place!(task_sum_exec_runtime));
    record.on_cpu = read(task, place!(task_on_cpu));
    record.state = read(task, place!(task_state));
    record.tid = tid(task, control);
    record.tgid = tgid(task, control);
    let leader = leader_of(task);
    record.leader_start_boottime = read(leader, place!(task_start_boottime));
    record.leader_exit_state = read(leader, place!(task_exit_state));
    (record.comm_low, record.comm_high) = read_comm(leader, place!(task_comm));
    record.flags = flags;
    record.css_set = read(task, place!(task_cgroups));
    0
}

/// The first thread of a task's process; the task itself where this kernel does not say.
#[inline(always)]
pub fn leader_of(task: u64) -> u64 {
    let leader: u64 = read(task, place!(task_group_leader));
    if leader == 0 { task } else { leader }
}
