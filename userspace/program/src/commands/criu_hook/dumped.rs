//! After CRIU has written its images, with all processes still held.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::Context;

use crate::commands::amend::{OF_TREE, amend_dir};
use crate::commands::criu_hook::{Tree, drained};
use crate::commands::exit::Exit;
use crate::commands::saved;
use crate::commands::settle::Settled;
use aioinspect_formats::pagemap::{Place, places_of};
use aioinspect_kernel::host::files::read_bounded;
use aioinspect_model::amendment::Change;
use aioinspect_model::evidence::{HeaderReading, Process};
use aioinspect_model::units::RING_HEADER_LEN;
use aioinspect_render::escape::escape;

/// The most that is read of a pagemap: some 25 million entries.
const MOST_PAGEMAP: u64 = 512 * 1024 * 1024;

/// Proves the tree idle under the same hold, and that the images have every completion; writes the evidence, and corrects the images.
pub(super) fn verify_and_amend(tree: &mut Tree<'_>, dir: &Path, out: &mut dyn Write) -> anyhow::Result<Exit> {
    tree.must_be_held(None)?;
    let was_drained = drained::was(tree.root, dir)?;
    let mut settled = tree.look_with(None, true, was_drained)?;
    if !settled.is_idle() && !was_drained && drained::is_as_then(&settled, dir) {
        settled = tree.look_with(None, true, true)?;
    }
    drained::unmark(dir);
    if !settled.is_idle() {
        let why = if was_drained {
            "was not idle while CRIU wrote its images"
        } else {
            "requests may have completed while CRIU copied memory, and their data may be missing in the images: freeze the control group \
             first and use criu's --freeze-cgroup, or give the processes a network namespace of their own"
        };
        tree.say(&settled, why, out)?;
        return Ok(settled.exit());
    }
    let Compared { late, open } = compare(&settled, dir)?;
    for line in late.iter().chain(&open) {
        tree.line(line, out)?;
    }
    if !late.is_empty() || (!open.is_empty() && !was_drained) {
        return Ok(Exit::CheckFailed);
    }
    tree.must_be_held(Some(&settled))?;
    tree.say(&settled, "", out)?;
    if settled.picture.contexts.is_empty() && settled.picture.ghosts.is_empty() {
        write_evidence(&settled, dir)?;
        return Ok(Exit::Fine);
    }
    if dir.join("parent").exists() {
        let line = "pages of earlier iterations are not compared: what a request in flight during `criu pre-dump` wrote may be older there";
        tree.line(line, out)?;
        if tree.args.strict {
            return Ok(Exit::CheckFailed);
        }
    }
    write_evidence(&settled, dir)?;
    let done = amend_dir(dir, &[settled.evidence], None, false)?;
    for image in &done.images {
        let count = |change| image.entries.iter().filter(|entry| entry.change == change).count();
        let (nr_req, ghosts) = (image.entries.len(), count(Change::DropGhost));
        let kept = count(Change::Keep);
        let set = nr_req.saturating_sub(ghosts).saturating_sub(kept);
        if image.entries.is_empty() {
            continue;
        }
        let line =
            format!("{}: nr_req set of {set} contexts, right of {kept}; {ghosts} ghosts dropped", image.name);
        tree.line(&line, out)?;
    }
    Ok(Exit::Fine)
}

/// What was seen, beside the images it is about; that of an earlier dump into the same directory is worth nothing any more.
fn write_evidence(settled: &Settled, dir: &Path) -> anyhow::Result<()> {
    let path = dir.join(OF_TREE);
    if path.symlink_metadata().is_ok_and(|meta| meta.is_file()) {
        fs::remove_file(&path).with_context(|| format!("cannot replace {}", printable(&path)))?;
    }
    saved::write(&path, &settled.evidence)?;
    Ok(())
}

/// The rings in CRIU's pages beside the rings as they are.
#[derive(Default)]
struct Compared {
    /// A line for each that has changed since: a completion came, which the images do not have.
    late: Vec<String>,
    /// A line for each that cannot be compared.
    open: Vec<String>,
}

fn compare(settled: &Settled, dir: &Path) -> anyhow::Result<Compared> {
    let page_size = settled.evidence.system.page_size;
    let mut compared = Compared::default();
    for space in &settled.evidence.spaces {
        let Some(look) = space.looks.last().filter(|look| !look.headers.is_empty()) else { continue };
        let Some((process, pagemap)) = pagemap(&space.processes, dir)? else {
            let pid = space.processes.first().map_or(0, |one| one.pid.0);
            compared.open.push(format!(
                "pid {pid}: its pages are not in this directory, so its rings are not compared"
            ));
            continue;
        };
        let addresses: Vec<u64> = look.headers.iter().map(|reading| reading.address.0).collect();
        let places = places_of(&pagemap, &addresses, page_size)
            .with_context(|| format!("the pagemap of pid {}", process.pid))?;
        for (HeaderReading { address, bytes }, place) in look.headers.iter().zip(places) {
            let (Ok(now), pid) = (bytes, process.pid) else { continue };
            let Place::File { pages_id, offset } = place else {
                // Written by an iteration before, or sent elsewhere.
                let line = "its ring is not among the pages of this dump, so it is not compared";
                compared.open.push(format!("pid {pid}: context {address}: {line}"));
                continue;
            };
            let path = dir.join(format!("pages-{pages_id}.img"));
            let mut written = [0; RING_HEADER_LEN];
            File::open(&path)
                .and_then(|file| file.read_exact_at(&mut written, offset))
                .with_context(|| format!("cannot read {}", printable(&path)))?;
            if written != *now {
                let line = "a request completed after CRIU had written the ring, so its completion is not in the images";
                compared.late.push(format!("pid {pid}: context {address}: {line}"));
            }
        }
    }
    Ok(compared)
}

/// The pagemap of an address space: images bear the PID that a process has in the tree's namespace.
fn pagemap<'a>(processes: &'a [Process], dir: &Path) -> anyhow::Result<Option<(&'a Process, Vec<u8>)>> {
    for process in processes {
        for pid in process.ns_pids.iter().rev().copied().chain([process.pid.0]) {
            let path = dir.join(format!("pagemap-{pid}.img"));
            if path.exists() {
                return Ok(Some((process, read_bounded(&path, MOST_PAGEMAP)?)));
            }
        }
    }
    Ok(None)
}

fn printable(path: &Path) -> String {
    escape(path.as_os_str().as_encoded_bytes())
}
