//! `--restore-on`: whether a process, an evidence file or images restore on another host.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::cli::CheckArgs;
use crate::commands::check::report;
use crate::commands::exit::{Exit, UsageError, WouldNotRestore};
use crate::commands::saved::MOST;
use crate::commands::settle::{Settled, Whom};
use aioinspect_formats::{Document, document_from_bytes};
use aioinspect_kernel::host::files::read_bounded;
use aioinspect_kernel::host::page::page_size;
use aioinspect_model::reconcile::reconcile;
use aioinspect_model::restore_fit::{ProcessToMake, RestoreFit, RestoreHost, judge, of_evidence, of_image};
use aioinspect_model::units::Pid;
use aioinspect_model::verdict::space_of;
use aioinspect_render::escape::escape_path;
use aioinspect_render::restore_fit;

/// `check FILE|DIR --restore-on ..`: nothing that runs is looked at.
pub(super) fn of_saved(path: &Path, args: &CheckArgs, out: &mut dyn Write) -> anyhow::Result<Exit> {
    if args.proof.from.is_some() {
        let both = "a file to check and --from exclude each other: name a PID with --from".to_owned();
        return Err(UsageError(both).into());
    }
    let Some(host) = args.restore_on else {
        return Err(UsageError(without_host(path)).into());
    };
    let fit = fit_of(path, host)?;
    if args.proof.json {
        restore_fit::write_json(out, &fit)?;
    } else {
        restore_fit::write(out, &fit)?;
    }
    Ok(exit(&fit))
}

/// Judges an image, an evidence file, or every image of a directory.
pub(super) fn fit_of(path: &Path, host: RestoreHost) -> anyhow::Result<RestoreFit> {
    // For an image whose auxiliary vector was lost.
    let page_size = page_size();
    if path.is_dir() {
        let images = images_of(path)?;
        if images.is_empty() {
            bail!("no mm-*.img in {}", escape_path(path));
        }
        let processes = images.iter().map(|path| read(path)).collect::<anyhow::Result<Vec<_>>>()?;
        return Ok(judge(processes.into_iter().flatten().collect(), host, page_size));
    }
    Ok(judge(read(path)?, host, page_size))
}

/// `check PID --restore-on ..`: the verdict, and below it, or as its key `restore`, what restores there.
pub(super) fn beside(
    settled: &Settled,
    whom: &Whom,
    host: RestoreHost,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<Exit> {
    let fit = of_judged(settled, host);
    if json {
        let mut text = Vec::new();
        report(settled, whom, &[], true, &mut text)?;
        let text = String::from_utf8(text)?;
        let open = text.trim_end().strip_suffix('}').context("the verdict is not an object")?;
        writeln!(out, "{open},\n \"restore\":{}}}", restore_fit::json(&fit))?;
    } else {
        report(settled, whom, &[], false, out)?;
        restore_fit::write(out, &fit)?;
    }
    let of_verdict = settled.exit();
    Ok(if of_verdict == Exit::Fine { exit(&fit) } else { of_verdict })
}

/// `dump --restore-on ..`: refuses before anything is written.
pub(super) fn must_restore(settled: &Settled, host: RestoreHost) -> Result<(), WouldNotRestore> {
    let fit = of_judged(settled, host);
    if fit.restores() {
        return Ok(());
    }
    let why = restore_fit::refusals(&fit).join("; ");
    Err(WouldNotRestore(format!("does not restore on {} possible cpus: {why}", host.possible_cpus)))
}

/// Judges the contexts of whom the verdict is about.
fn of_judged(settled: &Settled, host: RestoreHost) -> RestoreFit {
    let firsts = settled.judged.iter().filter_map(|one| space_of(&settled.picture, one.pid)?.pids.first());
    let firsts: Vec<Pid> = firsts.copied().collect();
    let mut processes = of_evidence(&settled.evidence, &settled.picture);
    processes.retain(|process| firsts.contains(&process.pid));
    judge(processes, host, settled.evidence.system.page_size)
}

fn exit(fit: &RestoreFit) -> Exit {
    if fit.restores() { Exit::Fine } else { Exit::CheckFailed }
}

/// The processes of a file.
fn read(path: &Path) -> anyhow::Result<Vec<ProcessToMake>> {
    let bytes = read_bounded(path, MOST)?;
    let document = document_from_bytes(&bytes).with_context(|| escape_path(path))?;
    Ok(match document {
        Document::Image(image, _) => {
            let name = path.file_name().unwrap_or(path.as_os_str());
            let pid = pid_of_image(name).unwrap_or_default();
            vec![of_image(&name.to_string_lossy(), pid, &image)]
        }
        Document::Evidence(evidence) => of_evidence(&evidence, &reconcile(&evidence)),
    })
}

/// The images of a directory, by PID.
pub(super) fn images_of(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read directory {}", escape_path(dir)))?;
    let mut images = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read directory {}", escape_path(dir)))?;
        if let Some(pid) = pid_of_image(&entry.file_name()) {
            images.push((pid, entry.path()));
        }
    }
    images.sort();
    Ok(images.into_iter().map(|(_, path)| path).collect())
}

/// The PID in `mm-PID.img`.
pub(super) fn pid_of_image(name: &OsStr) -> Option<Pid> {
    let digits = name.to_str()?.strip_prefix("mm-")?.strip_suffix(".img")?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok().map(Pid))?
}

fn without_host(path: &Path) -> String {
    let path = escape_path(path);
    format!(
        "{path} can be checked for a restore only: say where with --restore-on cpus=N[,free=M] \
         (N: possible CPUs there, M: free slots there). To judge a recorded process again: check --from FILE. \
         To look into it: show {path}"
    )
}
