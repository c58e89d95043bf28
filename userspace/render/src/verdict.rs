//! What `check` and `dump` say of a process.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use serde::Serialize;

use aioinspect_model::evidence::{Evidence, Manner};
use aioinspect_model::finding::Finding;
use aioinspect_model::known;
use aioinspect_model::not_looked_at;
use aioinspect_model::picture::{Origin, Picture, Proof, SpaceView};
use aioinspect_model::units::Pid;
use aioinspect_model::verdict::{DumpVerdict, Reason, ghosts_of, space_of, warnings_of};

use crate::count::count;
use crate::escape::escaped;
use crate::json::{self, SCHEMA_VERSION};
use crate::{event_line, time};

/// Everything there is to say.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// What was read: for names.
    pub evidence: &'a Evidence,
    /// What the judge made of it.
    pub picture: &'a Picture,
    /// The process that was asked about.
    pub pid: Pid,
    /// Whether it can be dumped.
    pub verdict: &'a DumpVerdict,
    /// The files that were written.
    pub wrote: &'a [PathBuf],
}

/// The word for a verdict: idle, not-idle, busy or unproven; no-such-process where there is none.
pub fn word(verdict: &DumpVerdict) -> &'static str {
    match verdict {
        DumpVerdict::Idle { unproven, .. } if unproven.is_empty() => "idle",
        DumpVerdict::Idle { .. } => "unproven",
        // Nothing is wrong with it that was seen; it was just not seen well enough.
        DumpVerdict::Refused { reasons } if reasons.iter().all(|reason| reason.finding.is_none()) => {
            "unproven"
        }
        DumpVerdict::Refused { .. } => "not-idle",
        DumpVerdict::Busy { .. } => "busy",
        DumpVerdict::NoSuchProcess => "no-such-process",
    }
}

/// Writes the verdict in one line, and a line for each thing that stands against it or must be known.
pub fn write(out: &mut dyn Write, report: &Report<'_>) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    let Some(space) = space_of(report.picture, report.pid) else {
        writeln!(out, "pid {}: no such process", report.pid)?;
        return out.flush();
    };
    writeln!(out, "pid {} ({}) {}", report.pid, name(report), headline(report, space))?;
    for reason in reasons(report.verdict) {
        let (start, remedy) = (place(report.picture, reason), reason.remedy);
        let separator = if remedy.is_empty() { "" } else { "; " };
        writeln!(out, "  {start}{}{separator}{remedy}", escaped(reason.what.as_bytes()))?;
    }
    for open in unproven(report.verdict) {
        writeln!(out, "  not proven: {open}")?;
    }
    warnings(report, space, &mut out)?;
    origins(report, space, &mut out)?;
    let said: Vec<&str> = reasons(report.verdict).iter().map(|reason| reason.what.as_str()).collect();
    for line in not_looked_at::of(report.evidence, report.pid).iter().flat_map(not_looked_at::lines) {
        // Asked strictly it stands against it, and was said.
        if !said.contains(&&*line) {
            writeln!(out, "  {line}")?;
        }
    }
    for ghost in ghosts_of(report.picture, space) {
        let (address, bytes) = (ghost.address, ghost.ring_len);
        writeln!(
            out,
            "  ghost-ring: {address}: {bytes} bytes of a ring without a context; a dump does not include it"
        )?;
    }
    for path in report.wrote {
        writeln!(out, "wrote {}", escaped(path.as_os_str().as_encoded_bytes()))?;
    }
    out.flush()
}

/// A line for each thing that must be known; contexts of which the same is to be said share one.
fn warnings(report: &Report<'_>, space: &SpaceView, out: &mut dyn Write) -> io::Result<()> {
    let mut alike: BTreeMap<(Finding, &str), usize> = BTreeMap::new();
    for (_, finding, detail) in warnings_of(report.picture, space) {
        *alike.entry((finding, detail)).or_default() += 1;
    }
    for (index, finding, detail) in warnings_of(report.picture, space) {
        let Some(count) = alike.remove(&(finding, detail)) else { continue };
        let context =
            report.picture.contexts.get(index).map_or_else(String::new, |view| view.context.to_string());
        let more = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
        let detail = escaped(detail.as_bytes());
        writeln!(out, "  {finding}: {context}{more}: {}: {detail}", finding.says())?;
    }
    Ok(())
}

