//! After CRIU has written its images, with all processes still held.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, bail};

use crate::commands::amend::{OF_TREE, amend_dir};
use crate::commands::criu_hook::Tree;
use crate::commands::exit::Exit;
use crate::commands::saved::{self, MOST};
use crate::commands::settle::Settled;
use aioinspect_formats::pagemap::{Place, place_of};
use aioinspect_kernel::host::files::read_bounded;
use aioinspect_model::amendment::Change;
use aioinspect_model::evidence::{HeaderReading, Process};
use aioinspect_model::units::RING_HEADER_LEN;
use aioinspect_render::escape::escape;

/// Proves the tree idle under the same hold, and that the images have every completion; writes the evidence, and corrects the images.
pub(super) fn verify_and_amend(tree: &mut Tree<'_>, dir: &Path, out: &mut dyn Write) -> anyhow::Result<Exit> {
    tree.must_be_held()?;
    let settled = tree.look(None, true)?;
    if !settled.is_idle() {
        tree.say(&settled, "was not idle while CRIU wrote its images", out)?;
        return Ok(settled.exit());
    }
    let late = late(&settled, dir)?;
    for line in &late {
        tree.line(line, out)?;
    }
    if !late.is_empty() {
        return Ok(Exit::CheckFailed);
    }
    tree.must_be_held()?;
    tree.say(&settled, "", out)?;
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

/// The rings that have changed since CRIU wrote them: a completion came, which the images do not have.
fn late(settled: &Settled, dir: &Path) -> anyhow::Result<Vec<String>> {
    let page_size = settled.evidence.system.page_size;
    let mut late = Vec::new();
    for space in &settled.evidence.spaces {
        let Some(look) = space.looks.last().filter(|look| !look.headers.is_empty()) else { continue };
        let Some((process, pagemap)) = pagemap(&space.processes, dir)? else {
            bail!(
                "{} has no pagemap of pid {}",
                printable(dir),
                space.processes.first().map_or(0, |one| one.pid.0)
            );
        };
        for HeaderReading { address, bytes } in &look.headers {
            let Ok(now) = bytes else { continue };
            let place = place_of(&pagemap, address.0, page_size)
                .with_context(|| format!("the pagemap of pid {}", process.pid))?;
            let Place::File { pages_id, offset } = place else {
                // Written by an iteration before, or sent elsewhere: nothing to compare with.
                late.push(format!(
                    "pid {}: context {address}: its ring is not among the pages of this dump, so completions may be missing",
                    process.pid
                ));
                continue;
            };
            let path = dir.join(format!("pages-{pages_id}.img"));
            let mut written = [0; RING_HEADER_LEN];
            File::open(&path)
                .and_then(|file| file.read_exact_at(&mut written, offset))
                .with_context(|| format!("cannot read {}", printable(&path)))?;
            if written != *now {
                late.push(format!(
                    "pid {}: context {address}: a request completed after CRIU had written the ring, so its completion is not in the images",
                    process.pid
                ));
            }
        }
    }
    Ok(late)
}

/// The pagemap of an address space: images bear the PID that a process has in the tree's namespace.
fn pagemap<'a>(processes: &'a [Process], dir: &Path) -> anyhow::Result<Option<(&'a Process, Vec<u8>)>> {
    for process in processes {
        for pid in process.ns_pids.iter().rev().copied().chain([process.pid.0]) {
            let path = dir.join(format!("pagemap-{pid}.img"));
            if path.exists() {
                return Ok(Some((process, read_bounded(&path, MOST)?)));
            }
        }
    }
    Ok(None)
}

fn printable(path: &Path) -> String {
    escape(path.as_os_str().as_encoded_bytes())
}
