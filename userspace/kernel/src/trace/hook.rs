//! Where in the kernel the calls are seen: a ladder of hooks, the cheapest that loads.
//!
//! Which one that is, is found by trying, never from a version.

use std::os::fd::{AsFd, OwnedFd};

use crate::bpf::attach::{attach_to_event, attach_traced, kprobe_event, tracepoint_event};
use crate::bpf::call::ProgramKind;
use crate::bpf::embedded::Prepared;
use crate::bpf::error::ProbeError;
use crate::bpf::program::load_program;
use crate::bpf::{kprobe_pmu, tracefs};
use aioinspect_ebpf::architecture::{DESTROY_SERVES_BOTH, function};
use aioinspect_parse::kernel::hook_ids::HookIds;

/// One rung of the ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// fentry and fexit: trampolines on the functions of the two system calls.
    Fentry,
    /// kprobe and kretprobe on them.
    Kprobe,
    /// The tracepoints of the two system calls, by their ids in tracefs. The kernel does not pass them for 32-bit
    /// callers (ARCH_TRACE_IGNORE_COMPAT_SYSCALLS).
    Tracepoint,
    /// The tracepoints at the beginning and the end of every system call.
    RawTracepoint,
}

impl Hook {
    /// All of them, in the order in which they are tried: what costs the host least comes first.
    pub const ALL: [Hook; 4] = [Hook::Fentry, Hook::Kprobe, Hook::Tracepoint, Hook::RawTracepoint];

    /// The name, as `--hook` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Hook::Fentry => "fentry",
            Hook::Kprobe => "kprobe",
            Hook::Tracepoint => "tracepoint",
            Hook::RawTracepoint => "raw-tracepoint",
        }
    }

    /// Who pays for it, in words.
    pub fn cost(self) -> &'static str {
        match self {
            Hook::Fentry | Hook::Kprobe => "slows only io_setup and io_destroy",
            Hook::Tracepoint => "slows every system call on this host; cannot see 32-bit callers",
            Hook::RawTracepoint => "slows every system call on this host",
        }
    }
}

/// Programs that are attached; dropping it detaches them.
#[derive(Debug, Default)]
pub struct Attached {
    links: Vec<OwnedFd>,
    /// The programs, by name.
    pub programs: Vec<OwnedFd>,
}

impl Attached {
    /// Loads a program and attaches it to the typed tracepoint or function that `kind` names.
    pub(super) fn add_traced(
        &mut self,
        prepared: &Prepared,
        name: &'static str,
        kind: ProgramKind,
    ) -> Result<(), ProbeError> {
        let program = load_program(name, prepared.code(name)?, &prepared.btf, kind)?;
        self.links
            .push(attach_traced(program.as_fd()).map_err(|e| ProbeError::from_bpf("attach a program", &e))?);
        self.programs.push(program);
        Ok(())
    }

    /// Loads a program and attaches it to a probe or a tracepoint that was opened as an event.
    pub(super) fn add_event(
        &mut self,
        prepared: &Prepared,
        name: &'static str,
        kind: ProgramKind,
        event: OwnedFd,
    ) -> Result<(), ProbeError> {
        let program = load_program(name, prepared.code(name)?, &prepared.btf, kind)?;
        let link = attach_to_event(program.as_fd(), event.as_fd())
            .map_err(|e| ProbeError::from_bpf("attach a program to an event", &e))?;
        // The link holds the program, and the event holds the probe.
        self.links.extend(link);
        self.links.push(event);
        self.programs.push(program);
        Ok(())
    }

    /// Loads and attaches everything one rung needs; what was attached of a rung that fails is detached again.
    ///
    /// It takes time, and the host goes on meanwhile. The end of a call comes before its beginning, so that none is seen that begins and does
    /// not end; io_destroy before io_setup, so that no context is seen being made whose end is not.
    pub(super) fn try_hook(prepared: &Prepared, ids: &HookIds, hook: Hook) -> Result<Self, ProbeError> {
        let mut attached = Self::default();
        match hook {
            Hook::Fentry => attached.fentry(prepared, ids).map_err(not_here)?,
            Hook::Kprobe => attached.kprobe(prepared, ids)?,
            Hook::Tracepoint => attached.tracepoint(prepared)?,
            Hook::RawTracepoint => {
                let (enter, exit) = ids
                    .sys_enter
                    .zip(ids.sys_exit)
                    .ok_or_else(|| lacks("the tracepoints sys_enter and sys_exit"))?;
                attached.add_traced(prepared, "raw_exit", ProgramKind::RawTracepoint(exit))?;
                attached.add_traced(prepared, "raw_enter", ProgramKind::RawTracepoint(enter))?;
            }
        }
        Ok(attached)
    }

