//! `--restore-on`: what restores on another host, and what it costs there.

use std::io::{self, Write};
use std::ops::RangeInclusive;

use serde_json::{Value, json};

use aioinspect_model::architecture::Architecture;
use aioinspect_model::restore_fit::{Outcome, ProcessFit, RESTORER_SLOTS, RestoreFit, RingFit};

use crate::count::count;
use crate::escape::escaped;
use crate::json::SCHEMA_VERSION;
use crate::show::{or_dash, row, table};

/// How many rings that do not restore are explained one by one; the table shows all.
const EXPLAINED: usize = 16;

/// Writes the verdict in one line, a table of the contexts, and a line for each thing that stands against a restore.
pub fn write(out: &mut dyn Write, fit: &RestoreFit) -> io::Result<()> {
    writeln!(out, "{}", headline(fit))?;
    if fit.rings().next().is_some() {
        let mut rows = vec![row![
            "PROCESS",
            "CONTEXT",
            "NR_EVENTS",
            "MAX_REQS",
            "IN_IMAGE",
            "GOOD_ON",
            "NR_REQ",
            "RESTORES"
        ]];
        for (process, ring) in each(fit) {
            rows.push(row![
                name(process),
                ring.ring.context,
                or_dash(ring.nr_events),
                or_dash(ring.ring.max_reqs),
                or_dash(ring.in_image),
                cpus(ring.good.as_ref()),
                or_dash(ring.outcome.nr_req()),
                if ring.outcome.is_made() { "yes" } else { "no" },
            ]);
        }
        table("  ", &rows, out)?;
    }
    for line in foreign(fit) {
        writeln!(out, "  {line}")?;
    }
    let mut against = each(fit).filter(|(_, ring)| !ring.outcome.is_made());
    for (process, ring) in against.by_ref().take(EXPLAINED) {
        if let Some(reason) = reason(fit, ring) {
            writeln!(out, "  {} {}: {reason}", name(process), ring.ring.context)?;
        }
    }
    match against.count() {
        0 => {}
        more => writeln!(out, "  and {more} more contexts")?,
    }
    if let Some(reason) = too_few(fit) {
        writeln!(out, "  {reason}")?;
    }
    Ok(())
}

/// The same for JSON: one object, to stand alone or as a part of another.
pub fn json(fit: &RestoreFit) -> Value {
    let processes = fit.processes.iter().map(|process| {
        let contexts = process.rings.iter().map(|ring| {
            json!({
                "context": ring.ring.context.to_string(),
                "ring_len": ring.ring.ring_len,
                "nr_events": ring.nr_events,
                "max_reqs": ring.ring.max_reqs,
                "nr_req_in_image": ring.in_image,
                "good_on_cpus": ring.good.as_ref().map(|good| [*good.start(), *good.end()]),
                "nr_req": ring.outcome.nr_req(),
                "restores": ring.outcome.is_made(),
                "reason": reason(fit, ring),
            })
        });
        json!({
            "pid": process.pid.0,
            "comm": (!process.comm.is_empty()).then(|| escaped(&process.comm)),
            "image": process.image.as_ref().map(|name| escaped(name.as_bytes())),
            "slots": process.slots,
            "reason": process.foreign.map(|foreign| foreign.to_string()),
            "contexts": contexts.collect::<Vec<_>>(),
        })
    });
    json!({
        "schema_version": SCHEMA_VERSION,
        "possible_cpus": fit.host.possible_cpus,
        "free": fit.host.free,
        "architecture": fit.host.kind.architecture.map(Architecture::name),
        "page_size": fit.host.kind.page_size,
        "restores": fit.restores(),
        "slots": fit.slots,
        "slots_in_image": fit.slots_in_image,
        "slots_while_restoring": fit.slots_while_restoring,
        "enough": fit.is_enough(),
        "processes": processes.collect::<Vec<_>>(),
    })
}

/// Writes it as JSON by itself.
pub fn write_json(out: &mut dyn Write, fit: &RestoreFit) -> io::Result<()> {
    crate::show::json(&json(fit), out)
}

/// What refuses the restore, in one line for each of the first processes of another kind of host, and rings, and one for the slots; nothing
/// where it restores.
pub fn refusals(fit: &RestoreFit) -> Vec<String> {
    let mut rings = each(fit).filter_map(|(process, ring)| {
        reason(fit, ring).map(|reason| format!("{} {}: {reason}", name(process), ring.ring.context))
    });
    let mut lines = foreign(fit);
    lines.extend(rings.by_ref().take(EXPLAINED));
    match rings.count() {
        0 => {}
        more => lines.push(format!("and {more} more contexts")),
    }
    lines.extend(too_few(fit));
    lines
}

