//! Evidence as text: each look in the order of reading, instants relative to the first one.

use std::io::{self, Write};

use aioinspect_model::evidence::{
    AddressSpace, Evidence, HeaderReading, ImageFacts, KernelWord, Look, RingMapping, Sharer, TaskFact,
    TracedWord,
};
use aioinspect_model::header::RingHeader;
use aioinspect_model::kioctx::Kioctx;
use aioinspect_model::not_looked_at;
use aioinspect_model::units::Instant;

use crate::escape::escape;
use crate::show::json::{manner_name, mapping_source_name, perms_text, ref_state_name, source_name};
use crate::show::{count, hex, or_dash, row, table, yes};
use crate::time;

pub(super) fn print(evidence: &Evidence, out: &mut dyn Write) -> io::Result<()> {
    let system = &evidence.system;
    let of = evidence.target.map_or_else(|| "the whole host".to_owned(), |pid| format!("process {pid}"));
    let spaces = count(evidence.spaces.len(), "address space");
    writeln!(out, "evidence of {of}: {spaces}, contexts by {}", source_name(evidence.source))?;
    let version = escape(system.tool_version.as_bytes());
    writeln!(out, "  taken at {} by aioinspect {version}", time::full(system.taken_at_unix_ns))?;
    let release = escape(system.kernel_release.as_bytes());
    writeln!(
        out,
        "  Linux {release}, {}, page size {}, aio-nr {} of {}",
        count(usize::try_from(system.possible_cpus).unwrap_or(usize::MAX), "possible CPU"),
        system.page_size,
        system.aio_nr,
        system.aio_max_nr
    )?;
    for lack in &evidence.lacks {
        writeln!(out, "  {} is not known: {}", lack.fact.name(), escape(lack.why.as_bytes()))?;
    }
    let clock = Clock { first: first_instant(evidence) };
    evidence.spaces.iter().try_for_each(|space| print_space(space, clock, out))
}

/// Prints instants relative to the first reading of the evidence.
#[derive(Clone, Copy)]
struct Clock {
    first: Instant,
}

