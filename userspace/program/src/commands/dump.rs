//! `aioinspect dump PID`: look, freeze, judge, write.

use std::io::Write;

use anyhow::Context;

use crate::cli::{DumpArgs, Freeze};
use crate::commands::check::{report, source};
use crate::commands::exit::{Exit, WouldNotRestore};
use crate::commands::saved;
use crate::commands::settle::{Settled, Want, Whom, settle};
use crate::commands::{restore, say, say_lacks};
use aioinspect_formats::{evidence_to_bytes, image_to_bytes};
use aioinspect_kernel::host::files::{NewFile, must_not_exist, write_all};
use aioinspect_model::evidence::ImageFacts;
use aioinspect_model::image::{AioRing, ImageMm};
use aioinspect_model::nr_req::nr_req_for;
use aioinspect_model::units::Pid;
use aioinspect_model::verdict::{DumpVerdict, Policy};

/// Looks, freezes what looks idle, judges; writes both files or none.
pub(super) fn run(
    args: &DumpArgs,
    verbose: u8,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<Exit> {
    let (mut source, whom) = source(&args.proof, args.pid, &args.group, verbose)?;
    if let Whom::Process(pid) = whom {
        for name in [image_name(pid), evidence_name(&whom)] {
            // Said before anybody is stopped for nothing; writing checks it again.
            must_not_exist(&args.images_dir, &name)?;
        }
    }
    let replay = args.proof.from.is_some();
    let want = Want {
        whom,
        freeze: if replay { Freeze::None } else { args.freeze },
        freeze_idle: true,
        freeze_timeout: args.proof.freeze_timeout,
        drain: args.proof.drain,
        is_held: false,
        wait: if replay { None } else { args.proof.wait },
        image: true,
        policy: Policy {
            allow_unreaped: args.proof.allow_unreaped,
            unverified: args.unverified,
            image: true,
        },
        strict: args.proof.strict,
    };
    let settled = settle(source.as_mut(), &want)?;
    say(err, &source.notes())?;
    say_lacks(err, &settled.evidence.lacks)?;
    if !settled.is_idle() {
        report(&settled, &want.whom, &[], args.proof.json, if args.proof.json { out } else { err })?;
        return Ok(settled.exit());
    }
    if let Some(host) = args.restore_on {
        restore::must_restore(&settled, host)?;
    }
    let cpus = args.restore_on.map(|host| host.possible_cpus);
    let architecture = settled.evidence.system.architecture();
    let mut files = Vec::with_capacity(settled.judged.len().saturating_add(1));
    for one in &settled.judged {
        let DumpVerdict::Idle { contexts, .. } = &one.verdict else { continue };
        let (facts, mm) = image_facts(&settled, one.pid)?;
        let aios = rings(&settled, contexts, cpus)?;
        files.push((image_name(one.pid), image_to_bytes(architecture, facts, mm, &aios)?));
    }
    files.push((evidence_name(&want.whom), evidence_to_bytes(&settled.evidence)?));
    let files: Vec<NewFile<'_>> = files.iter().map(|(name, bytes)| NewFile { name, bytes }).collect();
    let wrote = write_all(&args.images_dir, &files, saved::MODE)?;
    report(&settled, &want.whom, &wrote, args.proof.json, out)?;
    Ok(Exit::Fine)
}

/// CRIU's name for the image of an address space.
fn image_name(pid: Pid) -> String {
    format!("mm-{pid}.img")
}

/// The name of the evidence beside the images.
fn evidence_name(whom: &Whom) -> String {
    match whom {
        Whom::Process(pid) => format!("aioinspect-{pid}.evidence"),
        Whom::Group(_) => "aioinspect.evidence".to_owned(),
    }
}

/// What the image needs beside the contexts, of the address space that was judged.
fn image_facts(settled: &Settled, pid: Pid) -> anyhow::Result<(&ImageFacts, ImageMm)> {
    let space =
        settled.evidence.spaces.iter().find(|space| space.processes.iter().any(|process| process.pid == pid));
    let space = space.context("this evidence does not contain the process")?;
    let facts = space.image.as_ref().context(
        "this evidence was not written by `dump` and has no memory layout, so no image can be made from it; judge it with `check --from`",
    )?;
    let word = space.looks.last().and_then(|look| look.after.as_ref().or(look.before.as_ref()));
    // Where the kernel does not say, which the user accepted: the heap as mapped, and the way nearly every process is.
    let heap =
        || facts.vmas.iter().find(|vma| vma.name == b"[heap]").map_or(facts.layout.start_brk, |vma| vma.end);
    let brk = word.and_then(|word| word.mm.brk).unwrap_or_else(heap);
    let dumpable = word.and_then(|word| word.mm.dumpable).unwrap_or(1);
    Ok((facts, ImageMm { brk, dumpable }))
}

/// The entries: for each verified context the nr_req that re-creates its ring where it is to be restored.
fn rings(settled: &Settled, contexts: &[usize], restore_on: Option<u32>) -> anyhow::Result<Vec<AioRing>> {
    let system = &settled.evidence.system;
    let cpus = restore_on.unwrap_or(system.possible_cpus);
    let views = contexts.iter().filter_map(|index| settled.picture.contexts.get(*index));
    let entries = views.map(|view| {
        let bytes = view.ring_len.context("the length of a ring is unknown")?;
        let nr_req = nr_req_for(view.max_reqs, bytes, cpus, system.page_size).map_err(|error| {
            WouldNotRestore(format!("context {} on {cpus} possible cpus: {error}", view.context))
        })?;
        let ring_len = u32::try_from(bytes).map_err(|_| {
            WouldNotRestore(format!("context {}: {bytes} bytes is not a valid ring size", view.context))
        })?;
        Ok(AioRing { id: view.context, nr_req, ring_len })
    });
    entries.collect()
}
