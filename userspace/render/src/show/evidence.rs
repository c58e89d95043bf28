//! Evidence as `show` has it: every struct of the model, field by field, for text and JSON alike.

use std::io::{self, Write};

use serde_json::Value as Json;

use aioinspect_model::architecture::Architecture;
use aioinspect_model::container_names::Names;
use aioinspect_model::cpus::CpuSet;
use aioinspect_model::evidence::{
    AddressSpace, CensusSource, Doing, Evidence, HeaderReading, ImageFacts, KernelWord, Look, Manner,
    MappingSource, MmFact, MmLayout, NotLookedAt, Perms, Process, RingMapping, Sharer, SystemFacts, TaskFact,
    TracedContext, TracedWord, Vma, Wait,
};
use aioinspect_model::header::RingHeader;
use aioinspect_model::kioctx::{CpuCredits, Kioctx, RefState};
use aioinspect_model::known::{Fact, Lack};
use aioinspect_model::units::Instant;

use crate::escape::escape;
use crate::json::SCHEMA_VERSION;
use crate::show::hex as digits;
use crate::show::text::Printer;
use crate::show::value::{Shown, Value, record, words};

/// Prints it as text.
pub(super) fn print(evidence: &Evidence, out: &mut dyn Write) -> io::Result<()> {
    let Value::Record(fields) = evidence.value() else { return Ok(()) };
    Printer { first: first_instant(evidence), out }.record(0, "evidence", &fields)
}

/// The same as JSON.
pub(super) fn json(evidence: &Evidence) -> Json {
    let mut value =
        Json::Object(std::iter::once(("schema_version".to_owned(), SCHEMA_VERSION.into())).collect());
    if let (Some(all), Some(Json::Object(keys))) = (value.as_object_mut(), evidence.value().into_json()) {
        all.extend(keys);
    }
    value
}

fn first_instant(evidence: &Evidence) -> Instant {
    let of_word = |word: &KernelWord| [word.begun_at, word.ended_at];
    let looks = evidence.spaces.iter().flat_map(|space| &space.looks);
    let instants = looks.flat_map(|look| {
        let words = look.before.iter().chain(&look.after).flat_map(of_word);
        words.chain([look.mappings_at, look.headers_at])
    });
    instants.filter(|instant| instant.0 != 0).min().unwrap_or_default()
}

macro_rules! shown {
    ($($of:ident { $($fields:tt)* })*) => {
        $(impl Shown for $of {
            fn value(&self) -> Value {
                record!(self, $of { $($fields)* })
            }
        })*
    };
}

shown! {
    Evidence { system, source, target, root by if_known, spaces, lacks by if_any }
    SystemFacts {
        aio_nr, aio_max_nr, possible_cpus, page_size, kernel_release by text, tool_version by text,
        taken_at_unix_ns by date, online_cpus by cpus, architecture by if_known,
    }
    Lack { fact by fact_name, why by text }
    AddressSpace { mm, processes, looks, image, traced, not_looked_at }
    NotLookedAt { io_urings as "io_uring", posix_aio_threads }
    TracedWord { since as "since_ns", contexts }
    Process {
        pid, comm by bytes, start_ticks, cgroup by bytes_if_read, ns_pids by cells_if_any, uid by if_known,
        user by bytes_if_known, cmdline by bytes_if_known, names by if_known,
    }
    Names { pod by text, namespace by text, container by text, image by text }
    Look {
        manner, before, mappings, mappings_at as "mappings_at_ns", mappings_checked, headers,
        headers_at as "headers_at_ns", after, sharers, pause_ns,
    }
    KernelWord { begun_at as "begun_at_ns", ended_at as "ended_at_ns", contexts, tasks, mm, torn, waits by if_any }
    Wait { tid, pid, doing, id, asleep_ns, left, contexts }
    MmFact { brk by address_if_known, dumpable, lock_seq, map_count }
    Kioctx {
        user_id, table_index, mmap_base by address_if_known, mmap_size, nr_pages, max_reqs, nr_events, tail,
        completed_events, reqs_available, percpu_available, percpu_refs, atomic_refs, ref_state, dead,
        req_batch by if_known, cpu_credits by cells_if_any,
    }
    CpuCredits { cpu, credits }
    TaskFact { tid, pid, switches, runtime_ns, on_cpu, state, start_boottime_ns }
    RingMapping { start by address, end by address, offset, inode, perms, source }
    Sharer { pid, comm by bytes, inode, address }
    ImageFacts { layout, auxv by cells, vmas, thp_disabled }
    MmLayout {
        start_code by address, end_code by address, start_stack by address, start_data by address,
        end_data by address, start_brk by address, arg_start by address, arg_end by address,
        env_start by address, env_end by address,
    }
    Vma {
        start by address, end by address, offset, perms, device by device_numbers, inode, name by bytes,
        vm_flags by text, is_ring,
    }
}

