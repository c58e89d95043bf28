//! Evidence from the model to the file's messages. Each struct is taken apart by name: a new field does not compile until it is written.

use aioinspect_proto::schema::evidence as file;

use crate::facts::{self, Unknown};
use aioinspect_model::cpus::CpuRange;
use aioinspect_model::evidence::{
    AddressSpace, CensusSource, Doing, Evidence, HeaderReading, ImageFacts, KernelWord, Look, Made, Manner,
    MappingSource, MmFact, MmLayout, NotLookedAt, Perms, Process, RingMapping, Sharer, SystemFacts, TaskFact,
    TracedContext, TracedWord, Vma, Wait,
};
use aioinspect_model::kioctx::{CpuCredits, Kioctx, RefState};
use aioinspect_model::known::{Fact, Lack};
use aioinspect_model::units::{ContextId, Instant, MmId, Pid, Tid};

/// The messages of an evidence file: everything, raw.
pub fn evidence_to_proto(evidence: &Evidence) -> file::Evidence {
    let Evidence { system, source, target, spaces, lacks } = evidence;
    let source = match source {
        CensusSource::Bpf => file::CensusSource::Bpf,
        CensusSource::Proc => file::CensusSource::Proc,
    };
    file::Evidence {
        system: Some(system_facts(system)),
        source: source.into(),
        target_pid: target.map(|Pid(pid)| pid),
        spaces: spaces.iter().map(space).collect(),
        lacks: lacks.iter().map(lack).collect(),
    }
}

fn lack(Lack { fact, why }: &Lack) -> file::Lack {
    file::Lack { fact: facts::to_file(*fact).into(), why: why.clone() }
}

fn system_facts(facts: &SystemFacts) -> file::SystemFacts {
    let SystemFacts {
        aio_nr,
        aio_max_nr,
        possible_cpus,
        page_size,
        kernel_release,
        tool_version,
        taken_at_unix_ns,
        online_cpus,
    } = facts;
    file::SystemFacts {
        aio_nr: *aio_nr,
        aio_max_nr: *aio_max_nr,
        possible_cpus: *possible_cpus,
        page_size: *page_size,
        kernel_release: kernel_release.clone(),
        tool_version: tool_version.clone(),
        taken_at_unix_ns: *taken_at_unix_ns,
        online_cpus: online_cpus.ranges().iter().copied().map(cpu_range).collect(),
    }
}

fn cpu_range(CpuRange { first, last }: CpuRange) -> file::CpuRange {
    file::CpuRange { first, last }
}

fn space(space: &AddressSpace) -> file::AddressSpace {
    let AddressSpace { mm: MmId(mm), processes, looks, image, traced, not_looked_at } = space;
    file::AddressSpace {
        mm: *mm,
        processes: processes.iter().map(process).collect(),
        looks: looks.iter().map(look).collect(),
        image: image.as_ref().map(image_facts),
        traced: traced.as_ref().map(traced_word),
        not_looked_at: not_looked_at.as_ref().map(self::not_looked_at),
    }
}

fn not_looked_at(found: &NotLookedAt) -> file::NotLookedAt {
    let NotLookedAt { io_urings, posix_aio_threads } = found;
    file::NotLookedAt { io_urings: *io_urings, posix_aio_threads: *posix_aio_threads }
}

fn traced_word(word: &TracedWord) -> file::TracedWord {
    let TracedWord { since: Instant(since_ns), contexts } = word;
    file::TracedWord { since_ns: *since_ns, contexts: contexts.iter().map(traced_context).collect() }
}

fn traced_context(context: &TracedContext) -> file::TracedContext {
    let TracedContext { table_index, made, pid: Pid(pid), comm, max_reqs } = context;
    let origin = if made.is_some() { file::TracedOrigin::Seen } else { file::TracedOrigin::Found };
    let Made { at: Instant(made_at_ns), tid: Tid(tid) } = made.unwrap_or_default();
    file::TracedContext {
        table_index: *table_index,
        origin: origin.into(),
        made_at_ns,
        pid: *pid,
        tid,
        comm: comm.clone(),
        max_reqs: *max_reqs,
    }
}

