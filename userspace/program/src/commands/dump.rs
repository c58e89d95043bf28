//! `aioinspect dump PID`: look, freeze, judge, write.

use std::io::Write;

use anyhow::Context;

use crate::cli::{DumpArgs, Freeze};
use crate::commands::check::{report, source};
use crate::commands::exit::{Exit, WouldNotRestore};
use crate::commands::saved;
use crate::commands::settle::{Settled, Want, settle};
use crate::commands::{restore, say, say_lacks};
use aioinspect_formats::{evidence_to_bytes, image_to_bytes};
use aioinspect_kernel::host::files::{NewFile, must_not_exist, write_pair};
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
    let (mut source, pid) = source(&args.proof, args.pid, true, verbose)?;
    let names = [format!("mm-{pid}.img"), format!("aioinspect-{pid}.evidence")];
    for name in &names {
        // Said before anybody is stopped for nothing; writing checks it again.
        must_not_exist(&args.images_dir, name)?;
    }
    let replay = args.proof.from.is_some();
    let want = Want {
        pid,
        freeze: if replay { Freeze::None } else { args.freeze },
        freeze_idle: true,
        freeze_timeout: args.proof.freeze_timeout,
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
    let DumpVerdict::Idle { contexts, .. } = &settled.verdict else {
        report(&settled, pid, &[], args.proof.json, if args.proof.json { out } else { err })?;
        return Ok(settled.exit());
    };
    let (facts, mm) = image_facts(&settled, pid)?;
    if let Some(host) = args.restore_on {
        restore::must_restore(&settled, pid, host)?;
    }
    let aios = rings(&settled, contexts, args.restore_on.map(|host| host.possible_cpus))?;
    let image = image_to_bytes(facts, mm, &aios)?;
    let evidence = evidence_to_bytes(&settled.evidence)?;
    let [image_name, evidence_name] = &names;
    let files =
        [NewFile { name: image_name, bytes: &image }, NewFile { name: evidence_name, bytes: &evidence }];
    let wrote = write_pair(&args.images_dir, files, saved::MODE)?;
    report(&settled, pid, &wrote, args.proof.json, out)?;
    Ok(Exit::Fine)
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
