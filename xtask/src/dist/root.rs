//! A clean Debian root to try the package in: made once by debootstrap, kept as an archive, unpacked for each trial.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::command::Cmd;
use crate::{mirror, paths};

const SUITE: &str = "bookworm";

/// A root directory of its own.
#[derive(Debug)]
pub(super) struct Root {
    dir: PathBuf,
}

/// Unpacks the archive as `dir`; makes the archive first where there is none.
pub(super) fn fresh(dir: &Path) -> Result<Root> {
    let archive = paths::tools().join(format!("debian-{SUITE}.tar"));
    if !archive.is_file() {
        make(dir, &archive)?;
    }
    clear(dir)?;
    let tar = Cmd::new("tar").arguments(["--numeric-owner", "--directory"]).arg(dir).arg("-xf").arg(&archive);
    tar.run()?;
    Ok(Root { dir: dir.to_path_buf() })
}

impl Root {
    /// A path of the root, seen from outside.
    pub(super) fn path(&self, inside: &str) -> PathBuf {
        self.dir.join(inside)
    }

    /// A command inside the root, with /proc and /sys. They are mounted in a namespace that ends with the command, so that
    /// nothing stays mounted however it ends.
    pub(super) fn command(&self, words: &[&str]) -> Cmd {
        // The caller's PATH may lead nowhere inside the root.
        const ENTER: &str = "PATH=/usr/sbin:/usr/bin:/sbin:/bin; mount -t proc proc \"$0/proc\" && \
            mount --rbind /sys \"$0/sys\" && exec chroot \"$0\" \"$@\"";
        private()
            .arguments(["sh", "-c", ENTER])
            .arg(&self.dir)
            .arguments(["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C"])
            .arg("DEBIAN_FRONTEND=noninteractive")
            .arguments(words)
    }
}

fn private() -> Cmd {
    Cmd::new("unshare").arguments(["--mount", "--propagation", "private"])
}

fn make(dir: &Path, archive: &Path) -> Result<()> {
    clear(dir)?;
    let debootstrap = paths::program("debootstrap").context("no program debootstrap")?;
    let mirror = mirror::of(SUITE);
    // systemd for systemd-analyze, which judges the units.
    private()
        .arg(debootstrap)
        .arguments(["--variant=minbase", "--include=systemd", SUITE])
        .arg(dir)
        .arg(&mirror)
        .run()
        .with_context(|| format!("cannot make a Debian root from {mirror}"))?;
    // Written beside and renamed: an archive of that name is whole.
    let partial = archive.with_extension("partial");
    fs::create_dir_all(paths::tools())?;
    Cmd::new("tar")
        .arguments([
            "--numeric-owner",
            "--one-file-system",
            "--exclude=./var/cache/apt/archives/*.deb",
            "--directory",
        ])
        .arg(dir)
        .arg("-cf")
        .arg(&partial)
        .arg(".")
        .run()?;
    Ok(fs::rename(&partial, archive)?)
}

/// An empty directory. Should anything be mounted in the old one, that stays, and this fails.
fn clear(dir: &Path) -> Result<()> {
    if dir.exists() {
        Cmd::new("rm").arguments(["-rf", "--one-file-system", "--"]).arg(dir).run()?;
    }
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))
}
