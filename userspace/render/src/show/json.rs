//! Evidence as JSON: the structs of the model, field by field.

use serde_json::{Value, json};

use aioinspect_model::evidence::{
    AddressSpace, CensusSource, Evidence, HeaderReading, ImageFacts, KernelWord, Look, Manner, MappingSource,
    Perms, Process, RingMapping, Sharer, TaskFact, TracedWord, Vma,
};
use aioinspect_model::kioctx::{CpuCredits, Kioctx, RefState};
use aioinspect_model::known::Lack;

use crate::escape::escape;
use crate::show;

pub(super) fn evidence(evidence: &Evidence) -> Value {
    let system = &evidence.system;
    let mut value = json!({
        "schema_version": 1,
        "system": {
            "aio_nr": system.aio_nr,
            "aio_max_nr": system.aio_max_nr,
            "possible_cpus": system.possible_cpus,
            "page_size": system.page_size,
            "kernel_release": escape(system.kernel_release.as_bytes()),
            "tool_version": escape(system.tool_version.as_bytes()),
            "taken_at_unix_ns": system.taken_at_unix_ns,
        },
        "source": source_name(evidence.source),
        "target": evidence.target.map(|pid| pid.0),
        "spaces": list(&evidence.spaces, space),
    });
    if !system.online_cpus.is_empty()
        && let Some(keys) = value.pointer_mut("/system").and_then(Value::as_object_mut)
    {
        keys.insert("online_cpus".to_owned(), system.online_cpus.to_string().into());
    }
    if let (Some(keys), [_, ..]) = (value.as_object_mut(), evidence.lacks.as_slice()) {
        keys.insert("lacks".to_owned(), list(&evidence.lacks, lack).into());
    }
    value
}

fn lack(lack: &Lack) -> Value {
    json!({ "fact": lack.fact.name(), "why": escape(lack.why.as_bytes()) })
}

fn space(space: &AddressSpace) -> Value {
    json!({
        "mm": space.mm.0,
        "processes": list(&space.processes, process),
        "looks": list(&space.looks, look),
        "image": space.image.as_ref().map(image),
        "traced": space.traced.as_ref().map(traced),
        "not_looked_at": space.not_looked_at.map(crate::json::not_looked_at),
    })
}

fn process(process: &Process) -> Value {
    json!({
        "pid": process.pid.0,
        "comm": escape(&process.comm),
        "start_ticks": process.start_ticks,
        "cgroup": process.cgroup.as_deref().map(escape),
    })
}

fn look(look: &Look) -> Value {
    json!({
        "manner": manner_name(look.manner),
        "before": look.before.as_ref().map(kernel_word),
        "mappings": list(&look.mappings, mapping),
        "mappings_at_ns": look.mappings_at.0,
        "mappings_checked": look.mappings_checked,
        "headers": list(&look.headers, header),
        "headers_at_ns": look.headers_at.0,
        "after": look.after.as_ref().map(kernel_word),
        "sharers": list(&look.sharers, sharer),
        "pause_ns": look.pause_ns,
    })
}

fn traced(word: &TracedWord) -> Value {
    json!({
        "since_ns": word.since.0,
        "contexts": list(&word.contexts, |context| json!({
            "table_index": context.table_index,
            "made_at_ns": context.made.map(|made| made.at.0),
            "pid": context.pid.0,
            "tid": context.made.map(|made| made.tid.0),
            "comm": escape(&context.comm),
            "max_reqs": context.max_reqs,
        })),
    })
}

fn kernel_word(word: &KernelWord) -> Value {
    json!({
        "begun_at_ns": word.begun_at.0,
        "ended_at_ns": word.ended_at.0,
        "contexts": list(&word.contexts, kioctx),
        "tasks": list(&word.tasks, task),
        "mm": {
            "brk": word.mm.brk.map(hex),
            "dumpable": word.mm.dumpable,
            "lock_seq": word.mm.lock_seq,
            "map_count": word.mm.map_count,
        },
        "torn": word.torn,
    })
}