fn process(process: &Process) -> file::Process {
    let Process { pid: Pid(pid), comm, start_ticks, cgroup } = process;
    file::Process { pid: *pid, comm: comm.clone(), start_ticks: *start_ticks, cgroup: cgroup.clone() }
}

fn look(look: &Look) -> file::Look {
    let Look {
        manner,
        before,
        mappings,
        mappings_at: Instant(mappings_at_ns),
        mappings_checked,
        headers,
        headers_at: Instant(headers_at_ns),
        after,
        sharers,
        pause_ns,
    } = look;
    let manner = match manner {
        Manner::Running => file::Manner::Running,
        Manner::Frozen => file::Manner::Frozen,
        Manner::Held => file::Manner::Held,
    };
    file::Look {
        manner: manner.into(),
        before: before.as_ref().map(kernel_word),
        mappings: mappings.iter().map(ring_mapping).collect(),
        mappings_at_ns: *mappings_at_ns,
        mappings_checked: *mappings_checked,
        headers: headers.iter().map(header).collect(),
        headers_at_ns: *headers_at_ns,
        after: after.as_ref().map(kernel_word),
        sharers: sharers.iter().map(sharer).collect(),
        pause_ns: *pause_ns,
    }
}

fn kernel_word(word: &KernelWord) -> file::KernelWord {
    let KernelWord {
        begun_at: Instant(begun_at_ns),
        ended_at: Instant(ended_at_ns),
        contexts,
        tasks,
        mm,
        torn,
        waits,
    } = word;
    file::KernelWord {
        begun_at_ns: *begun_at_ns,
        ended_at_ns: *ended_at_ns,
        contexts: contexts.iter().map(kioctx).collect(),
        tasks: tasks.iter().map(task).collect(),
        mm: Some(mm_fact(mm)),
        torn: *torn,
        waits: waits.iter().map(wait).collect(),
    }
}

fn wait(wait: &Wait) -> file::Wait {
    let Wait { tid: Tid(tid), pid: Pid(pid), doing, id, asleep_ns, left, contexts } = wait;
    let doing = match doing {
        Doing::Destroy => file::Doing::Destroy,
        Doing::Exit => file::Doing::Exit,
        Doing::Exec => file::Doing::Exec,
        Doing::LastUse => file::Doing::LastUse,
    };
    file::Wait {
        tid: *tid,
        pid: *pid,
        doing: doing.into(),
        context_id: id.map(|ContextId(id)| id),
        asleep_ns: *asleep_ns,
        left: *left,
        contexts: contexts.iter().map(kioctx).collect(),
    }
}

fn mm_fact(mm: &MmFact) -> file::MmFact {
    let MmFact { brk, dumpable, lock_seq, map_count } = *mm;
    let mut unknown = Unknown::default();
    file::MmFact {
        brk: unknown.or_zero(Fact::Brk, brk),
        dumpable: unknown.or_zero(Fact::Dumpable, dumpable),
        lock_seq,
        map_count: unknown.or_zero(Fact::MapCount, map_count),
        unknown: unknown.list(),
    }
}

fn kioctx(context: &Kioctx) -> file::Kioctx {
    let Kioctx {
        user_id: ContextId(user_id),
        mmap_base,
        mmap_size,
        nr_pages,
        max_reqs,
        nr_events,
        tail,
        completed_events,
        reqs_available,
        req_batch,
        percpu_available,
        cpu_credits,
        percpu_refs,
        atomic_refs,
        ref_state,
        dead,
        table_index,
    } = context;
    let ref_state = ref_state.map(|state| match state {
        RefState::PerCpu => file::RefState::PerCpu,
        RefState::Atomic => file::RefState::Atomic,
        RefState::Dead => file::RefState::Dead,
    });
    let mut unknown = Unknown::default();
    file::Kioctx {
        user_id: *user_id,
        mmap_base: unknown.or_zero(Fact::MmapBase, *mmap_base),
        mmap_size: unknown.or_zero(Fact::MmapSize, *mmap_size),
        nr_pages: unknown.or_zero(Fact::NrPages, *nr_pages),
        max_reqs: unknown.or_zero(Fact::MaxReqs, *max_reqs),
        nr_events: unknown.or_zero(Fact::NrEvents, *nr_events),
        tail: unknown.or_zero(Fact::Tail, *tail),
        completed_events: unknown.or_zero(Fact::CompletedEvents, *completed_events),
        reqs_available: unknown.or_zero(Fact::ReqsAvailable, *reqs_available),
        percpu_available: unknown.or_zero(Fact::PercpuAvailable, *percpu_available),
        percpu_refs: unknown.or_zero(Fact::PercpuRefs, *percpu_refs),
        atomic_refs: unknown.or_zero(Fact::AtomicRefs, *atomic_refs),
        ref_state: unknown.or_zero(Fact::RefState, ref_state.map(i32::from)),
        dead: unknown.or_zero(Fact::Dead, *dead),
        table_index: *table_index,
        unknown: unknown.list(),
        req_batch: *req_batch,
        cpu_credits: cpu_credits.iter().copied().map(credits).collect(),
    }
}

