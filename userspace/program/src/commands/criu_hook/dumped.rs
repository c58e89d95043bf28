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
use aioinspect_model::evidence::{HeaderReading, Process};
use aioinspect_model::units::{Pid, RING_HEADER_LEN};
use aioinspect_model::written_ring::{WrittenRing, compare};
use aioinspect_render::amendment;
use aioinspect_render::escape::escape_path;

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
    let compared = compare(&written_rings(&settled, dir)?);
    for line in compared.late.iter().chain(&compared.open) {
        tree.line(line, out)?;
    }
    if !compared.is_good(was_drained) {
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
    for image in done.images.iter().filter(|image| !image.entries.is_empty()) {
        tree.line(&amendment::line(image), out)?;
    }
    Ok(Exit::Fine)
}

/// What was seen, beside the images it is about; that of an earlier dump into the same directory is worth nothing any more.
fn write_evidence(settled: &Settled, dir: &Path) -> anyhow::Result<()> {
    let path = dir.join(OF_TREE);
    if path.symlink_metadata().is_ok_and(|meta| meta.is_file()) {
        fs::remove_file(&path).with_context(|| format!("cannot replace {}", escape_path(&path)))?;
    }
    saved::write(&path, &settled.evidence)?;
    Ok(())
}

/// Every ring header that was read, and what CRIU's pages have of it.
fn written_rings(settled: &Settled, dir: &Path) -> anyhow::Result<Vec<WrittenRing>> {
    let page_size = settled.evidence.system.page_size;
    let mut rings = Vec::new();
    for space in &settled.evidence.spaces {
        let Some(look) = space.looks.last().filter(|look| !look.headers.is_empty()) else { continue };
        let pid = space.processes.first().map_or(Pid(0), |process| process.pid);
        let addresses: Vec<u64> = look.headers.iter().map(|reading| reading.address.0).collect();
        let places = match pagemap(&space.processes, dir)? {
            Some(pagemap) => places_of(&pagemap, &addresses, page_size)
                .with_context(|| format!("the pagemap of pid {pid}"))?,
            None => vec![Place::Nowhere; addresses.len()],
        };
        for (HeaderReading { address: context, bytes }, place) in look.headers.iter().zip(places) {
            let Ok(now) = *bytes else { continue };
            let written = match place {
                Place::File { pages_id, offset } => Some(header_at(dir, pages_id, offset)?),
                Place::Parent | Place::Nowhere => None,
            };
            rings.push(WrittenRing { pid, context: *context, now, written });
        }
    }
    Ok(rings)
}

/// A ring header at that byte of `pages-N.img`.
fn header_at(dir: &Path, pages_id: u32, offset: u64) -> anyhow::Result<[u8; RING_HEADER_LEN]> {
    let path = dir.join(format!("pages-{pages_id}.img"));
    let mut header = [0; RING_HEADER_LEN];
    File::open(&path)
        .and_then(|file| file.read_exact_at(&mut header, offset))
        .with_context(|| format!("cannot read {}", escape_path(&path)))?;
    Ok(header)
}

/// The pagemap of an address space: images bear the PID that a process has in the tree's namespace.
fn pagemap(processes: &[Process], dir: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    for process in processes {
        for pid in process.ns_pids.iter().rev().copied().chain([process.pid.0]) {
            let path = dir.join(format!("pagemap-{pid}.img"));
            if path.exists() {
                return Ok(Some(read_bounded(&path, MOST_PAGEMAP)?));
            }
        }
    }
    Ok(None)
}