/// A line for each of the first processes that are of another kind of host.
fn foreign(fit: &RestoreFit) -> Vec<String> {
    let mut all = fit.processes.iter().filter_map(|process| Some((process, process.foreign?)));
    let line = |(process, why)| format!("{}: {why}", name(process));
    let mut lines: Vec<String> = all.by_ref().take(EXPLAINED).map(line).collect();
    match all.count() {
        0 => {}
        more => lines.push(format!("and {more} more processes")),
    }
    lines
}

fn each(fit: &RestoreFit) -> impl Iterator<Item = (&ProcessFit, &RingFit)> {
    fit.processes.iter().flat_map(|process| process.rings.iter().map(move |ring| (process, ring)))
}

fn headline(fit: &RestoreFit) -> String {
    let cpus = fit.host.possible_cpus;
    let contexts = count(fit.rings().count(), "context");
    let processes = count(fit.processes.len(), "process");
    let slots = format!("{} slots of fs.aio-max-nr", fit.slots);
    if fit.restores() {
        let peak = if fit.rings().next().is_none() || fit.slots_while_restoring == fit.slots {
            String::new()
        } else {
            format!(", up to {} while CRIU restores", fit.slots_while_restoring)
        };
        let peak = match fit.slots_in_image {
            in_image if in_image == fit.slots => peak,
            in_image => format!("{peak} ({in_image} by the nr_req that CRIU writes)"),
        };
        return format!("restores on {cpus} possible CPUs: {contexts} in {processes}, {slots}{peak}");
    }
    if fit.processes.iter().any(|process| process.foreign.is_some()) {
        return format!("does not restore there: another kind of host ({contexts} in {processes})");
    }
    match fit.rings().filter(|ring| !ring.outcome.is_made()).count() {
        0 => format!("does not restore there: too few free slots ({contexts} in {processes}, {slots})"),
        bad => format!("does not restore on {cpus} possible CPUs: {bad} of {contexts} in {processes}"),
    }
}

/// Why a ring is not made again; nothing where it is.
fn reason(fit: &RestoreFit, ring: &RingFit) -> Option<String> {
    let host = fit.host.possible_cpus;
    match ring.outcome {
        Outcome::Made(_) => None,
        Outcome::Amend { nr_req, makes } => {
            let written = or_dash(ring.ring.written);
            let makes = match makes {
                Some(entries) => format!("makes a ring of {entries} entries there"),
                None => "is refused by io_setup".to_owned(),
            };
            Some(format!(
                "nr_req {written} of the image {makes}, not {}; amend the image with --restore-on cpus={host}, which writes {nr_req} or what the evidence says",
                or_dash(ring.nr_events)
            ))
        }
        Outcome::Never(error) => Some(match &ring.good {
            Some(good) => format!("{error}; it restores on {} possible CPUs", cpus(Some(good))),
            None => error.to_string(),
        }),
        Outcome::UnknownLength => Some("the length of its ring is not known".to_owned()),
    }
}

/// Why the slots are not enough; nothing where they are or nobody knows.
fn too_few(fit: &RestoreFit) -> Option<String> {
    let free = fit.host.free.filter(|_| fit.is_enough() == Some(false))?;
    Some(if fit.slots > free {
        format!("slots: {} are needed there and {free} are free", fit.slots)
    } else {
        format!(
            "slots: {} are needed and {free} are free, but a CRIU that reads memory by AIO (its pull request 3022) has {RESTORER_SLOTS} in each process until that process has its own: up to {} at once",
            fit.slots, fit.slots_while_restoring
        )
    })
}

/// `1-47`, or `none`.
fn cpus(good: Option<&RangeInclusive<u32>>) -> String {
    match good {
        Some(good) if good.start() == good.end() => good.start().to_string(),
        Some(good) => format!("{}-{}", good.start(), good.end()),
        None => "none".to_owned(),
    }
}

/// The image, or the PID and the name.
fn name(process: &ProcessFit) -> String {
    match &process.image {
        Some(image) => escaped(image.as_bytes()).into_owned(),
        None => format!("{} {}", process.pid, escaped(&process.comm)),
    }
}

#[cfg(test)]
mod tests {
    use aioinspect_model::restore_fit::{HostKind, ProcessToMake, RestoreHost, RingToMake, judge};
    use aioinspect_model::units::{ContextId, Pid};

    use super::*;

    fn ring(at: u64, written: Option<u32>, max_reqs: Option<u32>, entries: u64) -> RingToMake {
        RingToMake { context: ContextId(at), ring_len: Some(32 + entries * 32), max_reqs, written }
    }