fn credits(CpuCredits { cpu, credits }: CpuCredits) -> file::CpuCredits {
    file::CpuCredits { cpu, credits }
}

fn task(task: &TaskFact) -> file::TaskFact {
    let TaskFact { tid: Tid(tid), pid: Pid(pid), switches, runtime_ns, on_cpu, state, start_boottime_ns } =
        *task;
    let mut unknown = Unknown::default();
    file::TaskFact {
        tid,
        pid,
        switches: unknown.or_zero(Fact::Switches, switches),
        runtime_ns: unknown.or_zero(Fact::Runtime, runtime_ns),
        on_cpu: unknown.or_zero(Fact::OnCpu, on_cpu),
        state: unknown.or_zero(Fact::State, state),
        start_boottime_ns: unknown.or_zero(Fact::StartBoottime, start_boottime_ns),
        unknown: unknown.list(),
    }
}

fn ring_mapping(mapping: &RingMapping) -> file::RingMapping {
    let RingMapping { start, end, offset, inode, perms, source } = *mapping;
    let source = match source {
        MappingSource::Smaps => file::MappingSource::Smaps,
        MappingSource::Iterator => file::MappingSource::Iterator,
    };
    file::RingMapping { start, end, offset, inode, perms: Some(permissions(perms)), source: source.into() }
}

fn permissions(Perms { read, write, exec, shared }: Perms) -> file::Perms {
    file::Perms { read, write, exec, shared }
}

fn header(reading: &HeaderReading) -> file::HeaderReading {
    use file::header_reading::Outcome;
    let HeaderReading { address: ContextId(address), bytes } = reading;
    let outcome = match bytes {
        Ok(bytes) => Outcome::Header(bytes.to_vec()),
        Err(errno) => Outcome::Errno(*errno),
    };
    file::HeaderReading { address: *address, outcome: Some(outcome) }
}

fn sharer(sharer: &Sharer) -> file::Sharer {
    let Sharer { pid: Pid(pid), comm, inode, address: ContextId(address) } = sharer;
    file::Sharer { pid: *pid, comm: comm.clone(), inode: *inode, address: *address }
}

fn image_facts(facts: &ImageFacts) -> file::ImageFacts {
    let ImageFacts { layout, auxv, vmas, thp_disabled } = facts;
    let MmLayout {
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
    } = *layout;
    let layout = file::MmLayout {
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
    file::ImageFacts {
        layout: Some(layout),
        auxv: auxv.clone(),
        vmas: vmas.iter().map(vma).collect(),
        thp_disabled: *thp_disabled,
    }
}

fn vma(vma: &Vma) -> file::Vma {
    let Vma {
        start,
        end,
        offset,
        perms,
        device: (device_major, device_minor),
        inode,
        name,
        vm_flags,
        is_ring,
    } = vma;
    file::Vma {
        start: *start,
        end: *end,
        offset: *offset,
        perms: Some(permissions(*perms)),
        device_major: *device_major,
        device_minor: *device_minor,
        inode: *inode,
        name: name.clone(),
        vm_flags: vm_flags.clone(),
        is_ring: *is_ring,
    }
}
