//! The ladder of hooks at the end of io_submit: one program for each rung, and one more where there are 32-bit callers.

use crate::bpf::attach::{kprobe_event, tracepoint_event};
use crate::bpf::call::ProgramKind;
use crate::bpf::embedded::Prepared;
use crate::bpf::error::ProbeError;
use crate::bpf::kprobe_pmu;
use crate::bpf::tracefs::Tracefs;
use crate::trace::hook::{Attached, Hook, lacks, not_here};
use aioinspect_parse::kernel::hook_ids::HookIds;

/// Loads and attaches the first rung of `wanted`, or of the ladder, that this kernel takes. `tried` gets a line for each that it does not.
pub(super) fn attach(
    prepared: &Prepared,
    ids: &HookIds,
    wanted: Option<Hook>,
    tried: &mut Vec<String>,
) -> Result<(Hook, Attached), ProbeError> {
    let mut last = None;
    for hook in Hook::ALL.into_iter().filter(|hook| wanted.is_none_or(|wanted| wanted == *hook)) {
        match try_hook(prepared, ids, hook) {
            Ok(attached) => return Ok((hook, attached)),
            Err(error) => {
                tried.push(format!("hook {} of io_submit: {error}", hook.name()));
                last = Some(error);
            }
        }
    }
    Err(last.unwrap_or_else(|| ProbeError::Object("no hook".to_owned())))
}

fn try_hook(prepared: &Prepared, ids: &HookIds, hook: Hook) -> Result<Attached, ProbeError> {
    let mut attached = Attached::default();
    match hook {
        Hook::Fentry => fexit(&mut attached, prepared, ids).map_err(not_here)?,
        Hook::Kprobe => kretprobe(&mut attached, prepared, ids)?,
        Hook::Tracepoint => {
            let id = Tracefs::open()?.id("syscalls", "sys_exit_io_submit")?;
            let event =
                tracepoint_event(id).map_err(|error| ProbeError::from_bpf("open a tracepoint", &error))?;
            attached.add_event(prepared, "exit_submit", ProgramKind::Tracepoint, event)?;
        }
        Hook::RawTracepoint => {
            let exit = ids.sys_exit.ok_or_else(|| lacks("the tracepoint sys_exit"))?;
            attached.add_traced(prepared, "raw_exit", ProgramKind::RawTracepoint(exit))?;
        }
    }
    Ok(attached)
}

fn fexit(attached: &mut Attached, prepared: &Prepared, ids: &HookIds) -> Result<(), ProbeError> {
    let submit = ids.submit.ok_or_else(|| lacks("the function __x64_sys_io_submit in its btf"))?;
    if let Some(submit_32) = ids.submit_32 {
        attached.add_traced(prepared, "fexit_submit_32", ProgramKind::Fexit(submit_32))?;
    }
    attached.add_traced(prepared, "fexit_submit", ProgramKind::Fexit(submit))
}

fn kretprobe(attached: &mut Attached, prepared: &Prepared, ids: &HookIds) -> Result<(), ProbeError> {
    let pmu = kprobe_pmu::find()?;
    let mut probes = vec![("kret_submit", c"__x64_sys_io_submit")];
    if ids.submit_32.is_some() {
        probes.push(("kret_submit_32", c"__ia32_compat_sys_io_submit"));
    }
    for (name, function) in probes {
        let event = kprobe_event(pmu.kind, Some(pmu.return_bit), function)
            .map_err(|error| ProbeError::from_bpf("create a kprobe", &error))?;
        attached.add_event(prepared, name, ProgramKind::Kprobe, event)?;
    }
    Ok(())
}
