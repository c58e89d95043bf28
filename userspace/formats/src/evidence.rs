//! Evidence in a file: which field of the model is which of a message. Reading and writing are made of this one description.

use aioinspect_proto::schema::evidence as file;

use crate::stored::{ConvertError, Result, Stored, choices, messages};
use aioinspect_model::architecture::Architecture;
use aioinspect_model::container_names::Names;
use aioinspect_model::cpus::{CpuRange, CpuSet};
use aioinspect_model::evidence::{
    AddressSpace, CensusSource, Doing, Evidence, HeaderReading, ImageFacts, KernelWord, Look, Made, Manner,
    MappingSource, MmFact, MmLayout, NotLookedAt, Perms, Process, RingMapping, Sharer, SystemFacts, TaskFact,
    TracedContext, TracedWord, Vma, Wait,
};
use aioinspect_model::kioctx::{CpuCredits, Kioctx, RefState};
use aioinspect_model::known::{Fact, Lack};

/// The evidence in the messages of a file.
pub fn evidence_from_proto(evidence: file::Evidence) -> Result<Evidence> {
    Stored::load(evidence)
}

/// The messages of an evidence file: everything, raw.
pub fn evidence_to_proto(evidence: &Evidence) -> file::Evidence {
    evidence.store()
}

messages! {
    Evidence { system, source, spaces, lacks } renamed { target = target_pid, root = root_pid };
    SystemFacts required "system" {
        aio_nr, aio_max_nr, possible_cpus, page_size, kernel_release, tool_version, taken_at_unix_ns, online_cpus,
        architecture,
    };
    Lack { fact, why };
    AddressSpace { mm, processes, looks, image, traced, not_looked_at };
    NotLookedAt { io_urings, posix_aio_threads };
    TracedWord { contexts } renamed { since = since_ns };
    TracedContext { table_index, pid, comm, max_reqs } split { made = (origin, made_at_ns, tid) };
    Process { pid, comm, start_ticks, cgroup, ns_pids, uid, user, cmdline, names };
    Names { pod, namespace, container, image };
    Look { manner, before, mappings, mappings_checked, headers, after, sharers, pause_ns }
        renamed { mappings_at = mappings_at_ns, headers_at = headers_at_ns };
    KernelWord { contexts, tasks, mm, torn, waits } renamed { begun_at = begun_at_ns, ended_at = ended_at_ns };
    Wait { tid, pid, doing, asleep_ns, left, contexts } renamed { id = context_id };
    MmFact required "mm" { lock_seq } facts { Brk: brk, Dumpable: dumpable, MapCount: map_count } in unknown;
    Kioctx { user_id, table_index, req_batch, cpu_credits }
        facts {
            MmapBase: mmap_base, MmapSize: mmap_size, NrPages: nr_pages, MaxReqs: max_reqs, NrEvents: nr_events,
            Tail: tail, CompletedEvents: completed_events, ReqsAvailable: reqs_available,
            PercpuAvailable: percpu_available, PercpuRefs: percpu_refs, AtomicRefs: atomic_refs,
            RefState: ref_state, Dead: dead,
        } in unknown;
    CpuCredits { cpu, credits };
    TaskFact { tid, pid }
        facts {
            Switches: switches, Runtime: runtime_ns, OnCpu: on_cpu, State: state, StartBoottime: start_boottime_ns,
        } in unknown;
    RingMapping { start, end, offset, inode, perms, source };
    Perms required "perms" { read, write, exec, shared };
    Sharer { pid, comm, inode, address };
    ImageFacts { layout, auxv, vmas, thp_disabled };
    MmLayout required "layout" {
        start_code, end_code, start_stack, start_data, end_data, start_brk, arg_start, arg_end, env_start, env_end,
    };
    Vma { start, end, offset, perms, inode, name, vm_flags, is_ring }
        split { device = (device_major, device_minor) };
}

choices! {
    CensusSource "source" { Bpf, Proc }
    Manner "manner" { Running, Frozen, Held }
    Doing "doing" { Destroy, Exit, Exec, LastUse }
    RefState "ref_state" { PerCpu, Atomic, Dead }
    MappingSource "mapping source" { Smaps, Iterator }
    Fact "fact" {
        MmapBase, MmapSize, NrPages, MaxReqs, NrEvents, Tail, CompletedEvents, ReqsAvailable, PercpuAvailable,
        RefState, PercpuRefs, AtomicRefs, Dead, Brk, Dumpable, LockSeq, MapCount, Switches, Runtime, OnCpu, State,
        StartBoottime, Comm, LeaderStart, ReqBatch,
    }
}

