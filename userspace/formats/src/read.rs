//! Evidence from the file's messages to the model. The file may come from anybody: what the model cannot hold is refused by name.

use aioinspect_proto::schema::evidence as file;

use crate::facts;
use aioinspect_model::cpus::{CpuRange, CpuSet};
use aioinspect_model::evidence::{
    AddressSpace, CensusSource, Doing, Evidence, HeaderReading, ImageFacts, KernelWord, Look, Made, Manner,
    MappingSource, MmFact, MmLayout, NotLookedAt, Perms, Process, RingMapping, Sharer, SystemFacts, TaskFact,
    TracedContext, TracedWord, Vma, Wait,
};
use aioinspect_model::kioctx::{CpuCredits, Kioctx, RefState};
use aioinspect_model::known::{Fact, Lack};
use aioinspect_model::units::{ContextId, Instant, MmId, Pid, Tid};

/// Why a decoded evidence file is not evidence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// A part that every writer writes is not there.
    #[error("evidence without {0}")]
    Missing(&'static str),
    /// A choice that this version does not know, or 0, which means that none was made.
    #[error("{field} has the unknown value {value}")]
    Unknown {
        /// The field.
        field: &'static str,
        /// Its value.
        value: i32,
    },
    /// CPUs that are online, and not in ascending order.
    #[error("online_cpus do not ascend")]
    Cpus,
    /// A ring header that is not 32 bytes long.
    #[error("the ring header at {address} has {len} bytes, not 32")]
    HeaderLen {
        /// Where it was read.
        address: ContextId,
        /// Its length.
        len: usize,
    },
}

type Result<T> = std::result::Result<T, ConvertError>;

/// The evidence in the messages of a file.
pub fn evidence_from_proto(evidence: file::Evidence) -> Result<Evidence> {
    let file::Evidence { system, source, target_pid, spaces, lacks } = evidence;
    let unknown = ConvertError::Unknown { field: "source", value: source };
    Ok(Evidence {
        system: system_facts(system.ok_or(ConvertError::Missing("system"))?)?,
        source: match file::CensusSource::try_from(source) {
            Ok(file::CensusSource::Bpf) => CensusSource::Bpf,
            Ok(file::CensusSource::Proc) => CensusSource::Proc,
            Ok(file::CensusSource::Unspecified) | Err(_) => return Err(unknown),
        },
        target: target_pid.map(Pid),
        spaces: all(spaces, space)?,
        lacks: all(lacks, lack)?,
    })
}

fn all<A, B>(items: Vec<A>, one: impl Fn(A) -> Result<B>) -> Result<Vec<B>> {
    items.into_iter().map(one).collect()
}

fn fact(value: i32) -> Result<Fact> {
    facts::from_file(value).ok_or(ConvertError::Unknown { field: "fact", value })
}

fn lack(file::Lack { fact, why }: file::Lack) -> Result<Lack> {
    Ok(Lack { fact: self::fact(fact)?, why })
}

/// What a message lists as not known.
struct Unknown(Vec<Fact>);

impl Unknown {
    fn of(list: Vec<i32>) -> Result<Self> {
        Ok(Self(all(list, fact)?))
    }

    fn known<T>(&self, fact: Fact, number: T) -> Option<T> {
        (!self.0.contains(&fact)).then_some(number)
    }
}

fn system_facts(facts: file::SystemFacts) -> Result<SystemFacts> {
    let file::SystemFacts {
        aio_nr,
        aio_max_nr,
        possible_cpus,
        page_size,
        kernel_release,
        tool_version,
        taken_at_unix_ns,
        online_cpus,
    } = facts;
    let online_cpus = online_cpus.into_iter().map(|file::CpuRange { first, last }| CpuRange { first, last });
    Ok(SystemFacts {
        aio_nr,
        aio_max_nr,
        possible_cpus,
        page_size,
        kernel_release,
        tool_version,
        taken_at_unix_ns,
        online_cpus: CpuSet::of_ranges(online_cpus).ok_or(ConvertError::Cpus)?,
    })
}

fn space(space: file::AddressSpace) -> Result<AddressSpace> {
    let file::AddressSpace { mm, processes, looks, image, traced, not_looked_at } = space;
    Ok(AddressSpace {
        mm: MmId(mm),
        processes: processes.into_iter().map(process).collect(),
        looks: all(looks, look)?,
        image: image.map(image_facts).transpose()?,
        traced: traced.map(traced_word).transpose()?,
        not_looked_at: not_looked_at.map(self::not_looked_at),
    })
}

fn not_looked_at(found: file::NotLookedAt) -> NotLookedAt {
    let file::NotLookedAt { io_urings, posix_aio_threads } = found;
    NotLookedAt { io_urings, posix_aio_threads }
}

fn traced_word(word: file::TracedWord) -> Result<TracedWord> {
    let file::TracedWord { since_ns, contexts } = word;
    Ok(TracedWord { since: Instant(since_ns), contexts: all(contexts, traced_context)? })
}