/// How many contexts are named one by one; of more the rest is counted.
const NAMED: usize = 16;

/// Where the contexts come from, by the word of a watch that is under way.
fn origins(report: &Report<'_>, space: &SpaceView, out: &mut dyn Write) -> io::Result<()> {
    let views = space.contexts.iter().filter_map(|index| report.picture.contexts.get(*index));
    let known: Vec<_> = views.filter_map(|view| Some((view.context, view.origin?))).collect();
    for (context, origin) in known.iter().take(NAMED) {
        match origin {
            Origin::Made { unix_ns, age_ns, pid, tid, max_reqs } => writeln!(
                out,
                "  {context}: io_setup({max_reqs}) by thread {tid} of pid {pid} at {}, {} ago",
                time::of_day(*unix_ns),
                event_line::duration(*age_ns)
            )?,
            Origin::Found { since_unix_ns } => writeln!(
                out,
                "  {context}: was made before the watch began at {}, or the watch missed it",
                time::of_day(*since_unix_ns)
            )?,
        }
    }
    match known.len().saturating_sub(NAMED) {
        0 => Ok(()),
        more => writeln!(out, "  and {more} more that the watch knows (-J shows all)"),
    }
}

/// The same for JSON.
fn origin_keys(origin: Origin) -> serde_json::Value {
    match origin {
        Origin::Made { unix_ns, age_ns: _, pid, tid, max_reqs } => serde_json::json!({
            "made": time::full(unix_ns), "pid": pid.0, "tid": tid.0, "max_reqs": max_reqs,
        }),
        Origin::Found { since_unix_ns } => {
            serde_json::json!({"made": null, "watched_since": time::full(since_unix_ns)})
        }
    }
}

fn headline(report: &Report<'_>, space: &SpaceView) -> String {
    let contexts = count(space.contexts.len(), "context");
    let seen = how(report.evidence, space);
    match report.verdict {
        DumpVerdict::Idle { unproven, .. } if !unproven.is_empty() => {
            format!("appears idle (not proven): {contexts} ({seen})")
        }
        DumpVerdict::Idle { .. } => format!("is idle: {contexts} ({seen})"),
        DumpVerdict::Refused { reasons } => {
            let mut against: Vec<usize> = reasons.iter().filter_map(|reason| reason.context).collect();
            against.dedup();
            match (word(report.verdict), against.len()) {
                ("unproven", _) => format!("is not proven idle: {contexts} ({seen})"),
                (_, count) => format!("is not idle: {count} of {contexts} ({seen})"),
            }
        }
        DumpVerdict::Busy { .. } => {
            let freeze = match space.manner {
                Manner::Running => ", or use --freeze ptrace",
                Manner::Frozen | Manner::Held => "",
            };
            format!("is busy: {contexts} ({seen}); look again with --wait 5s{freeze}")
        }
        DumpVerdict::NoSuchProcess => "is not in this evidence".to_owned(),
    }
}

/// How it was looked at, and so why it may be believed.
fn how(evidence: &Evidence, space: &SpaceView) -> String {
    match (space.manner, space.proof) {
        (Manner::Frozen, Proof::Busy) => "it changed around the freeze".to_owned(),
        (_, Proof::Busy) => "it ran while we looked".to_owned(),
        (Manner::Frozen, _) => format!("frozen for {} us", space.pause_ns / 1000),
        (Manner::Held, _) => "stopped by someone else".to_owned(),
        (Manner::Running, Proof::Consistent) => "not stopped: it slept throughout".to_owned(),
        (Manner::Running, Proof::Unproven) if known::why(&evidence.lacks, &known::SCHEDULER).is_some() => {
            "not stopped; it may have run meanwhile".to_owned()
        }
        (Manner::Running, Proof::Unproven) => "not stopped, read only once".to_owned(),
    }
}

fn reasons(verdict: &DumpVerdict) -> &[Reason] {
    match verdict {
        DumpVerdict::Refused { reasons } | DumpVerdict::Busy { seen: reasons } => reasons,
        DumpVerdict::Idle { .. } | DumpVerdict::NoSuchProcess => &[],
    }
}

