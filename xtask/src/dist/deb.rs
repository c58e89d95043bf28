//! The Debian package: its control files, and building it from a tree that is laid out already.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::VERSION;
use crate::architecture::Architecture;
use crate::command::Cmd;

const SCRIPTS: [(&str, &str); 3] = [
    ("postinst", include_str!("../../debian/postinst")),
    ("prerm", include_str!("../../debian/prerm")),
    ("postrm", include_str!("../../debian/postrm")),
];

/// Adds the control files to the tree, and packs it; `epoch` is the time that all its files get.
pub(super) fn build(tree: &Path, deb: &Path, architecture: Architecture, epoch: &str) -> Result<()> {
    let mut files = Vec::new();
    below(tree, &mut files)?;
    let mut names: Vec<String> = Vec::new();
    let mut size = 0;
    for file in &files {
        names.push(file.strip_prefix(tree)?.to_string_lossy().into_owned());
        size += file.metadata()?.len().div_ceil(1024);
    }
    let (conffiles, others): (Vec<String>, Vec<String>) =
        names.into_iter().partition(|name| name.starts_with("etc/"));
    let sums = Cmd::new("md5sum").arguments(&others).dir(tree).ask().context("md5sum failed")?;
    let dir = tree.join("DEBIAN");
    fs::create_dir(&dir)?;
    let conffiles = conffiles.iter().fold(String::new(), |all, name| all + "/" + name + "\n");
    let control = control(architecture.debian(), size);
    for (name, text) in [("control", control.as_str()), ("conffiles", &conffiles), ("md5sums", &sums)] {
        write(&dir.join(name), text, 0o644)?;
    }
    for (name, text) in SCRIPTS {
        write(&dir.join(name), text, 0o755)?;
    }
    fs::set_permissions(&dir, Permissions::from_mode(0o755))?;
    let cmd = Cmd::new("dpkg-deb").arguments(["--root-owner-group", "--build"]).arg(tree).arg(deb);
    cmd.env("SOURCE_DATE_EPOCH", epoch).run()
}

/// `size` in KiB, each file rounded up, as Debian counts. The program is static: it depends on no package.
fn control(architecture: &str, size: u64) -> String {
    format!(
        "Package: aioinspect
Version: {VERSION}
Architecture: {architecture}
Maintainer: The aioinspect developers <aioinspect@packages.invalid>
Installed-Size: {size}
Section: admin
Priority: optional
Description: shows who holds the native-AIO slots of this host
 Finds every native-AIO context (io_setup, libaio) of every process by asking
 the kernel through a BPF iterator: nothing is injected into any process. It
 accounts for every slot of fs.aio-nr, says whether a context is idle, so that
 its process can be checkpointed without losing I/O, and exports metrics.
 .
 The units aioinspect.socket and aioinspect.service are installed, but neither
 enabled nor started.
"
    )
}

fn write(file: &Path, text: &str, mode: u32) -> Result<()> {
    fs::write(file, text)?;
    Ok(fs::set_permissions(file, Permissions::from_mode(mode))?)
}

/// All files below a directory, in order.
fn below(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    entries.sort();
    for path in entries {
        if path.is_dir() { below(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// Check the fields that dpkg needs, that no package is asked for, and that the description's lines are a paragraph's.
    #[test]
    fn control_is_complete() {
        let text = control("amd64", 7);
        for field in
            ["Package: aioinspect\n", "Architecture: amd64\n", "Installed-Size: 7\n", "Section: admin\n"]
        {
            assert!(text.contains(field), "{field}");
        }
        assert!(text.contains(&format!("Version: {VERSION}\n")) && text.ends_with('\n'));
        assert!(!text.contains("Depends") && !text.contains("Recommends") && !text.contains("Homepage"));
        let (_, description) = text.split_once("Description: ").unwrap();
        assert!(description.lines().skip(1).all(|line| line.starts_with(' ') && line.len() <= 80));
    }

    /// Check that the maintainer scripts are POSIX shell that stops at errors, and enable and start nothing.
    #[test]
    fn scripts_are_careful() {
        for (name, text) in SCRIPTS {
            assert!(text.starts_with("#!/bin/sh\n") && text.contains("\nset -e\n"), "{name}");
            let orders = text.lines().filter(|line| !line.starts_with('#'));
            assert!(
                orders.into_iter().all(|line| !line.contains(" enable") && !line.contains(" start")),
                "{name}"
            );
            assert!(Cmd::new("sh").arg("-n").arg("-c").arg(text).ask().is_some(), "{name}");
        }
    }

    /// Check that settings are conffiles and not among the sums, and that dpkg reads the package.
    #[test]
    fn a_package_is_built() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, deb) = (dir.path().join("tree"), dir.path().join("x.deb"));
        fs::create_dir_all(tree.join("etc/default")).unwrap();
        fs::create_dir_all(tree.join("usr/bin")).unwrap();
        fs::write(tree.join("etc/default/aioinspect"), "").unwrap();
        fs::write(tree.join("usr/bin/aioinspect"), "x").unwrap();
        if Cmd::new("dpkg-deb").arg("--version").ask().is_none() {
            return writeln!(std::io::stderr(), "SKIPPED a_package_is_built: needs dpkg-deb").unwrap();
        }
        build(&tree, &deb, Architecture::Aarch64, "1000000000").unwrap();
        let read = |name: &str| fs::read_to_string(tree.join("DEBIAN").join(name)).unwrap();
        assert_eq!(read("conffiles"), "/etc/default/aioinspect\n");
        assert_eq!(read("md5sums"), "9dd4e461268c8034f5c8564e155c67a6  usr/bin/aioinspect\n");
        let field = Cmd::new("dpkg-deb").arg("--field").arg(&deb).arg("Architecture").ask();
        assert_eq!(field.as_deref(), Some("arm64\n"));
        let says = Cmd::new("dpkg-deb").arg("--contents").arg(&deb).ask().unwrap();
        assert!(says.lines().all(|line| line.contains("root/root") && line.contains("2001-09-09")), "{says}");
    }
}
