//! The inputs from userspace, and ids as it numbers them.

use aioinspect_ebpf::shared::memory::read;
use aioinspect_ebpf::shared::value::Value;
use aioinspect_ebpf::shared::who::{Reader, id, tgid_of};
use aioinspect_ebpf::{Control, place};

use crate::maps::{CONTROL, RING_CONTROL};

/// The inputs and the counts of this run of `census` or `waits`.
#[inline(always)]
pub fn control() -> Option<Value<Control>> {
    Value::of(&CONTROL, 0)
}

/// The same of `rings`.
#[inline(always)]
pub fn ring_control() -> Option<Value<Control>> {
    Value::of(&RING_CONTROL, 0)
}

/// The process id of a task in the PID namespace of whoever runs the iterator.
#[inline(always)]
pub fn tgid(task: u64, control: Value<Control>) -> u32 {
    if place!(signal_tgid).is_present() {
        return id_for_reader(tgid_of(task), control);
    }
    read(task, place!(task_tgid))
}

/// Its thread id, in the same way.
#[inline(always)]
pub fn tid(task: u64, control: Value<Control>) -> u32 {
    if place!(task_thread_pid).is_present() {
        return id_for_reader(read(task, place!(task_thread_pid)), control);
    }
    read(task, place!(task_pid))
}

/// The number of a `struct pid` at the reader's level.
#[inline(always)]
fn id_for_reader(pid: u64, control: Value<Control>) -> u32 {
    if control.level_plus_one().get() == 0 {
        control.level_plus_one().set(Reader::current().level_plus_one);
    }
    id(pid, control.level_plus_one().get().wrapping_sub(1))
}
