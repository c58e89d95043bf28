//! CRIU and runc for the suite `criu`, unpacked into the target directory: a CRIU that runs on the kernels of today, with its own libraries and its own
//! dynamic linker, and the runc of this machine's distribution.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::architecture::Architecture;
use crate::archive::Archive;
use crate::command::note;
use crate::{paths, unpacked};

/// Where CRIU comes from. Stable releases of Debian have none that is new enough, or none at all.
const SUITE: &str = "sid";

/// Fetches what is not there. Without it the suite skips its cases and says so: no reason to run no other.
pub(crate) fn fetch() {
    for (name, fetched) in [("criu", criu()), ("runc", runc())] {
        if let Err(error) = fetched {
            note(&format!("{error:#}; going on without {name}"));
        }
    }
}

/// The directories of the programs, for PATH.
pub(crate) fn dirs() -> [PathBuf; 2] {
    [paths::tools().join("criu/bin"), paths::tools().join("runc/usr/sbin")]
}

fn criu() -> Result<()> {
    let dir = paths::tools().join("criu");
    if dir.join("bin/criu").is_file() {
        return Ok(());
    }
    let archive = Archive::of(SUITE, Architecture::HERE)?;
    archive.update();
    unpacked::unpack_all(&dir, |debs| archive.download_closure("criu", debs), add_starter)
}

fn runc() -> Result<()> {
    let dir = paths::tools().join("runc");
    if paths::program("runc").is_some() || dir.join("usr/sbin/runc").is_file() {
        return Ok(());
    }
    unpacked::unpack(&["runc".to_owned()], &dir, |into| unpacked::download("runc", into))
}

/// Adds `bin/criu`, which starts the program with what lies beside it, wherever that is.
fn add_starter(root: &Path) -> Result<()> {
    let linker = find(root, &["usr/lib64", "usr/lib"], |name| name.starts_with("ld-linux"));
    let linker = linker.with_context(|| format!("no dynamic linker in {}", root.display()))?;
    let libraries = find(root, &["usr/lib"], |name| name.ends_with("-linux-gnu"));
    let libraries = libraries.with_context(|| format!("no libraries in {}", root.display()))?;
    let starter = root.join("bin/criu");
    fs::create_dir_all(root.join("bin"))?;
    fs::write(&starter, text(&linker, &libraries))?;
    Ok(fs::set_permissions(&starter, fs::Permissions::from_mode(0o755))?)
}

fn text(linker: &str, libraries: &str) -> String {
    format!(
        "#!/bin/sh\nroot=$(dirname \"$(dirname \"$(realpath \"$0\")\")\")\n\
         exec \"$root/{linker}\" --library-path \"$root/{libraries}\" \"$root/usr/sbin/criu\" \"$@\"\n"
    )
}

/// The first entry of these directories whose name is such, as a path below the root.
fn find(root: &Path, dirs: &[&str], is_it: impl Fn(&str) -> bool) -> Option<String> {
    dirs.iter().find_map(|dir| {
        let entries = fs::read_dir(root.join(dir)).ok()?.flatten();
        let names = entries.map(|entry| paths::name_of(&entry.path()));
        names.filter(|name| is_it(name)).min().map(|name| format!("{dir}/{name}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that the starter finds its linker and libraries on either architecture, and runs from anywhere.
    #[test]
    fn starts_the_program_with_its_own_libraries() {
        let root = tempfile::tempdir().unwrap();
        for dir in ["usr/lib64", "usr/lib/x86_64-linux-gnu", "usr/sbin"] {
            fs::create_dir_all(root.path().join(dir)).unwrap();
        }
        let linker = root.path().join("usr/lib64/ld-linux-x86-64.so.2");
        fs::write(&linker, "#!/bin/sh\necho \"$@\"\n").unwrap();
        fs::set_permissions(&linker, fs::Permissions::from_mode(0o755)).unwrap();
        add_starter(root.path()).unwrap();
        let says = crate::command::Cmd::new(root.path().join("bin/criu")).arg("--version").ask().unwrap();
        let place = root.path().canonicalize().unwrap();
        let place = place.display();
        assert_eq!(
            says,
            format!("--library-path {place}/usr/lib/x86_64-linux-gnu {place}/usr/sbin/criu --version\n")
        );
        assert!(add_starter(Path::new("/nonexistent")).is_err());
    }
}