    fn of(image: Option<&str>, rings: Vec<RingToMake>, possible_cpus: u32, free: Option<u64>) -> RestoreFit {
        let image = image.map(str::to_owned);
        let kind = HostKind::default();
        let process = ProcessToMake { pid: Pid(100), comm: b"svc\x1b".to_vec(), image, kind, rings };
        judge(vec![process], RestoreHost { possible_cpus, free, kind }, 4096)
    }

    fn text(fit: &RestoreFit) -> String {
        let mut out = Vec::new();
        write(&mut out, fit).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// Check that an image of CRIU is told what is wrong with it, for the numbers of CRIU issues 559 and 2677.
    #[test]
    fn an_image_that_does_not_restore() {
        let fit = of(
            Some("mm-1.img"),
            vec![ring(0x7000, Some(381), None, 383), ring(0x9000, Some(1022), None, 2047)],
            40,
            None,
        );
        assert_eq!(
            text(&fit),
            "\
does not restore on 40 possible CPUs: 1 of 2 contexts in 1 process
  PROCESS   CONTEXT  NR_EVENTS  MAX_REQS  IN_IMAGE  GOOD_ON  NR_REQ  RESTORES
  mm-1.img  0x7000         383  -              381  none        190  no
  mm-1.img  0x9000        2047  -             1022  1-255      1022  yes
  mm-1.img 0x7000: nr_req 381 of the image makes a ring of 767 entries there, not 383; amend the image with --restore-on cpus=40, which writes 190 or what the evidence says
"
        );
        let fit = of(Some("mm-1.img"), vec![ring(0x7000, Some(190), None, 383)], 255, None);
        assert!(
            text(&fit).ends_with(
                "  mm-1.img 0x7000: ring length 12288 cannot be made on 255 possible CPUs, where the smallest ring has 65536; it restores on 1-47 possible CPUs\n"
            ),
            "{}",
            text(&fit)
        );
        assert_eq!(json(&fit)["processes"][0]["contexts"][0]["good_on_cpus"], json!([1, 47]));
        assert_eq!(json(&fit)["restores"], json!(false));
    }

    /// Check that what is of another kind of host is named, and why.
    #[test]
    fn of_another_kind_of_host() {
        let kind = |architecture, page_size| HostKind { architecture: Some(architecture), page_size };
        let rings = vec![ring(0x7000, None, Some(16), 127)];
        let process = ProcessToMake {
            pid: Pid(100),
            comm: b"svc".to_vec(),
            image: None,
            kind: kind(Architecture::X86_64, Some(4096)),
            rings,
        };
        let on = |kind| RestoreHost { possible_cpus: 2, free: None, kind };
        let fit = judge(vec![process.clone()], on(kind(Architecture::Aarch64, None)), 4096);
        let why = "100 svc: it is of a host of x86_64, and CRIU restores it on no aarch64";
        assert_eq!(
            text(&fit),
            format!(
                "\
does not restore there: another kind of host (1 context in 1 process)
  PROCESS  CONTEXT  NR_EVENTS  MAX_REQS  IN_IMAGE  GOOD_ON  NR_REQ  RESTORES
  100 svc  0x7000         127        16        62  1-15         16  yes
  {why}
"
            )
        );
        assert_eq!(refusals(&fit), [why]);
        let value = json(&fit);
        assert_eq!(
            (&value["restores"], &value["architecture"], &value["page_size"]),
            (&json!(false), &json!("aarch64"), &json!(null))
        );
        assert_eq!(format!("100 svc: {}", value["processes"][0]["reason"].as_str().unwrap()), why);
    }

    /// Check the slots: enough, too few, and too few only for CRIU's own context.
    #[test]
    fn slots() {
        let rings = || vec![ring(0x7000, None, Some(16), 127)];
        let says = |free| text(&of(None, rings(), 2, free));
        assert_eq!(
            says(Some(128)),
            "\
restores on 2 possible CPUs: 1 context in 1 process, 16 slots of fs.aio-max-nr, up to 128 while CRIU restores (62 by the nr_req that CRIU writes)
  PROCESS      CONTEXT  NR_EVENTS  MAX_REQS  IN_IMAGE  GOOD_ON  NR_REQ  RESTORES
  100 svc\\x1b  0x7000         127        16        62  1-15         16  yes
"
        );
        assert!(says(Some(127)).starts_with("does not restore there: too few free slots (1 context"));
        assert!(says(Some(127)).contains("16 are needed and 127 are free, but"));
        assert!(says(Some(15)).ends_with("  slots: 16 are needed there and 15 are free\n"));
        assert_eq!(refusals(&of(None, rings(), 2, None)), [""; 0]);
        let many = of(None, (1..=20).map(|at| ring(at, None, Some(16), 127)).collect(), 16, None);
        let lines = refusals(&many);
        assert_eq!((lines.len(), &*lines[16]), (17, "and 4 more contexts"));
    }
}