words! {
    CensusSource { Bpf: "bpf", Proc: "proc" }
    Manner { Running: "running", Frozen: "frozen", Held: "held" }
    RefState { PerCpu: "percpu", Atomic: "atomic", Dead: "dead" }
    MappingSource { Smaps: "smaps", Iterator: "iterator" }
}

impl Shown for Architecture {
    fn value(&self) -> Value {
        Value::Plain(self.name().into())
    }
}

impl Shown for Doing {
    fn value(&self) -> Value {
        Value::Plain(self.word().into())
    }
}

impl Shown for TracedContext {
    fn value(&self) -> Value {
        let TracedContext { table_index, made, pid, comm, max_reqs } = self;
        Value::Record(vec![
            ("table_index", table_index.value()),
            ("made_at_ns", made.map(|made| made.at).value()),
            ("pid", pid.value()),
            ("tid", made.map(|made| made.tid).value()),
            ("comm", by::bytes(comm)),
            ("max_reqs", max_reqs.value()),
        ])
    }
}

/// What the bytes say is beside them in the text.
impl Shown for HeaderReading {
    fn value(&self) -> Value {
        let HeaderReading { address, bytes } = self;
        let says = bytes.map(|bytes| RingHeader::decode(&bytes)).map_or_else(
            |_| "-".to_owned(),
            |RingHeader { id, nr, head, tail, magic, compat_features, incompat_features, header_length }| {
                format!(
                    "id {id}, nr {nr}, head {head}, tail {tail}, magic {magic:#x}, compat {compat_features}, \
                     incompat {incompat_features}, header_length {header_length}"
                )
            },
        );
        Value::Record(vec![
            ("address", address.value()),
            ("bytes", Value::Plain(bytes.ok().map(|bytes| digits(&bytes)).into())),
            ("errno", bytes.err().value()),
            ("says", Value::TextOnly(says)),
        ])
    }
}

/// The four letters of `/proc/PID/maps`.
impl Shown for Perms {
    fn value(&self) -> Value {
        let Perms { read, write, exec, shared } = *self;
        let letter = |set, yes, no| if set { yes } else { no };
        let letters = [
            letter(read, 'r', '-'),
            letter(write, 'w', '-'),
            letter(exec, 'x', '-'),
            letter(shared, 's', 'p'),
        ];
        Value::Plain(letters.iter().collect::<String>().into())
    }
}

/// How a field is shown that is not shown as what its type says.
mod by {
    #![expect(
        clippy::trivially_copy_pass_by_ref,
        clippy::ref_option,
        reason = "record! hands over each field by reference"
    )]

    use super::{CpuSet, Fact, Json, Shown, Value, escape};

    pub(super) fn address(address: &u64) -> Value {
        Value::Plain(format!("{address:#x}").into())
    }

    pub(super) fn address_if_known(known: &Option<u64>) -> Value {
        known.as_ref().map_or(Value::Plain(Json::Null), address)
    }

    pub(super) fn bytes(bytes: &[u8]) -> Value {
        Value::Plain(escape(bytes).into())
    }

    pub(super) fn bytes_if_read(read: &Option<Vec<u8>>) -> Value {
        read.as_deref().map_or(Value::Plain(Json::Null), bytes)
    }

    pub(super) fn bytes_if_known(read: &Option<Vec<u8>>) -> Value {
        read.as_deref().map_or(Value::Absent, bytes)
    }

    pub(super) fn text(text: &str) -> Value {
        Value::Plain(escape(text.as_bytes()).into())
    }

    pub(super) fn date(unix_ns: &u64) -> Value {
        Value::Date(*unix_ns)
    }

    pub(super) fn cpus(cpus: &CpuSet) -> Value {
        if cpus.is_empty() { Value::Absent } else { Value::Plain(cpus.to_string().into()) }
    }

    pub(super) fn fact_name(fact: &Fact) -> Value {
        Value::Plain(fact.name().into())
    }

    pub(super) fn device_numbers((major, minor): &(u32, u32)) -> Value {
        Value::Plain(format!("{major:02x}:{minor:02x}").into())
    }

    pub(super) fn if_known<T: Shown>(known: &Option<T>) -> Value {
        known.as_ref().map_or(Value::Absent, Shown::value)
    }

    pub(super) fn if_any<T: Shown>(items: &[T]) -> Value {
        if items.is_empty() { Value::Absent } else { Value::List(items.iter().map(Shown::value).collect()) }
    }

    pub(super) fn cells<T: Shown>(items: &[T]) -> Value {
        Value::Cells(items.iter().map(Shown::value).collect())
    }

    pub(super) fn cells_if_any<T: Shown>(items: &[T]) -> Value {
        if items.is_empty() { Value::Absent } else { cells(items) }
    }
}

#[cfg(test)]
mod tests;
