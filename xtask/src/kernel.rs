//! Fetching a kernel of the list from Debian into the target directory.

pub(crate) mod list;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, Result, bail};

use crate::archive::Archive;
use crate::command::note;
use crate::{paths, unpacked};
use list::Source;

/// A kernel that can be booted.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// The bootable image.
    pub image: PathBuf,
    /// `modules/RELEASE` of the package.
    pub modules: PathBuf,
}

/// Fetches every kernel of the list that is not there yet, but for those that run only where they are named.
pub(crate) fn fetch_all() -> Result<()> {
    for listed in list::read()?.into_iter().filter(|listed| !listed.terms.by_name) {
        // A pass is on a kernel that is listed before it.
        if let Some(source) = listed.source.filter(|source| source.kernel == listed.name) {
            fetch(&source)?;
        }
    }
    Ok(())
}

/// Fetches the image that the meta package stands for now; one that was fetched before serves where apt cannot say.
pub(crate) fn fetch(source: &Source) -> Result<Kernel> {
    // Passes share a kernel, and kernels a suite.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock();
    let Source { kernel, suite, package, .. } = source;
    let dir = paths::target().join("kernels").join(kernel);
    fetched(source, &dir).or_else(|error| {
        let Ok(earlier) = newest(&dir) else {
            return Err(error.context(format!("cannot fetch {package} of Debian's {suite}")));
        };
        note(&format!("{error:#}; going on with the kernel {kernel} that was fetched before"));
        Ok(earlier)
    })
}

fn fetched(source: &Source, dir: &Path) -> Result<Kernel> {
    let archive = Archive::of(&source.suite, source.architecture)?;
    archive.update();
    let packages = archive.kernel(&source.package);
    let packages = packages.with_context(|| format!("apt knows no kernel of {}", source.package))?;
    let there = dir.join(packages.first().context("a kernel without a package")?);
    if let Ok(kernel) = open(&there) {
        return Ok(kernel);
    }
    unpacked::unpack(&packages, &there, |into| archive.download(&packages, into))?;
    open(&there)
}

/// What was unpacked: the image under boot, or since 6.18 beside the modules, which lie under lib or, in newer suites, under usr/lib.
fn open(unpacked: &Path) -> Result<Kernel> {
    let releases = ["lib/modules", "usr/lib/modules"].map(|place| entries(&unpacked.join(place)));
    let modules = releases.into_iter().flatten().flatten().next();
    let modules = modules.with_context(|| format!("no modules in {}", unpacked.display()))?;
    let boot = entries(&unpacked.join("boot")).unwrap_or_default();
    let image = boot.into_iter().find(|file| paths::name_of(file).starts_with("vmlinuz-"));
    let image = image.or_else(|| Some(modules.join("vmlinuz")).filter(|image| image.is_file()));
    Ok(Kernel {
        image: image.with_context(|| format!("no kernel image in {}", unpacked.display()))?,
        modules,
    })
}

fn newest(dir: &Path) -> Result<Kernel> {
    let mut unpacked = entries(dir)?;
    unpacked.sort_by_key(|path| path.metadata().and_then(|meta| meta.modified()).ok());
    match unpacked.iter().rev().find_map(|path| open(path).ok()) {
        Some(kernel) => Ok(kernel),
        None => bail!("no kernel in {}", dir.display()),
    }
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let read = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    read.map(|entry| Ok(entry?.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(dir: &Path, files: &[&str]) {
        for file in files {
            let file = dir.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
    }

    /// Check that where apt is silent the kernel fetched last serves, and that an empty directory is an error.
    #[test]
    fn falls_back_to_what_was_fetched() {
        let dir = tempfile::tempdir().unwrap();
        assert!(newest(dir.path()).is_err());
        unpacked(&dir.path().join("old"), &["boot/vmlinuz-6.1", "lib/modules/6.1/modules.dep"]);
        unpacked(&dir.path().join("partial"), &["boot/config-6.1"]);
        assert!(newest(dir.path()).unwrap().image.ends_with("old/boot/vmlinuz-6.1"));
    }

    /// Check that each of Debian's layouts is found: as of bookworm, of trixie, and of kernels since 6.18.
    #[test]
    fn knows_every_layout() {
        for files in [
            ["boot/vmlinuz-6", "lib/modules/6/modules.dep"],
            ["boot/vmlinuz-6", "usr/lib/modules/6/modules.dep"],
            ["usr/lib/modules/6/vmlinuz", "usr/lib/modules/6/modules.dep"],
        ] {
            let dir = tempfile::tempdir().unwrap();
            unpacked(dir.path(), &files);
            let kernel = open(dir.path()).unwrap();
            assert!(
                kernel.image.ends_with(files[0]) && kernel.modules.join("modules.dep").is_file(),
                "{kernel:?}"
            );
        }
    }
}