/// By hand: the name of a variant has no `_` in what is made of the schema.
impl Stored<i32> for Architecture {
    fn store(&self) -> i32 {
        match self {
            Architecture::X86_64 => file::Architecture::X8664.into(),
            Architecture::Aarch64 => file::Architecture::Aarch64.into(),
        }
    }

    fn load(stored: i32) -> Result<Self> {
        match file::Architecture::try_from(stored) {
            Ok(file::Architecture::X8664) => Ok(Architecture::X86_64),
            Ok(file::Architecture::Aarch64) => Ok(Architecture::Aarch64),
            Ok(file::Architecture::Unspecified) | Err(_) => {
                Err(ConvertError::Unknown { field: "architecture", value: stored })
            }
        }
    }
}

impl Stored<Vec<file::CpuRange>> for CpuSet {
    fn store(&self) -> Vec<file::CpuRange> {
        self.ranges()
            .iter()
            .map(|CpuRange { first, last }| file::CpuRange { first: *first, last: *last })
            .collect()
    }

    fn load(stored: Vec<file::CpuRange>) -> Result<Self> {
        let ranges = stored.into_iter().map(|file::CpuRange { first, last }| CpuRange { first, last });
        CpuSet::of_ranges(ranges).ok_or(ConvertError::Cpus)
    }
}

impl Stored<(u32, u32)> for (u32, u32) {
    fn store(&self) -> (u32, u32) {
        *self
    }

    fn load(stored: (u32, u32)) -> Result<Self> {
        Ok(stored)
    }
}

/// Origin, time and thread: the latter two are 0 unless it was seen.
impl Stored<(i32, u64, u32)> for Option<Made> {
    fn store(&self) -> (i32, u64, u32) {
        let origin = if self.is_some() { file::TracedOrigin::Seen } else { file::TracedOrigin::Found };
        let Made { at, tid } = self.unwrap_or_default();
        (origin.into(), at.store(), tid.store())
    }

    fn load((origin, made_at_ns, tid): (i32, u64, u32)) -> Result<Self> {
        match file::TracedOrigin::try_from(origin) {
            Ok(file::TracedOrigin::Seen) => {
                Ok(Some(Made { at: Stored::load(made_at_ns)?, tid: Stored::load(tid)? }))
            }
            Ok(file::TracedOrigin::Found) => Ok(None),
            Ok(file::TracedOrigin::Unspecified) | Err(_) => {
                Err(ConvertError::Unknown { field: "origin", value: origin })
            }
        }
    }
}

impl Stored<file::HeaderReading> for HeaderReading {
    fn store(&self) -> file::HeaderReading {
        let HeaderReading { address, bytes } = self;
        let outcome = match bytes {
            Ok(bytes) => file::header_reading::Outcome::Header(bytes.to_vec()),
            Err(errno) => file::header_reading::Outcome::Errno(*errno),
        };
        file::HeaderReading { address: address.store(), outcome: Some(outcome) }
    }

    fn load(stored: file::HeaderReading) -> Result<Self> {
        let file::HeaderReading { address, outcome } = stored;
        let address = Stored::load(address)?;
        let bytes = match outcome.ok_or(ConvertError::Missing("header or errno"))? {
            file::header_reading::Outcome::Header(bytes) => Ok(bytes
                .try_into()
                .map_err(|bytes: Vec<u8>| ConvertError::HeaderLen { address, len: bytes.len() })?),
            file::header_reading::Outcome::Errno(errno) => Err(errno),
        };
        Ok(HeaderReading { address, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that each fact and architecture has a number of its own and comes back by it, and that no other number is one.
    #[test]
    fn numbers() {
        for (number, fact) in (1..).zip(Fact::ALL) {
            assert_eq!(fact.store(), number);
            assert_eq!(Fact::load(number), Ok(*fact));
        }
        for one in Architecture::ALL {
            assert_eq!(Architecture::load(one.store()), Ok(one));
        }
        for number in [-1, 0, 3] {
            let unknown = Err(ConvertError::Unknown { field: "architecture", value: number });
            assert_eq!(Architecture::load(number), unknown);
        }
        let past = i32::try_from(Fact::ALL.len()).unwrap() + 1;
        for number in [i32::MIN, -1, 0, past, i32::MAX] {
            assert_eq!(Fact::load(number), Err(ConvertError::Unknown { field: "fact", value: number }));
        }
    }
}
