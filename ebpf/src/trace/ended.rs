//! The end of an address space: what exec and the last exit destroy without a call.

use aioinspect_ebpf::architecture::OF_FUNCTION;
use aioinspect_ebpf::shared::cgroups;
use aioinspect_ebpf::shared::iterator::{PF_EXITING, PF_KTHREAD};
use aioinspect_ebpf::shared::memory::read;
use aioinspect_ebpf::shared::registers::of_function;
use aioinspect_ebpf::shared::value::Value;
use aioinspect_ebpf::shared::who;
use aioinspect_ebpf::{EventKind, EventRecord, SpaceRecord, TracedKey, place};
use aya_ebpf::bindings::pt_regs;
use aya_ebpf::helpers::generated::{bpf_get_current_task, bpf_ktime_get_ns};

use crate::maps::{SPACES, TRACED, emit, reader};
use crate::traced;

/// Slots that one run forgets at most.
const AT_MOST: u32 = 32 * 1024;

/// The tracepoint exit_mmap: mm/mmap.c:exit_mmap, called when the last user of an address space is
/// gone, after fs/aio.c:exit_aio has destroyed its contexts, whether by exit or by exec
/// (kernel/fork.c:__mmput). Since 6.1.
// SAFETY: the section names the hook, the symbol is this program's own.
#[unsafe(link_section = "tp_btf/exit_mmap")]
#[unsafe(no_mangle)]
extern "C" fn space_ended(arguments: *const u64) -> i32 {
    // SAFETY: the tracepoint has one argument, the mm.
    space_ends(unsafe { *arguments });
    0
}

/// The same at the beginning of the function of that name.
// SAFETY: the section names the hook, the symbol is this program's own.
#[unsafe(link_section = "fentry/exit_mmap")]
#[unsafe(no_mangle)]
extern "C" fn fentry_exit_mmap(arguments: *const u64) -> i32 {
    // SAFETY: the function has one argument, the mm.
    space_ends(unsafe { *arguments });
    0
}

/// The same by a kprobe there.
// SAFETY: the section names the hook, the symbol is this program's own.
#[unsafe(link_section = "kprobe/exit_mmap")]
#[unsafe(no_mangle)]
extern "C" fn kprobe_exit_mmap(registers: *const pt_regs) -> i32 {
    // SAFETY: the context of a kprobe.
    space_ends(unsafe { of_function(registers, OF_FUNCTION) });
    0
}

/// Where none of these is to be had: a process ends or becomes another program. Whose contexts that
/// takes is for a census to find.
// SAFETY: the section names the hook, the symbol is this program's own.
#[unsafe(link_section = "tp_btf/sched_process_exit")]
#[unsafe(no_mangle)]
extern "C" fn process_exits(_arguments: *const u64) -> i32 {
    wake();
    0
}

// SAFETY: the section names the hook, the symbol is this program's own.
#[unsafe(link_section = "tp_btf/sched_process_exec")]
#[unsafe(no_mangle)]
extern "C" fn process_execs(_arguments: *const u64) -> i32 {
    wake();
    0
}

/// Has userspace look for address spaces that ended.
#[inline(always)]
fn wake() {
    // SAFETY: always allowed.
    let time = unsafe { bpf_ktime_get_ns() };
    emit(&EventRecord { time, kind: EventKind::Left as u32, ..NOTHING });
}

const NOTHING: EventRecord = EventRecord {
    time: 0,
    context: 0,
    entered_at: 0,
    value: 0,
    comm_low: 0,
    comm_high: 0,
    start_boottime: 0,
    cgroups: 0,
    kind: 0,
    tgid: 0,
    tid: 0,
    errno: 0,
    max_reqs: 0,
    count: 0,
    flags: 0,
    _pad: 0,
};

#[inline(always)]
fn space_ends(mm: u64) {
    let Some(space) = Value::under(&SPACES, &mm) else { return };
    // Nobody calls io_setup in an address space without users.
    let indexes = traced::used(space);
    // SAFETY: always allowed in a tracing program.
    let task = unsafe { bpf_get_current_task() };
    let kind = kind(task, read(task, place!(task_flags)), mm);
    let mut left_by = 0;
    // Whoever left last is who it was, under the name it has now.
    if !matches!(kind, EventKind::Gone)
        && let Some(reader) = reader()
        && let Some(who) = who::current(task, reader)
    {
        left_by = who.tid;
        space.tgid().set(who.tgid);
        space.comm_low().set(who.comm_low);
        space.comm_high().set(who.comm_high);
        space.start_boottime().set(who.start_boottime);
    }
    let contexts = forget_32k(space.mm().get(), 0, indexes);
    if indexes > AT_MOST {
        space.left_by().set(left_by);
        space.counted().set(contexts);
        space.swept().set(AT_MOST);
        space.ended().set(kind as u32);
        wake();
        return;
    }
    let cgroups = if left_by == 0 { 0 } else { cgroups::of_process(task) };
    tell(space, kind as u32, contexts, left_by, cgroups);
    let _ = SPACES.remove(&mm);
}

