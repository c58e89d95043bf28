//! One look at the whole host without BPF: ring mappings and headers, as the processes tell them.

use crate::host::clock;
use crate::look::evidence_source::SourceError;
use crate::look::ring_maps::{rings_of, same_mm};
use crate::proc::files::{ProcError, cgroup_of, process_of, processes};
use crate::proc::memory::HeaderPlan;
use aioinspect_model::evidence::{
    AddressSpace, CensusSource, Evidence, Look, Process, RingMapping, SystemFacts,
};
use aioinspect_model::units::{ContextId, MmId, Pid, Tid};

/// Reads `/proc/PID/maps` of every process, and the headers of the rings it names.
pub(super) fn look(
    facts: SystemFacts,
    owners: bool,
    notes: &mut Vec<String>,
) -> Result<Evidence, SourceError> {
    let mut spaces: Vec<(Tid, AddressSpace)> = Vec::new();
    let mut refused = 0_usize;
    for pid in processes()? {
        match rings_of(pid) {
            Ok((_, mappings)) if mappings.is_empty() => {}
            Ok((tid, mappings)) => add(&mut spaces, pid, tid, mappings, owners),
            Err(ProcError::NotPermitted { .. }) => refused = refused.saturating_add(1),
            // Gone meanwhile, without memory, or odd in a way that concerns nobody else.
            Err(_) => {}
        }
    }
    if refused > 0 {
        notes.push(format!("{refused} process(es) could not be read (needs CAP_SYS_PTRACE)"));
    }
    let spaces = spaces.into_iter().map(|(_, space)| space).collect();
    Ok(Evidence {
        system: facts,
        source: CensusSource::Proc,
        target: None,
        root: None,
        spaces,
        lacks: Vec::new(),
    })
}

fn add(spaces: &mut Vec<(Tid, AddressSpace)>, pid: Pid, tid: Tid, mappings: Vec<RingMapping>, owners: bool) {
    let Some(process) = process(pid, owners) else { return };
    // Only who maps the same rings at the same places can share the memory.
    let shares = |other: &(Tid, AddressSpace)| {
        other.1.looks.last().is_some_and(|look| look.mappings == mappings) && same_mm(tid, other.0)
    };
    if let Some((_, space)) = spaces.iter_mut().find(|other| shares(other)) {
        space.processes.push(process);
        return;
    }
    let mappings_at = clock::now();
    let addresses: Vec<_> =
        mappings.iter().filter(|ring| ring.offset == 0).map(|ring| ContextId(ring.start)).collect();
    let mut plan = HeaderPlan::new(&addresses, tid);
    let headers = if plan.read().is_ok() { plan.finish() } else { Vec::new() };
    let look = Look { mappings, mappings_at, headers, headers_at: clock::now(), ..Look::default() };
    let mm = MmId(u32::try_from(spaces.len()).unwrap_or(u32::MAX));
    spaces.push((
        tid,
        AddressSpace {
            mm,
            processes: vec![process],
            looks: vec![look],
            image: None,
            traced: None,
            not_looked_at: None,
        },
    ));
}

fn process(pid: Pid, owners: bool) -> Option<Process> {
    let cgroup = if owners { cgroup_of(pid).ok() } else { None };
    Some(Process { cgroup, ..process_of(pid)? })
}
