//! Whether the hold under which CRIU writes its images began with a drain.
//!
//! A process that is held reaps nothing. So where its requests had completed before CRIU copied any memory, completions in its ring
//! are older than the copy. Where they had not, a read may have completed between the copy of its buffer and the copy of its ring.
//!
//! Where nobody could drain, the tails of the rings tell: none has moved since the tree was seen idle before the dump, so nothing completed.

use std::fs;
use std::os::unix::process::parent_id;
use std::path::Path;

use anyhow::Context;

use crate::commands::settle::Settled;
use aioinspect_kernel::host::files::{read_bounded, write_new};
use aioinspect_kernel::proc::files::process_of;
use aioinspect_kernel::proc::held::has_other_network;
use aioinspect_model::units::Pid;

/// Left in the directory of the images by the step before the dump, and removed by the one after it.
const MARK: &str = "aioinspect.drained";
/// A line for each context.
const MOST: u64 = 64 << 20;

/// Notes that the tree was drained, frozen by its control group, for the CRIU that started us.
pub(super) fn mark(dir: &Path) -> anyhow::Result<()> {
    write(dir, &criu()?)
}

/// Notes where the rings ended when the tree was seen idle.
pub(super) fn mark_idle(settled: &Settled, dir: &Path) -> anyhow::Result<()> {
    match tails(settled) {
        Some(tails) => write(dir, &(criu()? + &tails)),
        None => Ok(()),
    }
}

fn write(dir: &Path, text: &str) -> anyhow::Result<()> {
    unmark(dir);
    write_new(dir, MARK, text.as_bytes(), 0o600)?;
    Ok(())
}

/// A line for each context: nothing that completes leaves it as it is. `None`: the end of a ring is not known.
fn tails(settled: &Settled) -> Option<String> {
    settled.picture.contexts.iter().try_fold(String::new(), |text, one| {
        Some(format!("{text}{} {} {}\n", one.pid, one.context, one.tail?))
    })
}

/// Whether no request has completed since the tree was seen idle before the dump.
pub(super) fn is_as_then(settled: &Settled, dir: &Path) -> bool {
    let (Ok(criu), Some(tails)) = (criu(), tails(settled)) else { return false };
    read_bounded(&dir.join(MARK), MOST).is_ok_and(|mark| mark == (criu + &tails).as_bytes())
}

/// Whether the tree was drained before this CRIU wrote its images.
pub(super) fn was(root: Pid, dir: &Path) -> anyhow::Result<bool> {
    // With a network namespace of its own there was the step network-lock, and it did not fail.
    if has_other_network(root).context("cannot compare network namespaces")? {
        return Ok(true);
    }
    Ok(read_bounded(&dir.join(MARK), MOST).is_ok_and(|mark| criu().is_ok_and(|criu| mark == criu.as_bytes())))
}

/// Takes the note away.
pub(super) fn unmark(dir: &Path) {
    let path = dir.join(MARK);
    if path.symlink_metadata().is_ok_and(|meta| meta.is_file()) {
        // What cannot be removed names a CRIU that has ended by the next dump.
        drop(fs::remove_file(path));
    }
}

/// The process that started us, so that it cannot be taken for another with its number.
fn criu() -> anyhow::Result<String> {
    let pid = parent_id();
    let process = process_of(Pid(pid)).context("the parent process is gone")?;
    Ok(format!("{pid} {}\n", process.start_ticks))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that the note holds for the process that started us alone, and that it goes. We have no network namespace of our own.
    #[test]
    fn holds_for_one_criu() {
        let dir = tempfile::tempdir().unwrap();
        let ours = Pid(std::process::id());
        assert!(!was(ours, dir.path()).unwrap());
        mark(dir.path()).unwrap();
        mark(dir.path()).unwrap();
        assert!(was(ours, dir.path()).unwrap());
        fs::write(dir.path().join(MARK), "1 0\n").unwrap();
        assert!(!was(ours, dir.path()).unwrap());
        unmark(dir.path());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