fn traced_context(context: file::TracedContext) -> Result<TracedContext> {
    let file::TracedContext { table_index, origin, made_at_ns, pid, tid, comm, max_reqs } = context;
    let unknown = ConvertError::Unknown { field: "origin", value: origin };
    let made = match file::TracedOrigin::try_from(origin) {
        Ok(file::TracedOrigin::Seen) => Some(Made { at: Instant(made_at_ns), tid: Tid(tid) }),
        Ok(file::TracedOrigin::Found) => None,
        Ok(file::TracedOrigin::Unspecified) | Err(_) => return Err(unknown),
    };
    Ok(TracedContext { table_index, made, pid: Pid(pid), comm, max_reqs })
}

fn process(process: file::Process) -> Process {
    let file::Process { pid, comm, start_ticks, cgroup } = process;
    Process { pid: Pid(pid), comm, start_ticks, cgroup }
}

fn look(look: file::Look) -> Result<Look> {
    let file::Look {
        manner,
        before,
        mappings,
        mappings_at_ns,
        mappings_checked,
        headers,
        headers_at_ns,
        after,
        sharers,
        pause_ns,
    } = look;
    let unknown = ConvertError::Unknown { field: "manner", value: manner };
    Ok(Look {
        manner: match file::Manner::try_from(manner) {
            Ok(file::Manner::Running) => Manner::Running,
            Ok(file::Manner::Frozen) => Manner::Frozen,
            Ok(file::Manner::Held) => Manner::Held,
            Ok(file::Manner::Unspecified) | Err(_) => return Err(unknown),
        },
        before: before.map(kernel_word).transpose()?,
        mappings: all(mappings, ring_mapping)?,
        mappings_at: Instant(mappings_at_ns),
        mappings_checked,
        headers: all(headers, header)?,
        headers_at: Instant(headers_at_ns),
        after: after.map(kernel_word).transpose()?,
        sharers: sharers.into_iter().map(sharer).collect(),
        pause_ns,
    })
}

fn kernel_word(word: file::KernelWord) -> Result<KernelWord> {
    let file::KernelWord { begun_at_ns, ended_at_ns, contexts, tasks, mm, torn, waits } = word;
    Ok(KernelWord {
        begun_at: Instant(begun_at_ns),
        ended_at: Instant(ended_at_ns),
        contexts: all(contexts, kioctx)?,
        tasks: all(tasks, task)?,
        mm: mm_fact(mm.ok_or(ConvertError::Missing("mm"))?)?,
        torn,
        waits: all(waits, wait)?,
    })
}

fn wait(wait: file::Wait) -> Result<Wait> {
    let file::Wait { tid, pid, doing, context_id, asleep_ns, left, contexts } = wait;
    let unknown = ConvertError::Unknown { field: "doing", value: doing };
    Ok(Wait {
        tid: Tid(tid),
        pid: Pid(pid),
        doing: match file::Doing::try_from(doing) {
            Ok(file::Doing::Destroy) => Doing::Destroy,
            Ok(file::Doing::Exit) => Doing::Exit,
            Ok(file::Doing::Exec) => Doing::Exec,
            Ok(file::Doing::LastUse) => Doing::LastUse,
            Ok(file::Doing::Unspecified) | Err(_) => return Err(unknown),
        },
        id: context_id.map(ContextId),
        asleep_ns,
        left,
        contexts: all(contexts, kioctx)?,
    })
}

fn mm_fact(mm: file::MmFact) -> Result<MmFact> {
    let file::MmFact { brk, dumpable, lock_seq, map_count, unknown } = mm;
    let unknown = Unknown::of(unknown)?;
    Ok(MmFact {
        brk: unknown.known(Fact::Brk, brk),
        dumpable: unknown.known(Fact::Dumpable, dumpable),
        lock_seq,
        map_count: unknown.known(Fact::MapCount, map_count),
    })
}

fn kioctx(context: file::Kioctx) -> Result<Kioctx> {
    let file::Kioctx {
        user_id,
        mmap_base,
        mmap_size,
        nr_pages,
        max_reqs,
        nr_events,
        tail,
        completed_events,
        reqs_available,
        percpu_available,
        percpu_refs,
        atomic_refs,
        ref_state,
        dead,
        table_index,
        unknown,
        req_batch,
        cpu_credits,
    } = context;
    let unknown = Unknown::of(unknown)?;
    let ref_state = match unknown.known(Fact::RefState, ref_state) {
        Some(value) => Some(self::ref_state(value)?),
        None => None,
    };
    Ok(Kioctx {
        user_id: ContextId(user_id),
        mmap_base: unknown.known(Fact::MmapBase, mmap_base),
        mmap_size: unknown.known(Fact::MmapSize, mmap_size),
        nr_pages: unknown.known(Fact::NrPages, nr_pages),
        max_reqs: unknown.known(Fact::MaxReqs, max_reqs),
        nr_events: unknown.known(Fact::NrEvents, nr_events),
        tail: unknown.known(Fact::Tail, tail),
        completed_events: unknown.known(Fact::CompletedEvents, completed_events),
        reqs_available: unknown.known(Fact::ReqsAvailable, reqs_available),
        req_batch,
        percpu_available: unknown.known(Fact::PercpuAvailable, percpu_available),
        cpu_credits: cpu_credits.into_iter().map(credits).collect(),
        percpu_refs: unknown.known(Fact::PercpuRefs, percpu_refs),
        atomic_refs: unknown.known(Fact::AtomicRefs, atomic_refs),
        ref_state,
        dead: unknown.known(Fact::Dead, dead),
        table_index,
    })
}

