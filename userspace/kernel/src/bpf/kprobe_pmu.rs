//! The kernel's door to kprobes: a PMU of perf_event_open(2) whose number and bits stand in sysfs.

use std::fs;

use crate::bpf::error::ProbeError;

const DIR: &str = "/sys/bus/event_source/devices/kprobe";

/// How perf_event_open is asked for a kprobe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KprobePmu {
    /// `perf_event_attr.type` of a kprobe.
    pub kind: u32,
    /// The bit of `config` that asks for a kretprobe.
    pub return_bit: u32,
}

/// Finds it.
pub(crate) fn find() -> Result<KprobePmu, ProbeError> {
    let lacks = || ProbeError::Lacks {
        what: format!("kprobes through perf_event_open ({DIR}, CONFIG_KPROBE_EVENTS)"),
    };
    let read = |name: &str| fs::read_to_string(format!("{DIR}/{name}")).map_err(|_| lacks());
    let kind = read("type")?.trim().parse().map_err(|_| lacks())?;
    let format = read("format/retprobe")?;
    let bit = format.trim().strip_prefix("config:").and_then(|bit| bit.parse().ok()).ok_or_else(lacks)?;
    Ok(KprobePmu { kind, return_bit: bit })
}
