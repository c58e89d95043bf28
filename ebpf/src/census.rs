//! The program `census`: every task, every address space once, every context.

use core::ffi::c_void;

use aioinspect_ebpf::{Control, Mode};
use aya_ebpf::bindings::task_struct;
use aya_log_ebpf::debug;

use crate::constants::offset;
use crate::context::report_table;
use crate::kernel::{follow, load, read};
use crate::maps::{MMS, TASKS};
use crate::percpu;
use crate::reader::{control, id_for_reader};

/// `PF_KTHREAD`: a kernel thread may borrow an mm, but lives in none.
const PF_KTHREAD: u32 = 0x0020_0000;

/// What the kernel hands to a program on `iter/task`; a null task ends the walk.
#[repr(C)]
pub struct IterTask {
    meta: *const c_void,
    task: *const task_struct,
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
    // SAFETY: the kernel hands a valid context to every run.
    let task = unsafe { (*iter).task };
    if task.is_null() {
        report_end();
        return 0;
    }
    // SAFETY: `task` comes from the context.
    let flags: u32 = unsafe { load(task, offset!(task_flags)) };
    if flags & PF_KTHREAD != 0 {
        return 0;
    }
    // The one pointer that is loaded from `task` itself: for each of them the verifier searches all of vmlinux's BTF for the names of
    // trusted types, up to four times (kernel/bpf/verifier.c:check_ptr_to_btf_access), which was a third of the CPU time of a whole `list`.
    // SAFETY: `task` comes from the context.
    let mm = unsafe { follow(task, offset!(task_mm)) };
    if mm.is_null() {
        return 0;
    }
    let Some(control) = control() else { return 0 };
    if control.mode == Mode::All as u32 {
        // SAFETY: `mm` comes from the context.
        if unsafe { follow(mm, offset!(mm_ioctx_table)) }.is_null() {
            return 0;
        }
    } else if control.mode == Mode::OneMm as u32 {
        if mm as u64 != control.mm {
            return 0;
        }
    } else if tgid(task as u64, control) != control.tgid {
        return 0;
    }
    percpu::measure(control);
    if mm as u64 != control.last_mm {
        control.last_mm = mm as u64;
        report_mm(task as u64, mm, control);
    }
    report_task(task, mm as u64, flags, control);
    0
}

/// The walk is over: what it found, for those who debug it.
#[inline(always)]
fn report_end() {
    if let Some(control) = control() {
        let (mms, contexts, tasks) = (control.mms, control.contexts, control.tasks);
        debug!(&Logger, "census: {} address spaces, {} contexts, {} threads", mms, contexts, tasks);
    }
}

/// The process id of the task at that address, in the reader's PID namespace.
#[inline(always)]
fn tgid(task: u64, control: &mut Control) -> u32 {
    let signal: u64 = read(task, offset!(task_signal));
    id_for_reader(read(signal, offset!(signal_tgid)), control)
}

#[inline(always)]
fn report_mm(task: u64, mm: *const c_void, control: &mut Control) {
    // The table's address as a number, which the walk may calculate with; the verifier lets no one do that with a pointer it knows.
    let table: u64 = read(mm as u64, offset!(mm_ioctx_table));
    let slots: u32 = if table == 0 { 0 } else { read(table, offset!(table_nr)) };
    let contexts = if slots == 0 { 0 } else { report_table(mm as u64, table, slots) };
    // The table and its contexts cannot be freed under us (RCU), but a task that left its mm makes them worthless.
    let mm_now: u64 = read(task, offset!(task_mm));
    // SAFETY: `mm` comes from the context.
    let table_now = unsafe { follow(mm, offset!(mm_ioctx_table)) };
    let torn = mm_now != mm as u64 || table_now as u64 != table;
    let position = control.mms;
    control.mms = position.wrapping_add(1);
    if torn {
        debug!(&Logger, "census: an address space was left while its {} slots were read", slots);
    }
    let Some(record) = MMS.get_ptr_mut(position) else { return };
    // SAFETY: a live map value that nobody else writes during this run.
    let record = unsafe { &mut *record };
    record.mm = mm as u64;
    // SAFETY: `mm` comes from the context.
    unsafe {
        record.brk = load(mm, offset!(mm_brk));
        record.flags = load(mm, offset!(mm_flags));
        record.lock_seq = if offset!(mm_lock_seq) == u32::MAX { 0 } else { load(mm, offset!(mm_lock_seq)) };
        record.map_count = load(mm, offset!(mm_map_count));
    }
    record.table_slots = slots;
    record.torn = u32::from(torn);
    record.contexts = contexts;
    record._pad = 0;
}

#[inline(always)]
fn report_task(task: *const task_struct, mm: u64, flags: u32, control: &mut Control) {
    let position = control.tasks;
    control.tasks = position.wrapping_add(1);
    let Some(record) = TASKS.get_ptr_mut(position) else { return };
    // SAFETY: a live map value that nobody else writes during this run.
    let record = unsafe { &mut *record };
    record.mm = mm;
    // SAFETY: `task` comes from the context.
    unsafe {
        record.start_boottime = load(task, offset!(task_start_boottime));
        record.voluntary_switches = load(task, offset!(task_nvcsw));
        record.involuntary_switches = load(task, offset!(task_nivcsw));
        record.runtime = load(task, offset!(task_sum_exec_runtime));
        record.on_cpu = load(task, offset!(task_on_cpu));
        record.state = load(task, offset!(task_state));
    }
    let at = task as u64;
    let leader: u64 = read(at, offset!(task_group_leader));
    record.tid = id_for_reader(read(at, offset!(task_thread_pid)), control);
    if leader == at {
        record.leader_start_boottime = record.start_boottime;
        // SAFETY: `task` comes from the context.
        record.leader_exit_state = unsafe { load(task, offset!(task_exit_state)) };
        record.tgid = record.tid;
    } else {
        record.leader_start_boottime = read(leader, offset!(task_start_boottime));
        record.leader_exit_state = read(leader, offset!(task_exit_state));
        record.tgid = tgid(at, control);
    }
    let [low, high] = read::<[u64; 2]>(leader, offset!(task_comm));
    record.comm_low = low;
    record.comm_high = high;
    record.flags = flags;
    record.css_set = if offset!(task_cgroups) == u32::MAX { 0 } else { read(at, offset!(task_cgroups)) };
}
