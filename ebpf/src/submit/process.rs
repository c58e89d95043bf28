//! Which process calls: its number as the reader's PID namespace has it, when it began, and its
//! name.

use aioinspect_ebpf::shared::memory::read;
use aioinspect_ebpf::shared::who::{Reader, Who, current_tgid, leader_of, named};
use aioinspect_ebpf::{SubmitKey, place};
use aya_ebpf::helpers::generated::bpf_get_current_task;

use crate::maps::control;

/// A process that calls io_submit.
pub struct Process {
    pub key: SubmitKey,
    pub comm_low: u64,
    pub comm_high: u64,
    /// Its css_set.
    pub css_set: u64,
}

/// The one whose thread runs; `None` if the reader's PID namespace does not hold it.
#[inline(always)]
pub fn current() -> Option<Process> {
    // SAFETY: always allowed in a tracing program.
    let task = unsafe { bpf_get_current_task() };
    let control = control()?;
    let reader = Reader { level_plus_one: control.level_plus_one().get(), ns: control.reader_ns().get() };
    let Who { tgid, comm_low, comm_high, start_boottime, .. } = named(task, current_tgid(task, reader)?, 0);
    let css_set = read(leader_of(task), place!(task_cgroups));
    Some(Process { key: SubmitKey { start_boottime, tgid, _pad: 0 }, comm_low, comm_high, css_set })
}
