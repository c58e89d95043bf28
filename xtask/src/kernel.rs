//! The kernels of `.ci/kernels.txt`: the list, and fetching one from Debian into the target directory.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command::{Cmd, note};
use crate::{packages, paths, unpacked};

/// One line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What it is called in results and on the command line.
    pub name: String,
    /// Debian's meta package; none for the kernel this machine runs.
    pub package: Option<String>,
}

/// A kernel that can be booted.
#[derive(Debug)]
pub struct Kernel {
    /// The bootable image.
    pub image: PathBuf,
    /// `lib/modules/RELEASE` of the package.
    pub modules: PathBuf,
}

/// The list.
pub fn listed() -> Result<Vec<Listed>> {
    let file = paths::root().join(".ci/kernels.txt");
    parse(&fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?)
}

/// Fetches every kernel of the list that is not there yet.
pub fn fetch_all() -> Result<()> {
    for listed in listed()? {
        if let Some(package) = &listed.package {
            fetch(&listed.name, package)?;
        }
    }
    Ok(())
}

/// Fetches the image that the meta package stands for now; one that was fetched before serves where apt cannot say.
pub fn fetch(name: &str, package: &str) -> Result<Kernel> {
    let dir = paths::target().join("kernels").join(name);
    let wanted = match image_package(package) {
        Some(found) => Some(found),
        None if packages::can_install() => {
            packages::update();
            image_package(package)
        }
        None => None,
    };
    let Some(wanted) = wanted else {
        return newest(&dir).with_context(|| {
            format!("apt does not know {package}, and no kernel {name} was fetched before")
        });
    };
    let there = dir.join(&wanted);
    if let Ok(kernel) = open(&there) {
        return Ok(kernel);
    }
    if let Err(error) = unpacked::fetch(&wanted, &dir, &there) {
        note(&format!("{error:#}"));
        return newest(&dir).with_context(|| format!("cannot fetch {wanted}"));
    }
    open(&there)
}

fn open(unpacked: &Path) -> Result<Kernel> {
    let boot = entries(&unpacked.join("boot"))?;
    let image = boot.into_iter().find(|file| paths::name_of(file).starts_with("vmlinuz-"));
    let image = image.with_context(|| format!("no kernel image in {}", unpacked.display()))?;
    let modules = entries(&unpacked.join("lib/modules"))?.into_iter().next();
    Ok(Kernel { image, modules: modules.with_context(|| format!("no modules in {}", unpacked.display()))? })
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

fn image_package(meta: &str) -> Option<String> {
    image_of(&Cmd::new("apt-cache").arg("depends").arg(meta).ask()?)
}

/// The image package among the dependencies that `apt-cache depends` prints.
fn image_of(says: &str) -> Option<String> {
    says.lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|package| package.starts_with("linux-image-"))
        .map(str::to_owned)
}

fn parse(text: &str) -> Result<Vec<Listed>> {
    let mut kernels = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            ["native"] => kernels.push(Listed { name: "native".to_owned(), package: None }),
            [name, package] => {
                kernels.push(Listed { name: (*name).to_owned(), package: Some((*package).to_owned()) });
            }
            _ => bail!("`{line}` in .ci/kernels.txt is neither `native` nor a name and a package"),
        }
    }
    Ok(kernels)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that the list is read, comments apart, and that a wrong line is named.
    #[test]
    fn reads_the_list() {
        let kernels = parse("# kernels\n6.1 linux-image-cloud-amd64 # oldest\n\nnative\n").unwrap();
        let first = Listed { name: "6.1".to_owned(), package: Some("linux-image-cloud-amd64".to_owned()) };
        assert_eq!(kernels, [first, Listed { name: "native".to_owned(), package: None }]);
        assert!(parse("6.1\n").unwrap_err().to_string().contains("6.1"));
        assert!(parse("a b c\n").is_err());
    }

    /// Check that the checkout's own list is well formed and names this machine's kernel.
    #[test]
    fn the_checkouts_list_is_good() {
        assert!(listed().unwrap().iter().any(|listed| listed.package.is_none()));
    }

    /// Check that the image behind a meta package is found.
    #[test]
    fn resolves_a_meta_package() {
        let says =
            "linux-image-cloud-amd64\n  Depends: linux-base\n  Depends: linux-image-6.1.0-56-cloud-amd64\n";
        assert_eq!(image_of(says).as_deref(), Some("linux-image-6.1.0-56-cloud-amd64"));
        assert_eq!(image_of("linux-image-cloud-amd64\n"), None);
    }

    /// Check that where apt is silent the kernel fetched last serves, and that an empty directory is an error.
    #[test]
    fn falls_back_to_what_was_fetched() {
        let dir = tempfile::tempdir().unwrap();
        assert!(newest(dir.path()).is_err());
        fs::create_dir_all(dir.path().join("old/boot")).unwrap();
        fs::create_dir_all(dir.path().join("old/lib/modules/6.1")).unwrap();
        fs::write(dir.path().join("old/boot/vmlinuz-6.1"), "").unwrap();
        fs::create_dir_all(dir.path().join("partial/boot")).unwrap();
        assert!(newest(dir.path()).unwrap().image.ends_with("old/boot/vmlinuz-6.1"));
    }
}
