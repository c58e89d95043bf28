//! Programs of the kernel's own Debian in a machine, for suites that need more than our own.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, Result};

use crate::architecture::Architecture;
use crate::archive::Archive;
use crate::initramfs::Initramfs;
use crate::kernel::list::Source;
use crate::{paths, unpacked};

/// Where the programs are, ours first. Suites that do not need them do not have it.
pub(super) const PATH: &str = "/bin:/usr/bin:/usr/sbin";

/// CRIU's action script, which is a program of ours where the package is installed.
const HOOK: &str = "deploy/criu/criu-hook";

/// Adds packages of the release that the kernel is of, with all that they depend on, and our action script. Nothing where none is wanted.
pub(super) fn add(source: &Source, packages: &[String], archive: &mut Initramfs) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let root = fetch(source, packages)?;
    archive.copy("bin/criu-hook", &paths::root().join(HOOK))?;
    archive.add_root(&root, is_left_out)?;
    // What has no directory of its own in PATH here is found below /usr; but scripts name this one so.
    archive.link("bin/sh", "/usr/bin/dash")
}

/// The package's program in a machine of another architecture, which has its own.
pub(super) fn busybox(source: &Source) -> Result<PathBuf> {
    let root = fetch(source, &["busybox-static".to_owned()])?;
    let places = ["bin/busybox", "usr/bin/busybox"].map(|place| root.join(place));
    places.into_iter().find(|file| file.is_file()).context("package busybox-static has no busybox")
}

/// Unpacks them once, with bin and sbin below usr, as a Debian whose /usr is merged has them.
fn fetch(Source { suite, architecture, .. }: &Source, packages: &[String]) -> Result<PathBuf> {
    let release = release(suite);
    unpack(release, *architecture, packages)
        .with_context(|| format!("cannot take {} of Debian's {release}", packages.join(", ")))
}

fn unpack(release: &str, architecture: Architecture, packages: &[String]) -> Result<PathBuf> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock();
    let dir = paths::tools().join(format!("{release}-{}-{}", architecture.debian(), packages.join("-")));
    if dir.is_dir() {
        return Ok(dir);
    }
    let archive = Archive::of(release, architecture)?;
    archive.update();
    let download =
        |debs: &Path| packages.iter().try_for_each(|package| archive.download_closure(package, debs));
    unpacked::unpack_all(&dir, download, |_| Ok(()))?;
    Ok(dir)
}

/// The release itself has all packages; its additional suites only some.
fn release(suite: &str) -> &str {
    suite.split('-').next().unwrap_or(suite)
}

/// What no program here reads: manuals and texts, and Python and Perl, which CRIU's other tools are written in.
fn is_left_out(path: &str) -> bool {
    let below = ["usr/share/", "usr/lib/python", "usr/include", "var/", "etc/"];
    let is_language = path.contains("perl") || path.contains("python") || path.contains("/gconv");
    below.iter().any(|dir| path.starts_with(dir)) || is_language
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that packages come from the release, whichever of its suites the kernel is from.
    #[test]
    fn knows_the_release() {
        assert_eq!(release("bookworm-security"), "bookworm");
        assert_eq!(release("trixie"), "trixie");
    }

    /// Check that programs and libraries are taken, and what takes room for nothing is not.
    #[test]
    fn leaves_out_what_nobody_reads() {
        for taken in ["usr", "usr/sbin/criu", "lib/aarch64-linux-gnu/libc.so.6", "bin/mount"] {
            assert!(!is_left_out(taken), "{taken}");
        }
        for left_out in ["usr/share/doc", "usr/lib/python3", "usr/bin/perl5.36", "etc/fstab"] {
            assert!(is_left_out(left_out), "{left_out}");
        }
    }
}
