//! The program `census`: every task, every address space once, every context.

use aioinspect_ebpf::shared::iterator::{AGAIN, IterTask, Logger, NEXT, PF_KTHREAD};
use aioinspect_ebpf::shared::value::Value;
use aioinspect_ebpf::shared::who::leader_of;
use aioinspect_ebpf::{Control, Mode, place};
use aya_log_ebpf::debug;

use crate::control::{control, tgid, tid};
use crate::maps::{CONTEXTS, CREDITS, MMS, TASKS};
use crate::percpu;
use crate::table;
use aioinspect_ebpf::shared::memory::{read, read_comm};
use aioinspect_ebpf::shared::pointer::as_number;

// SAFETY: the section names the hook, the symbol is this program's own.
#[unsafe(link_section = "iter/task")]
#[unsafe(no_mangle)]
extern "C" fn census(iter: *const IterTask) -> i32 {
    let Some(control) = control() else { return NEXT };
    // SAFETY: the kernel hands a valid context to every run.
    let task = as_number(control.pointer(), unsafe { (*iter).task });
    if control.mode().get() == Mode::ThisCpu as u32 {
        if control.tasks().get() == 0 {
            control.tasks().set(1);
            percpu::measure_this(control);
        }
        return NEXT;
    }
    if control.walk_mm().get() != 0 && control.walk_task().get() != task {
        // The task through which a table was walked is gone, before the end of the table.
        close_walk(1);
    }
    if task == 0 {
        let (mms, contexts, tasks) = (control.mms().get(), control.contexts().get(), control.tasks().get());
        debug!(&Logger, "census: {} address spaces, {} contexts, {} threads", mms, contexts, tasks);
        return NEXT;
    }
    let flags: u32 = read(task, place!(task_flags));
    if flags & PF_KTHREAD != 0 {
        return NEXT;
    }
    let mm: u64 = read(task, place!(task_mm));
    if control.walk_mm().get() != 0 && control.walk_mm().get() != mm {
        // It has become another program meanwhile.
        close_walk(1);
    }
    if mm == 0 || !is_wanted(control, task, mm) {
        return NEXT;
    }
    if control.in_pieces().get() != 0 && !has_room(control) {
        control.is_full().set(1);
        return AGAIN;
    }
    if mm != control.last_mm().get() {
        if !percpu::measure(control) {
            return AGAIN;
        }
        if control.walk_mm().get() == 0 {
            begin(control, task, mm);
        }
        if !table::walk(control) {
            return AGAIN;
        }
        // The table and its contexts cannot be freed under us (RCU), but a task that left its mm
        // makes them worthless.
        let mm_now: u64 = read(task, place!(task_mm));
        let table_now: u64 = read(mm, place!(mm_ioctx_table));
        let torn = mm_now != mm || table_now != control.walk_table().get();
        close_walk(u32::from(torn));
        control.last_mm().set(mm);
    }
    report_task(task, mm, flags);
    NEXT
}

/// Whether what one run may write fits: a step's contexts with the credits of their CPUs, one task,
/// and of address spaces one at its end, one at the beginning of the next run, and one at the end
/// of the walk.
#[inline(always)]
fn has_room(control: Value<Control>) -> bool {
    CONTEXTS.get_ptr(control.contexts().get().wrapping_add(table::STEPS - 1)).is_some()
        && CREDITS
            .get_ptr(control.credits().get().wrapping_add(table::STEPS * percpu::SUMMED_AT_ONCE - 1))
            .is_some()
        && MMS.get_ptr(control.mms().get().wrapping_add(2)).is_some()
        && TASKS.get_ptr(control.tasks().get()).is_some()
}

/// Whether this run is to read this task and its mm.
#[inline(always)]
fn is_wanted(control: Value<Control>, task: u64, mm: u64) -> bool {
    if control.mode().get() == Mode::All as u32 {
        return read::<u64>(mm, place!(mm_ioctx_table)) != 0;
    }
    if control.mode().get() == Mode::OneMm as u32 {
        return mm == control.mm().get();
    }
    tgid(task, control) == control.tgid().get()
}

#[inline(always)]
fn begin(control: Value<Control>, task: u64, mm: u64) {
    control.walk_mm().set(mm);
    control.walk_task().set(task);
    control.walk_table().set(read(mm, place!(mm_ioctx_table)));
    control.walk_index().set(0);
    control.walk_found().set(0);
    control.walk_cpu().set(0);
    control.walk_available().set(0);
    control.walk_refs().set(0);
}

/// Ends the walk of a table with the record of its mm; `torn`: 1 if it proves nothing.
// SAFETY: nobody else has a function of this name. The verifier checks it once, whoever calls it.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn close_walk(torn: u32) -> u32 {
    let Some(control) = control() else { return 0 };
    let mm = control.walk_mm().get();
    let position = control.mms().count();
    control.walk_mm().set(0);
    let Some(record) = Value::of(&MMS, position) else { return 0 };
    record.mm().set(mm);
    record.brk().set(read(mm, place!(mm_brk)));
    record.flags().set(read(mm, place!(mm_flags)));
    record.lock_seq().set(read(mm, place!(mm_lock_seq)));
    record.map_count().set(read(mm, place!(mm_map_count)));
    let table = control.walk_table().get();
    record.table_nr().set(if table == 0 { 0 } else { read(table, place!(table_nr)) });
    record.torn().set(torn);
    record.contexts().set(control.walk_found().get());
    record._pad().set(0);
    0
}

/// Writes the record of a thread.
// SAFETY: nobody else has a function of this name. The verifier checks it once, whoever calls it.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn report_task(task: u64, mm: u64, flags: u32) -> u32 {
    let Some(control) = control() else { return 0 };
    let position = control.tasks().count();
    let Some(record) = Value::of(&TASKS, position) else { return 0 };
    record.mm().set(mm);
    record.start_boottime().set(read(task, place!(task_start_boottime)));
    record.voluntary_switches().set(read(task, place!(task_nvcsw)));
    record.involuntary_switches().set(read(task, place!(task_nivcsw)));
    record.runtime().set(read(task, place!(task_sum_exec_runtime)));
    record.on_cpu().set(read(task, place!(task_on_cpu)));
    record.state().set(read(task, place!(task_state)));
    record.tid().set(tid(task, control));
    record.tgid().set(tgid(task, control));
    let leader = leader_of(task);
    record.leader_start_boottime().set(read(leader, place!(task_start_boottime)));
    record.leader_exit_state().set(read(leader, place!(task_exit_state)));
    let (comm_low, comm_high) = read_comm(leader, place!(task_comm));
    record.comm_low().set(comm_low);
    record.comm_high().set(comm_high);
    record.flags().set(flags);
    record.css_set().set(read(task, place!(task_cgroups)));
    0
}
