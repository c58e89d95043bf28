//! Where the end of an address space is seen, which takes its contexts with it: the quickest that this kernel takes, found by trying.

use crate::bpf::attach::kprobe_event;
use crate::bpf::call::ProgramKind;
use crate::bpf::embedded::Prepared;
use crate::bpf::error::ProbeError;
use crate::bpf::kprobe_pmu;
use crate::trace::hook::{Attached, lacks, not_here};
use aioinspect_parse::kernel::hook_ids::HookIds;

/// One place where it can be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpaceEnd {
    /// The tracepoint exit_mmap, since 6.1.
    Tracepoint,
    /// A trampoline on the function mm/mmap.c:exit_mmap.
    Fentry,
    /// A kprobe on it.
    Kprobe,
    /// The ends of processes alone: a census finds which address spaces went with them, a moment later.
    Processes,
}

impl SpaceEnd {
    /// All of them, in the order in which they are tried.
    pub const ALL: [SpaceEnd; 4] =
        [SpaceEnd::Tracepoint, SpaceEnd::Fentry, SpaceEnd::Kprobe, SpaceEnd::Processes];

    /// Its name in diagnostics.
    fn name(self) -> &'static str {
        match self {
            SpaceEnd::Tracepoint => "tracepoint exit_mmap",
            SpaceEnd::Fentry => "fentry exit_mmap",
            SpaceEnd::Kprobe => "kprobe exit_mmap",
            SpaceEnd::Processes => "sched_process_exit and sched_process_exec",
        }
    }
}

/// Attaches the first of `wanted`, or of all. `tried` gets a line for each that this kernel does not take.
pub(super) fn attach(
    attached: &mut Attached,
    prepared: &Prepared,
    ids: &HookIds,
    wanted: Option<SpaceEnd>,
    tried: &mut Vec<String>,
) -> Result<SpaceEnd, ProbeError> {
    let mut last = None;
    for end in SpaceEnd::ALL.into_iter().filter(|end| wanted.is_none_or(|wanted| wanted == *end)) {
        match attach_one(attached, prepared, ids, end) {
            Ok(()) => return Ok(end),
            Err(error) => {
                tried.push(format!("end of an address space by {}: {error}", end.name()));
                last = Some(error);
            }
        }
    }
    Err(last.unwrap_or_else(|| lacks("a hook at the end of an address space")))
}

fn attach_one(
    attached: &mut Attached,
    prepared: &Prepared,
    ids: &HookIds,
    end: SpaceEnd,
) -> Result<(), ProbeError> {
    match end {
        SpaceEnd::Tracepoint => {
            let id = ids.exit_mmap.ok_or_else(|| lacks("the tracepoint exit_mmap"))?;
            attached.add_traced(prepared, "space_ended", ProgramKind::RawTracepoint(id))
        }
        SpaceEnd::Fentry => {
            let id = ids.exit_mmap_func.ok_or_else(|| lacks("the function exit_mmap in its btf"))?;
            attached.add_traced(prepared, "fentry_exit_mmap", ProgramKind::Fentry(id)).map_err(not_here)
        }
        SpaceEnd::Kprobe => {
            let pmu = kprobe_pmu::find()?;
            let event = kprobe_event(pmu.kind, None, "exit_mmap")
                .map_err(|error| ProbeError::from_bpf("create a kprobe", &error))?;
            attached.add_event(prepared, "kprobe_exit_mmap", ProgramKind::Kprobe, event)
        }
        SpaceEnd::Processes => {
            let (exit, exec) = ids
                .process_exit
                .zip(ids.process_exec)
                .ok_or_else(|| lacks("the tracepoints sched_process_exit and sched_process_exec"))?;
            attached.add_traced(prepared, "process_exits", ProgramKind::RawTracepoint(exit))?;
            attached.add_traced(prepared, "process_execs", ProgramKind::RawTracepoint(exec))
        }
    }
}