/// Goes on with an address space that has ended: forgets some of its indexes, and after the last of
/// them tells of it. False: there are more.
///
/// `end`: how it ended, if that was not seen.
#[inline(always)]
pub fn sweep(mm: u64, end: u32) -> bool {
    let Some(space) = Value::under(&SPACES, &mm) else { return true };
    if space.ended().get() == 0 {
        space.swept().set(0);
        space.counted().set(0);
        space.left_by().set(0);
        space.ended().set(end);
    }
    let (indexes, swept) = (traced::used(space), space.swept().get());
    let contexts = space.counted().get().wrapping_add(forget_32k(mm, swept, indexes));
    space.counted().set(contexts);
    space.swept().set(swept.wrapping_add(AT_MOST));
    if indexes > swept.wrapping_add(AT_MOST) {
        return false;
    }
    tell(space, space.ended().get(), contexts, space.left_by().get(), 0);
    let _ = SPACES.remove(&mm);
    true
}

// As the search through a table does it (table.rs): short loops, each verified once.
// SAFETY: nobody else has functions of these names.

/// Takes indexes out of the map, from `table_index` to before `indexes` or [`AT_MOST`] of them; how many held
/// a context.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn forget_32k(mm: u64, table_index: u32, indexes: u32) -> u32 {
    let mut held = 0u32;
    for step in 0..32 {
        let from = table_index.wrapping_add(step * 1024);
        if from >= indexes {
            break;
        }
        held = held.wrapping_add(forget_1k(mm, from, indexes));
    }
    held
}

/// The same, 1024 indexes.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn forget_1k(mm: u64, table_index: u32, indexes: u32) -> u32 {
    let mut held = 0u32;
    for step in 0..32 {
        let from = table_index.wrapping_add(step * 32);
        if from >= indexes {
            break;
        }
        held = held.wrapping_add(forget_32(mm, from, indexes));
    }
    held
}

/// The same, 32 indexes.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn forget_32(mm: u64, table_index: u32, indexes: u32) -> u32 {
    let mut held = 0u32;
    for step in 0..32 {
        let at = table_index.wrapping_add(step);
        if at >= indexes {
            break;
        }
        held = held.wrapping_add(forget_index(mm, at));
    }
    held
}

/// Takes one index out of the map; 1 if it held a context.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn forget_index(mm: u64, table_index: u32) -> u32 {
    let key = TracedKey { mm, table_index, _pad: 0 };
    let Some(entry) = Value::under(&TRACED, &key) else { return 0 };
    let held = u32::from(entry.kioctx().get() != 0);
    let _ = TRACED.remove(&key);
    held
}

#[inline(always)]
fn tell(space: Value<SpaceRecord>, kind: u32, contexts: u32, left_by: u32, cgroups: u64) {
    if contexts == 0 {
        return;
    }
    emit(&EventRecord {
        // SAFETY: always allowed.
        time: unsafe { bpf_ktime_get_ns() },
        comm_low: space.comm_low().get(),
        comm_high: space.comm_high().get(),
        start_boottime: space.start_boottime().get(),
        cgroups,
        kind,
        tgid: space.tgid().get(),
        tid: left_by,
        count: contexts,
        ..NOTHING
    });
}

/// Whether the thread that lets go of `mm` exits, or becomes another program, or is somebody who
/// only looked at it.
#[inline(always)]
fn kind(task: u64, flags: u32, mm: u64) -> EventKind {
    if flags & PF_KTHREAD != 0 {
        return EventKind::Gone;
    }
    if flags & PF_EXITING != 0 {
        return EventKind::Exit;
    }
    let own: u64 = read(task, place!(task_mm));
    // A new program's address space has no code yet (fs/exec.c:exec_mmap comes before
    // fs/binfmt_elf.c sets it).
    if own != 0 && own != mm && read::<u64>(own, place!(mm_start_code)) == 0 {
        return EventKind::Exec;
    }
    EventKind::Gone
}
