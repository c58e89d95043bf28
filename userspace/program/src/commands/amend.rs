//! `aioinspect amend DIR`: the `aios` of CRIU's images, from verified evidence.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};

use crate::cli::AmendArgs;
use crate::commands::exit::{Exit, WouldNotRestore};
use crate::commands::restore::pid_of_image;
use crate::commands::saved::{self, MOST};
use aioinspect_formats::amendment::{ImageFile, amend_images};
use aioinspect_formats::evidence_from_bytes;
use aioinspect_kernel::host::page::page_size;
use aioinspect_kernel::host::replace::{Directory, Replacement};
use aioinspect_model::amendment::{AmendedImage, Change};
use aioinspect_model::evidence::Evidence;
use aioinspect_model::restore_fit::{ProcessToMake, RestoreFit, RestoreHost, RingToMake, judge};
use aioinspect_render::amendment::{self, Amended};
use aioinspect_render::escape::escape_path;
use aioinspect_render::restore_fit;

/// The evidence of a whole tree, as `criu-hook` writes it into the image directory.
pub(super) const OF_TREE: &str = "aioinspect.evidence";

/// Amends, or only says what would be.
pub(super) fn run(args: &AmendArgs, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let done = match args.evidence.as_slice() {
        [] => {
            let directory = Directory::lock(&args.dir)?;
            let evidence = evidence_in(&directory, &args.dir)?;
            amend_locked(&directory, &args.dir, &evidence, args.restore_on, args.dry_run)?
        }
        named => {
            let evidence = named.iter().map(|path| saved::read(path)).collect::<anyhow::Result<Vec<_>>>()?;
            amend_dir(&args.dir, &evidence, args.restore_on, args.dry_run)?
        }
    };
    let dir = args.dir.to_string_lossy();
    let fit = done.fit.as_ref();
    let amended = Amended { dir: &dir, images: &done.images, dry_run: args.dry_run, fit };
    if args.json {
        amendment::write_json(out, &amended)?;
    } else {
        amendment::write(out, &amended)?;
        if let Some(fit) = fit {
            restore_fit::write(out, fit)?;
        }
    }
    Ok(Exit::Fine)
}

/// What became of a directory.
#[derive(Debug)]
pub(super) struct Done {
    /// Its images.
    pub images: Vec<AmendedImage>,
    /// What restores on the host that was named.
    pub fit: Option<RestoreFit>,
}

/// Amends every image of a directory, or none of them: for `host` where one is named, else for the host of the evidence.
///
/// The directory may be a path like `/proc/PID/fd/N`. What is right already is not written again.
pub(super) fn amend_dir(
    dir: &Path,
    evidence: &[Evidence],
    host: Option<RestoreHost>,
    dry_run: bool,
) -> anyhow::Result<Done> {
    amend_locked(&Directory::lock(dir)?, dir, evidence, host, dry_run)
}

fn amend_locked(
    directory: &Directory,
    dir: &Path,
    evidence: &[Evidence],
    host: Option<RestoreHost>,
    dry_run: bool,
) -> anyhow::Result<Done> {
    let names = directory.names()?;
    let pids = names.iter().filter_map(|name| Some((pid_of_image(name.as_ref())?, name)));
    let mut pids: Vec<_> = pids.collect();
    pids.sort();
    if pids.is_empty() {
        bail!("{}", without_images(dir, &names));
    }
    let old = pids.iter().map(|(_, name)| directory.read(name, MOST)).collect::<Result<Vec<_>, _>>()?;
    let files = pids.iter().zip(&old).map(|((pid, name), old)| ImageFile {
        name: (*name).clone(),
        pid: *pid,
        bytes: old.bytes.clone(),
    });
    let files: Vec<ImageFile> = files.collect();
    let amended = amend_images(&files, evidence, host.map(|host| host.possible_cpus))?;
    let images: Vec<AmendedImage> = amended.iter().map(|file| file.image.clone()).collect();
    let fit = host.map(|host| fit_of(&images, host));
    if let Some(fit) = fit.as_ref().filter(|fit| !fit.restores()) {
        let why = restore_fit::refusals(fit).join("; ");
        return Err(WouldNotRestore(format!("{why}: no image was changed")).into());
    }
    let new = files.iter().zip(&old).zip(&amended).filter_map(|((file, old), new)| {
        Some(Replacement { name: &file.name, old, bytes: new.bytes.as_deref()? })
    });
    let new: Vec<Replacement<'_>> = new.collect();
    if !dry_run && !new.is_empty() {
        directory.replace(&new)?;
    }
    Ok(Done { images, fit })
}

/// What the images need afterwards.
fn fit_of(images: &[AmendedImage], host: RestoreHost) -> RestoreFit {
    let processes = images.iter().map(|image| {
        let left = image.entries.iter().filter(|entry| entry.change != Change::DropGhost);
        let rings = left.map(|entry| RingToMake {
            context: entry.entry.id,
            ring_len: Some(entry.entry.ring_len.into()),
            max_reqs: entry.max_reqs,
            written: Some(entry.slots()),
        });
        let image_kind = image.kind;
        let (pid, comm, image) = (image.pid, image.comm.clone(), Some(image.name.clone()));
        ProcessToMake { pid, comm, image, kind: image_kind, rings: rings.collect() }
    });
    judge(processes.collect(), host, page_size())
}

/// The evidence beside the images: that of the tree, else every one that `dump` wrote.
fn evidence_in(directory: &Directory, dir: &Path) -> anyhow::Result<Vec<Evidence>> {
    let names = directory.names()?;
    let of_process = |name: &&String| name.starts_with("aioinspect-") && name.ends_with(".evidence");
    let names: Vec<&String> = match names.iter().find(|name| *name == OF_TREE) {
        Some(of_tree) => vec![of_tree],
        None => names.iter().filter(of_process).collect(),
    };
    if names.is_empty() {
        bail!(
            "no evidence in {}: neither {OF_TREE}, which criu-hook writes, nor aioinspect-PID.evidence; name one with --evidence",
            escape_path(dir)
        );
    }
    let read = |name: &String| {
        let bytes = directory.read(name, MOST)?.bytes;
        evidence_from_bytes(&bytes).with_context(|| escape_path(&dir.join(name)))
    };
    names.into_iter().map(read).collect()
}

/// A pre-dump has pages and no memory layouts (criu/cr-dump.c:pre_dump_one_task).
fn without_images(dir: &Path, names: &[String]) -> String {
    let dir = escape_path(dir);
    if names.iter().any(|name| name.starts_with("pagemap-")) {
        format!(
            "no mm-*.img in {dir}: it holds the pages of a pre-dump; amend the directory of the last dump, from which the tree is restored"
        )
    } else {
        format!("no mm-*.img in {dir}")
    }
}