    fn fentry(&mut self, prepared: &Prepared, ids: &HookIds) -> Result<(), ProbeError> {
        let (setup, destroy) = ids.setup.zip(ids.destroy).ok_or_else(|| lacks_function(function::SETUP))?;
        if let Some((setup, destroy)) = ids.setup_32.zip(ids.destroy_32) {
            if !DESTROY_SERVES_BOTH {
                self.add_traced(prepared, "fexit_destroy_32", ProgramKind::Fexit(destroy))?;
                self.add_traced(prepared, "fentry_destroy_32", ProgramKind::Fentry(destroy))?;
            }
            self.add_traced(prepared, "fexit_setup_32", ProgramKind::Fexit(setup))?;
            self.add_traced(prepared, "fentry_setup_32", ProgramKind::Fentry(setup))?;
        }
        self.add_traced(prepared, "fexit_destroy", ProgramKind::Fexit(destroy))?;
        self.add_traced(prepared, "fentry_destroy", ProgramKind::Fentry(destroy))?;
        self.add_traced(prepared, "fexit_setup", ProgramKind::Fexit(setup))?;
        self.add_traced(prepared, "fentry_setup", ProgramKind::Fentry(setup))
    }

    fn kprobe(&mut self, prepared: &Prepared, ids: &HookIds) -> Result<(), ProbeError> {
        let pmu = kprobe_pmu::find()?;
        // Where a return is missed, the thread may end before it calls again.
        if let Some(exit) = ids.process_exit {
            self.add_traced(prepared, "thread_exits", ProgramKind::RawTracepoint(exit))?;
        }
        let mut probes = Vec::new();
        if ids.serves_32_bit() {
            if !DESTROY_SERVES_BOTH {
                probes.extend([
                    ("kretprobe_destroy_32", true, function::DESTROY_32),
                    ("kprobe_destroy_32", false, function::DESTROY_32),
                ]);
            }
            probes.extend([
                ("kretprobe_setup_32", true, function::SETUP_32),
                ("kprobe_setup_32", false, function::SETUP_32),
            ]);
        }
        probes.extend([
            ("kretprobe_destroy", true, function::DESTROY),
            ("kprobe_destroy", false, function::DESTROY),
            ("kretprobe_setup", true, function::SETUP),
            ("kprobe_setup", false, function::SETUP),
        ]);
        for (name, at_end, function) in probes {
            let event = kprobe_event(pmu.kind, at_end.then_some(pmu.return_bit), function)
                .map_err(|error| ProbeError::from_bpf("create a kprobe", &error))?;
            self.add_event(prepared, name, ProgramKind::Kprobe, event)?;
        }
        Ok(())
    }

    fn tracepoint(&mut self, prepared: &Prepared) -> Result<(), ProbeError> {
        let tracefs = tracefs::Tracefs::open()?;
        let points = [
            ("exit_destroy", "sys_exit_io_destroy"),
            ("enter_destroy", "sys_enter_io_destroy"),
            ("exit_setup", "sys_exit_io_setup"),
            ("enter_setup", "sys_enter_io_setup"),
        ];
        for (name, point) in points {
            let event = tracepoint_event(tracefs.id("syscalls", point)?)
                .map_err(|error| ProbeError::from_bpf("open a tracepoint", &error))?;
            self.add_event(prepared, name, ProgramKind::Tracepoint, event)?;
        }
        Ok(())
    }
}

/// A kernel that loads our other programs but not these ones: EPERM is how some say that text cannot be patched.
pub(super) fn not_here(error: ProbeError) -> ProbeError {
    match error {
        ProbeError::NotPermitted { .. } => lacks("fentry and fexit (it refuses to patch its own text)"),
        ProbeError::Refused { program, error, why, log } => {
            let why = if why.is_empty() { error.to_string() } else { why };
            ProbeError::Lacks { what: format!("fentry and fexit ({program}: {why}){log}") }
        }
        error @ (ProbeError::NotBuilt
        | ProbeError::Lacks { .. }
        | ProbeError::NoJit { .. }
        | ProbeError::Object(_)
        | ProbeError::Io { .. }) => error,
    }
}

/// The kernel lacks this function, or its types do not name it.
pub(super) fn lacks_function(name: &str) -> ProbeError {
    lacks(&format!("the function {name} in its btf"))
}

/// The kernel lacks this.
pub(super) fn lacks(what: &str) -> ProbeError {
    ProbeError::Lacks { what: what.to_owned() }
}