impl Clock {
    /// Microseconds after the first reading; `-` for 0, which is not read.
    fn at(self, instant: Instant) -> String {
        if instant.0 == 0 {
            return "-".to_owned();
        }
        let ns = instant.0.saturating_sub(self.first.0);
        format!("+{}.{:03} us", ns / 1000, ns % 1000)
    }
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

fn print_space(space: &AddressSpace, clock: Clock, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\naddress space {}", space.mm.0)?;
    for process in &space.processes {
        let comm = escape(&process.comm);
        let cgroup = process.cgroup.as_deref().map(|text| escape(text.trim_ascii_end()));
        writeln!(
            out,
            "  process {} \"{comm}\", start {} ticks, cgroup {}",
            process.pid,
            process.start_ticks,
            or_dash(cgroup)
        )?;
    }
    for (i, look) in space.looks.iter().enumerate() {
        writeln!(
            out,
            "  look {} of {}: {}, stopped by us for {} ns",
            i + 1,
            space.looks.len(),
            manner_name(look.manner),
            look.pause_ns
        )?;
        print_look(look, clock, out)?;
    }
    if let Some(word) = &space.traced {
        print_traced(word, clock, out)?;
    }
    for line in space.not_looked_at.iter().flat_map(not_looked_at::lines) {
        writeln!(out, "  {line}")?;
    }
    space.image.as_ref().map_or(Ok(()), |facts| print_image(facts, out))
}

/// Instants of a watch are before the first reading: shown as so long ago.
fn print_traced(word: &TracedWord, clock: Clock, out: &mut dyn Write) -> io::Result<()> {
    let ago = |at: Instant| format!("{} ms before", clock.first.0.saturating_sub(at.0) / 1_000_000);
    let contexts = count(word.contexts.len(), "context");
    writeln!(out, "  a watch that began {} knew {contexts}", ago(word.since))?;
    for context in &word.contexts {
        let (slot, max_reqs, comm) = (context.table_index, context.max_reqs, escape(&context.comm));
        let made = context.made.map_or_else(
            || "found by a census".to_owned(),
            |made| format!("made {} by thread {}", ago(made.at), made.tid),
        );
        writeln!(out, "    slot {slot}: max_reqs {max_reqs}, {made}, process {} \"{comm}\"", context.pid)?;
    }
    Ok(())
}

fn print_look(look: &Look, clock: Clock, out: &mut dyn Write) -> io::Result<()> {
    if let Some(word) = &look.before {
        print_word("kernel before", word, clock, out)?;
    }
    let checked = if look.mappings_checked { ", unchanged when the headers were read" } else { "" };
    let mappings = count(look.mappings.len(), "ring mapping");
    writeln!(out, "    {mappings} at {}{checked}", clock.at(look.mappings_at))?;
    print_mappings(&look.mappings, out)?;
    let headers = count(look.headers.len(), "ring header");
    writeln!(out, "    {headers} at {}", clock.at(look.headers_at))?;
    look.headers.iter().try_for_each(|reading| print_header(reading, out))?;
    print_sharers(&look.sharers, out)?;
    look.after.as_ref().map_or(Ok(()), |word| print_word("kernel after", word, clock, out))
}

fn print_word(title: &str, word: &KernelWord, clock: Clock, out: &mut dyn Write) -> io::Result<()> {
    let torn = if word.torn { ", torn" } else { "" };
    writeln!(out, "    {title}, {} to {}{torn}", clock.at(word.begun_at), clock.at(word.ended_at))?;
    let mm = word.mm;
    let lock_seq = or_dash(mm.lock_seq);
    writeln!(
        out,
        "      mm: brk {}, dumpable {}, lock_seq {lock_seq}, map_count {}",
        address(mm.brk),
        or_dash(mm.dumpable),
        or_dash(mm.map_count)
    )?;
    if !word.contexts.is_empty() {
        let mut rows = vec![row![
            "USER_ID",
            "INDEX",
            "MAX_REQS",
            "NR_EVENTS",
            "TAIL",
            "COMPLETED",
            "AVAILABLE",
            "PERCPU",
            "REFS",
            "ATOMIC",
            "STATE",
            "DEAD",
            "MMAP_BASE",
            "MMAP_SIZE",
            "PAGES",
        ]];
        rows.extend(word.contexts.iter().map(|c| {
            row![
                c.user_id,
                c.table_index,
                or_dash(c.max_reqs),
                or_dash(c.nr_events),
                or_dash(c.tail),
                or_dash(c.completed_events),
                or_dash(c.reqs_available),
                or_dash(c.percpu_available),
                or_dash(c.percpu_refs),
                or_dash(c.atomic_refs),
                or_dash(c.ref_state.map(ref_state_name)),
                yes(c.dead),
                address(c.mmap_base),
                or_dash(c.mmap_size),
                or_dash(c.nr_pages),
            ]
        }));
        table("      ", &rows, out)?;
        word.contexts.iter().try_for_each(|context| print_credits(context, out))?;
    }
    print_tasks(&word.tasks, out)
}

/// The credits of single CPUs, where they were asked for.
fn print_credits(context: &Kioctx, out: &mut dyn Write) -> io::Result<()> {
    if context.cpu_credits.is_empty() {
        return Ok(());
    }
    let of: Vec<String> =
        context.cpu_credits.iter().map(|of| format!("CPU {}: {}", of.cpu, of.credits)).collect();
    let (id, batch) = (context.user_id, or_dash(context.req_batch));
    writeln!(out, "      credits of {id}, in batches of {batch}: {}", of.join(", "))
}

/// In hexadecimal digits, or `-` for what is not known.
fn address(value: Option<u64>) -> String {
    or_dash(value.map(|value| format!("{value:#x}")))
}

fn print_tasks(tasks: &[TaskFact], out: &mut dyn Write) -> io::Result<()> {
    if tasks.is_empty() {
        return Ok(());
    }
    let mut rows = vec![row!["TID", "PID", "SWITCHES", "RUNTIME_NS", "ON_CPU", "STATE", "START_NS"]];
    rows.extend(tasks.iter().map(|t| {
        row![
            t.tid,
            t.pid,
            or_dash(t.switches),
            or_dash(t.runtime_ns),
            yes(t.on_cpu),
            address(t.state.map(u64::from)),
            or_dash(t.start_boottime_ns)
        ]
    }));
    table("      ", &rows, out)
}

fn print_mappings(mappings: &[RingMapping], out: &mut dyn Write) -> io::Result<()> {
    if mappings.is_empty() {
        return Ok(());
    }
    let mut rows = vec![row!["START", "END", "PERMS", "OFFSET", "INODE", "SOURCE"]];
    rows.extend(mappings.iter().map(|m| {
        let source = mapping_source_name(m.source);
        row![
            format!("{:#x}", m.start),
            format!("{:#x}", m.end),
            perms_text(m.perms),
            m.offset,
            m.inode,
            source
        ]
    }));
    table("      ", &rows, out)
}

fn print_header(reading: &HeaderReading, out: &mut dyn Write) -> io::Result<()> {
    let bytes = match reading.bytes {
        Ok(bytes) => bytes,
        Err(errno) => return writeln!(out, "      {}  not read: errno {errno}", reading.address),
    };
    let (words, _) = bytes.as_chunks::<4>();
    let words: Vec<String> = words.iter().map(|word| hex(word)).collect();
    writeln!(out, "      {}  {}", reading.address, words.join(" "))?;
    let RingHeader { id, nr, head, tail, magic, compat_features, incompat_features, header_length } =
        RingHeader::decode(&bytes);
    writeln!(
        out,
        "        id {id}, nr {nr}, head {head}, tail {tail}, magic {magic:#x}, compat {compat_features}, \
         incompat {incompat_features}, header_length {header_length}"
    )
}

fn print_sharers(sharers: &[Sharer], out: &mut dyn Write) -> io::Result<()> {
    for sharer in sharers {
        let comm = escape(&sharer.comm);
        writeln!(
            out,
            "    also mapped by process {} \"{comm}\": inode {} at {}",
            sharer.pid, sharer.inode, sharer.address
        )?;
    }
    Ok(())
}

fn print_image(facts: &ImageFacts, out: &mut dyn Write) -> io::Result<()> {
    let auxv = count(facts.auxv.len(), "word");
    writeln!(out, "  for the image: auxv of {auxv}, thp_disabled {}", yes(facts.thp_disabled))?;
    let l = &facts.layout;
    let layout = [
        ("code", l.start_code, l.end_code),
        ("data", l.start_data, l.end_data),
        ("arguments", l.arg_start, l.arg_end),
        ("environment", l.env_start, l.env_end),
    ]
    .map(|(what, start, end)| row![what, format!("{start:#x}"), format!("{end:#x}")]);
    table("    ", &layout, out)?;
    writeln!(out, "    start_brk {:#x}, start_stack {:#x}", l.start_brk, l.start_stack)?;
    if facts.vmas.is_empty() {
        return Ok(());
    }
    let mut rows = vec![row!["START", "END", "PERMS", "OFFSET", "DEVICE", "INODE", "RING", "FLAGS", "NAME"]];
    rows.extend(facts.vmas.iter().map(|vma| {
        row![
            format!("{:#x}", vma.start),
            format!("{:#x}", vma.end),
            perms_text(vma.perms),
            vma.offset,
            format!("{:02x}:{:02x}", vma.device.0, vma.device.1),
            vma.inode,
            yes(vma.is_ring),
            escape(vma.vm_flags.as_bytes()),
            escape(&vma.name),
        ]
    }));
    table("    ", &rows, out)
}

#[cfg(test)]
mod tests;
