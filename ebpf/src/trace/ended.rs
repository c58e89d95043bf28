//! The end of an address space: what exec and the last exit destroy without a call.

use core::ffi::c_void;

use aioinspect_ebpf::{EventKind, EventRecord, SlotKey, SpaceRecord};
use aya_ebpf::helpers::generated::{bpf_get_current_task, bpf_ktime_get_ns, bpf_loop};

use crate::constants::offset;
use crate::kernel::read;
use crate::maps::{SPACES, TRACED, emit};
use crate::slots;
use crate::who;

/// `PF_EXITING`.
const PF_EXITING: u32 = 4;
/// `PF_KTHREAD`.
const PF_KTHREAD: u32 = 0x0020_0000;

#[repr(C)]
struct Sweep {
    mm: u64,
    contexts: u32,
    _pad: u32,
}

/// The tracepoint exit_mmap: mm/mmap.c:exit_mmap, called when the last user of an address space is gone, after
/// fs/aio.c:exit_aio has destroyed its contexts, whether by exit or by exec (kernel/fork.c:__mmput).
// SAFETY: the section names the hook, the symbol is this program's own.
#[unsafe(link_section = "tp_btf/exit_mmap")]
#[unsafe(no_mangle)]
extern "C" fn space_ended(arguments: *const u64) -> i32 {
    // SAFETY: the tracepoint has one argument, the mm.
    let mm = unsafe { *arguments };
    let Some(space) = SPACES.get_ptr(&mm) else { return 0 };
    // SAFETY: a live map value; nobody calls io_setup in an address space without users.
    let (slots, space) = unsafe { (slots::used(space), *space) };
    // SAFETY: always allowed.
    let time = unsafe { bpf_ktime_get_ns() };
    // Counted from a number that the verifier does not know: from one it knows, it would follow the loop turn by turn.
    let start = time as u32;
    let mut sweep = Sweep { mm, contexts: start, _pad: 0 };
    // SAFETY: the callback has the signature that bpf_loop calls, and `sweep` outlives the call.
    unsafe { bpf_loop(slots, forget as *mut c_void, (&raw mut sweep).cast(), 0) };
    let _ = SPACES.remove(&mm);
    let contexts = sweep.contexts.wrapping_sub(start);
    if contexts != 0 {
        tell(mm, &space, contexts, time);
    }
    0
}

extern "C" fn forget(slot: u64, sweep: *mut c_void) -> i64 {
    // SAFETY: bpf_loop hands back the pointer that `space_ended` gave it.
    let sweep = unsafe { &mut *sweep.cast::<Sweep>() };
    let key = SlotKey { mm: sweep.mm, slot: slot as u32, _pad: 0 };
    let Some(entry) = TRACED.get_ptr(&key) else { return 0 };
    // SAFETY: a live map value.
    if unsafe { (*entry).kioctx } != 0 {
        sweep.contexts = sweep.contexts.wrapping_add(1);
    }
    let _ = TRACED.remove(&key);
    0
}

#[inline(always)]
fn tell(mm: u64, space: &SpaceRecord, contexts: u32, time: u64) {
    // SAFETY: always allowed in a tracing program.
    let task = unsafe { bpf_get_current_task() };
    let flags: u32 = read(task, offset!(task_flags));
    let kind = kind(task, flags, mm);
    let mut event = EventRecord {
        time,
        context: 0,
        entered_at: 0,
        value: 0,
        comm_low: space.comm_low,
        comm_high: space.comm_high,
        start_boottime: space.start_boottime,
        kind: kind as u32,
        tgid: space.tgid,
        tid: 0,
        errno: 0,
        max_reqs: 0,
        count: contexts,
        flags: 0,
        _pad: 0,
    };
    // Whoever left last is who it was, under the name it has now.
    if !matches!(kind, EventKind::Gone)
        && let Some(who) = who::current(task)
    {
        event.tgid = who.tgid;
        event.tid = who.tid;
        event.comm_low = who.comm_low;
        event.comm_high = who.comm_high;
        event.start_boottime = who.start_boottime;
    }
    emit(&event);
}

/// Whether the thread that lets go of `mm` exits, or becomes another program, or is somebody who only looked at it.
#[inline(always)]
fn kind(task: u64, flags: u32, mm: u64) -> EventKind {
    if flags & PF_KTHREAD != 0 {
        return EventKind::Gone;
    }
    if flags & PF_EXITING != 0 {
        return EventKind::Exit;
    }
    let own: u64 = read(task, offset!(task_mm));
    // A new program's address space has no code yet (fs/exec.c:exec_mmap comes before fs/binfmt_elf.c sets it).
    if own != 0 && own != mm && read::<u64>(own, offset!(mm_start_code)) == 0 {
        return EventKind::Exec;
    }
    EventKind::Gone
}