fn kioctx(context: &Kioctx) -> Value {
    let mut value = json!({
        "user_id": hex(context.user_id.0),
        "table_index": context.table_index,
        "mmap_base": context.mmap_base.map(hex),
        "mmap_size": context.mmap_size,
        "nr_pages": context.nr_pages,
        "max_reqs": context.max_reqs,
        "nr_events": context.nr_events,
        "tail": context.tail,
        "completed_events": context.completed_events,
        "reqs_available": context.reqs_available,
        "percpu_available": context.percpu_available,
        "percpu_refs": context.percpu_refs,
        "atomic_refs": context.atomic_refs,
        "ref_state": context.ref_state.map(ref_state_name),
        "dead": context.dead,
    });
    if let Some(keys) = value.as_object_mut() {
        // Evidence of an earlier version has neither.
        keys.extend(context.req_batch.map(|batch| ("req_batch".to_owned(), batch.into())));
        if !context.cpu_credits.is_empty() {
            let of = |of: &CpuCredits| json!({ "cpu": of.cpu, "credits": of.credits });
            keys.insert("cpu_credits".to_owned(), list(&context.cpu_credits, of).into());
        }
    }
    value
}

fn task(task: &TaskFact) -> Value {
    json!({
        "tid": task.tid.0,
        "pid": task.pid.0,
        "switches": task.switches,
        "runtime_ns": task.runtime_ns,
        "on_cpu": task.on_cpu,
        "state": task.state,
        "start_boottime_ns": task.start_boottime_ns,
    })
}

fn mapping(mapping: &RingMapping) -> Value {
    json!({
        "start": hex(mapping.start),
        "end": hex(mapping.end),
        "offset": mapping.offset,
        "inode": mapping.inode,
        "perms": perms_text(mapping.perms),
        "source": mapping_source_name(mapping.source),
    })
}

fn header(reading: &HeaderReading) -> Value {
    let (bytes, errno) = match reading.bytes {
        Ok(bytes) => (Some(show::hex(&bytes)), None),
        Err(errno) => (None, Some(errno)),
    };
    json!({ "address": hex(reading.address.0), "bytes": bytes, "errno": errno })
}

fn sharer(sharer: &Sharer) -> Value {
    json!({
        "pid": sharer.pid.0,
        "comm": escape(&sharer.comm),
        "inode": sharer.inode,
        "address": hex(sharer.address.0),
    })
}

fn image(facts: &ImageFacts) -> Value {
    let layout = &facts.layout;
    json!({
        "layout": {
            "start_code": hex(layout.start_code),
            "end_code": hex(layout.end_code),
            "start_stack": hex(layout.start_stack),
            "start_data": hex(layout.start_data),
            "end_data": hex(layout.end_data),
            "start_brk": hex(layout.start_brk),
            "arg_start": hex(layout.arg_start),
            "arg_end": hex(layout.arg_end),
            "env_start": hex(layout.env_start),
            "env_end": hex(layout.env_end),
        },
        "auxv": facts.auxv,
        "vmas": list(&facts.vmas, vma),
        "thp_disabled": facts.thp_disabled,
    })
}

fn vma(vma: &Vma) -> Value {
    json!({
        "start": hex(vma.start),
        "end": hex(vma.end),
        "offset": vma.offset,
        "perms": perms_text(vma.perms),
        "device": format!("{:02x}:{:02x}", vma.device.0, vma.device.1),
        "inode": vma.inode,
        "name": escape(&vma.name),
        "vm_flags": escape(vma.vm_flags.as_bytes()),
        "is_ring": vma.is_ring,
    })
}

fn list<T>(items: &[T], one: impl Fn(&T) -> Value) -> Vec<Value> {
    items.iter().map(one).collect()
}

fn hex(address: u64) -> String {
    format!("{address:#x}")
}

/// The four letters of `/proc/PID/maps`.
pub(super) fn perms_text(perms: Perms) -> String {
    let letter = |set, yes, no| if set { yes } else { no };
    [
        letter(perms.read, 'r', '-'),
        letter(perms.write, 'w', '-'),
        letter(perms.exec, 'x', '-'),
        letter(perms.shared, 's', 'p'),
    ]
    .iter()
    .collect()
}

/// Who named the contexts.
pub(super) fn source_name(source: CensusSource) -> &'static str {
    match source {
        CensusSource::Bpf => "bpf",
        CensusSource::Proc => "proc",
    }
}

/// How the target was held.
pub(super) fn manner_name(manner: Manner) -> &'static str {
    match manner {
        Manner::Running => "running",
        Manner::Frozen => "frozen",
        Manner::Held => "held",
    }
}

/// Mode of a percpu_ref.
pub(super) fn ref_state_name(state: RefState) -> &'static str {
    match state {
        RefState::PerCpu => "percpu",
        RefState::Atomic => "atomic",
        RefState::Dead => "dead",
    }
}

/// Who reported a mapping.
pub(super) fn mapping_source_name(source: MappingSource) -> &'static str {
    match source {
        MappingSource::Smaps => "smaps",
        MappingSource::Iterator => "iterator",
    }
}