fn unproven(verdict: &DumpVerdict) -> &[&'static str] {
    match verdict {
        DumpVerdict::Idle { unproven, .. } => unproven,
        DumpVerdict::Refused { .. } | DumpVerdict::Busy { .. } | DumpVerdict::NoSuchProcess => &[],
    }
}

/// The context a reason is about; nothing for one about the whole process.
fn place(picture: &Picture, reason: &Reason) -> String {
    let view = reason.context.and_then(|index| picture.contexts.get(index));
    view.map_or_else(String::new, |view| format!("{}: ", view.context))
}

fn name<'a>(report: &Report<'a>) -> Cow<'a, str> {
    let processes = report.evidence.spaces.iter().flat_map(|space| &space.processes);
    let named = processes.into_iter().find(|process| process.pid == report.pid);
    escaped(named.map_or(b"?", |process| process.comm.as_slice()))
}

#[derive(Serialize)]
struct Head<'a> {
    schema_version: u32,
    pid: u32,
    comm: Cow<'a, str>,
    verdict: &'static str,
    proof: Option<&'static str>,
    manner: Option<&'static str>,
    pause_ns: u64,
    reasons: Vec<ReasonKeys<'a>>,
    unproven: &'a [&'static str],
    not_looked_at: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    wrote: Vec<Cow<'a, str>>,
}

#[derive(Serialize)]
struct ReasonKeys<'a> {
    finding: Option<&'static str>,
    what: Cow<'a, str>,
    remedy: &'static str,
}

/// Writes the verdict as JSON: what holds of the process, then its contexts as in `list -J`, each with its reasons.
pub fn write_json(out: &mut dyn Write, report: &Report<'_>) -> io::Result<()> {
    let space = space_of(report.picture, report.pid);
    let head = Head {
        schema_version: SCHEMA_VERSION,
        pid: report.pid.0,
        comm: name(report),
        verdict: word(report.verdict),
        proof: space.map(|space| match space.proof {
            Proof::Consistent => "consistent",
            Proof::Busy => "busy",
            Proof::Unproven => "unproven",
        }),
        manner: space.map(|space| match space.manner {
            Manner::Running => "running",
            Manner::Frozen => "frozen",
            Manner::Held => "held",
        }),
        pause_ns: space.map_or(0, |space| space.pause_ns),
        reasons: reasons_for(report.verdict, None),
        unproven: unproven(report.verdict),
        not_looked_at: not_looked_at::of(report.evidence, report.pid).map(json::not_looked_at),
        wrote: report.wrote.iter().map(|path| escaped(path.as_os_str().as_encoded_bytes())).collect(),
    };
    let mut text = serde_json::to_string(&head)?;
    // The arrays that can be long follow in the same object, an element a line.
    text.pop();
    write!(out, "{text},\n \"contexts\":[")?;
    let indices = space.into_iter().flat_map(|space| &space.contexts);
    let views = indices.filter_map(|index| Some((*index, report.picture.contexts.get(*index)?)));
    json::each_line(out, views, |(index, view), text| {
        json::context(view, text)?;
        text.extend_from_slice(b",\"origin\":");
        serde_json::to_writer(&mut *text, &view.origin.map(origin_keys))?;
        text.extend_from_slice(b",\"reasons\":");
        serde_json::to_writer(&mut *text, &reasons_for(report.verdict, Some(index)))?;
        text.push(b'}');
        Ok(())
    })?;
    out.write_all(b"],\n \"ghosts\":[")?;
    let ghosts = space.into_iter().flat_map(|space| ghosts_of(report.picture, space));
    json::each_line(out, ghosts, json::ghost)?;
    out.write_all(b"]}\n")
}

/// The reasons about one context, or about the whole process. They come in the order of the contexts.
fn reasons_for(verdict: &DumpVerdict, context: Option<usize>) -> Vec<ReasonKeys<'_>> {
    let all = reasons(verdict);
    let from = all.partition_point(|reason| reason.context < context);
    let about = all.get(from..).unwrap_or_default().iter().take_while(|reason| reason.context == context);
    about
        .map(|reason| ReasonKeys {
            finding: reason.finding.map(Finding::code),
            what: escaped(reason.what.as_bytes()),
            remedy: reason.remedy,
        })
        .collect()
}

#[cfg(test)]
mod tests;
