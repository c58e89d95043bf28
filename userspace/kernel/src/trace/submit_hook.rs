//! The ladder of hooks at the end of io_submit: one program for each rung, and one more where there are 32-bit callers. And at the same
//! places of io_getevents and io_pgetevents.

use crate::bpf::attach::{kprobe_event, tracepoint_event};
use crate::bpf::call::ProgramKind;
use crate::bpf::embedded::Prepared;
use crate::bpf::error::ProbeError;
use crate::bpf::kprobe_pmu;
use crate::bpf::tracefs::Tracefs;
use crate::trace::hook::{Attached, Hook, lacks, lacks_function, not_here};
use aioinspect_ebpf::architecture::function;
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
        Hook::Tracepoint => at_tracepoint(&mut attached, prepared, "exit_submit", "sys_exit_io_submit")?,
        Hook::RawTracepoint => {
            let exit = ids.sys_exit.ok_or_else(|| lacks("the tracepoint sys_exit"))?;
            attached.add_traced(prepared, "raw_exit", ProgramKind::RawTracepoint(exit))?;
        }
    }
    Ok(attached)
}

/// What kretprobes do not see. A probe has room for as many threads inside its function as kernel/kprobes.c:register_kretprobe says where
/// nobody asks for more, which takes no perf event: max(10, 2 * CPUs), and before 5.19 without preemption as many as there are CPUs. The
/// kernel counts the others where nobody who opens a perf event finds it (`kretprobe.nmissed`).
const MISSED_RETURNS: &str = "with kprobe, failures of a call are missed, and not counted as lost, while more threads are inside the same call \
                              than a kretprobe has room for, which is few for each CPU: threads that wait in io_getevents are inside";

/// Attaches what sees failures of io_getevents and io_pgetevents at the places of that hook. Returns a line for each call that cannot be seen
/// there: the others are.
pub(super) fn attach_reaping(
    attached: &mut Attached,
    prepared: &Prepared,
    ids: &HookIds,
    hook: Hook,
) -> Vec<String> {
    let (getevents, pgetevents) = ("io_getevents", "io_pgetevents");
    let mut unseen = Vec::new();
    let mut missed = None;
    let mut try_one = |call: &str, done: Result<(), ProbeError>| {
        if let Err(error) = done {
            unseen.push(format!("failures of {call} are not seen: {error}"));
        }
    };
    match hook {
        Hook::Fentry => {
            let functions = [
                (getevents, "fexit_getevents", ids.getevents, true),
                (pgetevents, "fexit_pgetevents", ids.pgetevents, true),
                ("io_getevents of 32-bit callers", "fexit_getevents_32", ids.getevents_32, false),
                ("io_pgetevents of 32-bit callers", "fexit_pgetevents_32", ids.pgetevents_32, false),
                (
                    "io_pgetevents of 32-bit callers with 64-bit times",
                    "fexit_pgetevents_time64",
                    ids.pgetevents_time64,
                    false,
                ),
            ];
            for (call, program, id, is_needed) in functions {
                match id {
                    Some(id) => {
                        try_one(call, attached.add_traced(prepared, program, ProgramKind::Fexit(id)));
                    }
                    None if is_needed => try_one(call, Err(lacks("its function in its btf"))),
                    // A kernel that serves no 32-bit callers.
                    None => {}
                }
            }
        }
        Hook::Kprobe => {
            missed = Some(MISSED_RETURNS.to_owned());
            let functions = [
                (getevents, "kret_getevents", function::GETEVENTS, true),
                (pgetevents, "kret_pgetevents", function::PGETEVENTS, true),
                (
                    "io_getevents of 32-bit callers",
                    "kret_getevents_32",
                    function::GETEVENTS_32,
                    ids.getevents_32.is_some(),
                ),
                (
                    "io_pgetevents of 32-bit callers",
                    "kret_pgetevents_32",
                    function::PGETEVENTS_32,
                    ids.pgetevents_32.is_some(),
                ),
                (
                    "io_pgetevents of 32-bit callers with 64-bit times",
                    "kret_pgetevents_time64",
                    function::PGETEVENTS_TIME64,
                    ids.pgetevents_time64.is_some(),
                ),
            ];
            for (call, program, function, _) in functions.into_iter().filter(|(.., is_there)| *is_there) {
                try_one(call, at_return(attached, prepared, program, function));
            }
        }
        Hook::Tracepoint => {
            let points = [
                (getevents, "exit_getevents", "sys_exit_io_getevents"),
                (pgetevents, "exit_pgetevents", "sys_exit_io_pgetevents"),
            ];
            for (call, program, point) in points {
                try_one(call, at_tracepoint(attached, prepared, program, point));
            }
        }
        Hook::RawTracepoint => {
            let exit = ids.sys_exit.ok_or_else(|| lacks("the tracepoint sys_exit"));
            let kind = exit.map(ProgramKind::RawTracepoint);
            let done = kind.and_then(|kind| attached.add_traced(prepared, "raw_exit_getevents", kind));
            try_one("io_getevents and io_pgetevents", done);
        }
    }
    unseen.extend(missed);
    unseen
}

fn at_tracepoint(
    attached: &mut Attached,
    prepared: &Prepared,
    program: &'static str,
    point: &str,
) -> Result<(), ProbeError> {
    let id = Tracefs::open()?.id("syscalls", point)?;
    let event = tracepoint_event(id).map_err(|error| ProbeError::from_bpf("open a tracepoint", &error))?;
    attached.add_event(prepared, program, ProgramKind::Tracepoint, event)
}

fn at_return(
    attached: &mut Attached,
    prepared: &Prepared,
    program: &'static str,
    function: &str,
) -> Result<(), ProbeError> {
    let pmu = kprobe_pmu::find()?;
    let event = kprobe_event(pmu.kind, Some(pmu.return_bit), function)
        .map_err(|error| ProbeError::from_bpf("create a kprobe", &error))?;
    attached.add_event(prepared, program, ProgramKind::Kprobe, event)
}

fn fexit(attached: &mut Attached, prepared: &Prepared, ids: &HookIds) -> Result<(), ProbeError> {
    let submit = ids.submit.ok_or_else(|| lacks_function(function::SUBMIT))?;
    if let Some(submit_32) = ids.submit_32 {
        attached.add_traced(prepared, "fexit_submit_32", ProgramKind::Fexit(submit_32))?;
    }
    attached.add_traced(prepared, "fexit_submit", ProgramKind::Fexit(submit))
}

fn kretprobe(attached: &mut Attached, prepared: &Prepared, ids: &HookIds) -> Result<(), ProbeError> {
    if ids.submit_32.is_some() {
        at_return(attached, prepared, "kret_submit_32", function::SUBMIT_32)?;
    }
    at_return(attached, prepared, "kret_submit", function::SUBMIT)
}