fn credits(file::CpuCredits { cpu, credits }: file::CpuCredits) -> CpuCredits {
    CpuCredits { cpu, credits }
}

fn ref_state(value: i32) -> Result<RefState> {
    match file::RefState::try_from(value) {
        Ok(file::RefState::PerCpu) => Ok(RefState::PerCpu),
        Ok(file::RefState::Atomic) => Ok(RefState::Atomic),
        Ok(file::RefState::Dead) => Ok(RefState::Dead),
        Ok(file::RefState::Unspecified) | Err(_) => Err(ConvertError::Unknown { field: "ref_state", value }),
    }
}

fn task(task: file::TaskFact) -> Result<TaskFact> {
    let file::TaskFact { tid, pid, switches, runtime_ns, on_cpu, state, start_boottime_ns, unknown } = task;
    let unknown = Unknown::of(unknown)?;
    Ok(TaskFact {
        tid: Tid(tid),
        pid: Pid(pid),
        switches: unknown.known(Fact::Switches, switches),
        runtime_ns: unknown.known(Fact::Runtime, runtime_ns),
        on_cpu: unknown.known(Fact::OnCpu, on_cpu),
        state: unknown.known(Fact::State, state),
        start_boottime_ns: unknown.known(Fact::StartBoottime, start_boottime_ns),
    })
}

fn ring_mapping(mapping: file::RingMapping) -> Result<RingMapping> {
    let file::RingMapping { start, end, offset, inode, perms, source } = mapping;
    let unknown = ConvertError::Unknown { field: "mapping source", value: source };
    Ok(RingMapping {
        start,
        end,
        offset,
        inode,
        perms: permissions(perms)?,
        source: match file::MappingSource::try_from(source) {
            Ok(file::MappingSource::Smaps) => MappingSource::Smaps,
            Ok(file::MappingSource::Iterator) => MappingSource::Iterator,
            Ok(file::MappingSource::Unspecified) | Err(_) => return Err(unknown),
        },
    })
}

fn permissions(perms: Option<file::Perms>) -> Result<Perms> {
    let file::Perms { read, write, exec, shared } = perms.ok_or(ConvertError::Missing("perms"))?;
    Ok(Perms { read, write, exec, shared })
}

fn header(reading: file::HeaderReading) -> Result<HeaderReading> {
    use file::header_reading::Outcome;
    let address = ContextId(reading.address);
    let bytes = match reading.outcome.ok_or(ConvertError::Missing("header or errno"))? {
        Outcome::Header(bytes) => Ok(bytes
            .try_into()
            .map_err(|bytes: Vec<u8>| ConvertError::HeaderLen { address, len: bytes.len() })?),
        Outcome::Errno(errno) => Err(errno),
    };
    Ok(HeaderReading { address, bytes })
}

fn sharer(sharer: file::Sharer) -> Sharer {
    let file::Sharer { pid, comm, inode, address } = sharer;
    Sharer { pid: Pid(pid), comm, inode, address: ContextId(address) }
}

fn image_facts(facts: file::ImageFacts) -> Result<ImageFacts> {
    let file::ImageFacts { layout, auxv, vmas, thp_disabled } = facts;
    let file::MmLayout {
        start_code,
        end_code,
        start_stack,
        start_data,
        end_data,
        start_brk,
        arg_start,
        arg_end,
        env_start,
        env_end,
    } = layout.ok_or(ConvertError::Missing("layout"))?;
    let layout = MmLayout {
        start_code,
        end_code,
        start_stack,
        start_data,
        end_data,
        start_brk,
        arg_start,
        arg_end,
        env_start,
        env_end,
    };
    Ok(ImageFacts { layout, auxv, vmas: all(vmas, vma)?, thp_disabled })
}

fn vma(vma: file::Vma) -> Result<Vma> {
    let file::Vma { start, end, offset, perms, device_major, device_minor, inode, name, vm_flags, is_ring } =
        vma;
    let (perms, device) = (permissions(perms)?, (device_major, device_minor));
    Ok(Vma { start, end, offset, perms, device, inode, name, vm_flags, is_ring })
}
