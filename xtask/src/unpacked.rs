//! Debian packages that are unpacked into the target directory, not installed: theirs would be services and users that nobody wants.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command::Cmd;
use crate::{criu, packages, paths};

/// A package of which only the programs are wanted.
struct Unpacked {
    package: &'static str,
    programs: &'static [&'static str],
}

/// What the tests call from such packages. Prometheus: the server that scrapes, and what checks its rules.
const TEST_TOOLS: [Unpacked; 1] = [Unpacked { package: "prometheus", programs: &["prometheus", "promtool"] }];

/// The programs by name.
pub(crate) fn programs() -> impl Iterator<Item = &'static str> {
    TEST_TOOLS.iter().flat_map(|tool| tool.programs.iter().copied())
}

/// Unpacks those whose programs are not on PATH already.
pub(crate) fn need() -> Result<()> {
    for Unpacked { package, programs } in &TEST_TOOLS {
        let dir = bin_of(package);
        if has_all(programs, |program| paths::program(program).is_some())
            || has_all(programs, |program| dir.join(program).is_file())
        {
            continue;
        }
        if paths::program("apt-get").is_none() {
            bail!("there is no apt-get here; install what brings {}", programs.join(" and "));
        }
        let unpacked = paths::tools().join(package);
        unpack(&[(*package).to_owned()], &unpacked, |dir| download(package, dir))?;
        if !has_all(programs, |program| dir.join(program).is_file()) {
            bail!("package {package} has no {}", programs.join(" and "));
        }
    }
    Ok(())
}

/// PATH for what the tests run: the unpacked programs first.
pub(crate) fn path() -> Result<OsString> {
    let dirs = TEST_TOOLS.iter().map(|tool| bin_of(tool.package)).chain(criu::dirs());
    with_first(dirs.filter(|dir| dir.is_dir()), &env::var_os("PATH").unwrap_or_default())
}

/// Downloads packages with `download`, which is given the directory, and unpacks them over each other as the directory `unpacked`.
pub(crate) fn unpack(
    packages: &[String],
    unpacked: &Path,
    download: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    whole(unpacked, |debs, root| {
        download(debs)?;
        for package in packages {
            let deb = debs_in(debs)?.into_iter().find(|file| is_deb_of(package, file));
            let deb = deb.with_context(|| format!("apt-get left no {package} in {}", debs.display()))?;
            Cmd::new("dpkg-deb").arg("-x").arg(&deb).arg(root).run()?;
        }
        Ok(())
    })
}

/// The same for every package that `download` leaves there; `finish` may add to what was unpacked.
pub(crate) fn unpack_all(
    unpacked: &Path,
    download: impl FnOnce(&Path) -> Result<()>,
    finish: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    whole(unpacked, |debs, root| {
        download(debs)?;
        for deb in debs_in(debs)? {
            Cmd::new("dpkg-deb").arg("-x").arg(&deb).arg(root).run()?;
        }
        finish(root)
    })
}

/// Fills a directory beside, and renames it: a directory of that name is whole.
fn whole(unpacked: &Path, fill: impl FnOnce(&Path, &Path) -> Result<()>) -> Result<()> {
    let partial = unpacked.with_file_name("partial");
    let (debs, root) = (partial.join("debs"), partial.join("root"));
    drop(fs::remove_dir_all(&partial));
    fs::create_dir_all(&debs)?;
    fill(&debs, &root)?;
    drop(fs::remove_dir_all(unpacked));
    fs::rename(&root, unpacked)?;
    Ok(fs::remove_dir_all(&partial)?)
}

fn debs_in(dir: &Path) -> Result<Vec<PathBuf>> {
    let files = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let files = files.flatten().map(|entry| entry.path());
    Ok(files.filter(|file| file.extension() == Some(OsStr::new("deb"))).collect())
}

/// Downloads a package that this machine's own lists name.
pub(crate) fn download(package: &str, dir: &Path) -> Result<()> {
    // As root, apt drops to a user who could not write here.
    let get = || {
        Cmd::new("apt-get")
            .arguments(["download", "-q", "-o", "APT::Sandbox::User=root"])
            .arg(package)
            .dir(dir)
    };
    if get().run().is_err() {
        // A fresh machine has no lists, and those there are may name a version that the archive has replaced since.
        packages::update();
        get().run()?;
    }
    Ok(())
}

fn bin_of(package: &str) -> PathBuf {
    paths::tools().join(package).join("usr/bin")
}

fn has_all(programs: &[&str], is_there: impl Fn(&str) -> bool) -> bool {
    programs.iter().all(|program| is_there(program))
}

/// Whether this is the package's file: `name_version_architecture.deb`.
fn is_deb_of(package: &str, file: &Path) -> bool {
    let name = paths::name_of(file);
    file.extension() == Some(OsStr::new("deb"))
        && name.strip_prefix(package).is_some_and(|rest| rest.starts_with('_'))
}

fn with_first(dirs: impl Iterator<Item = PathBuf>, path: &OsStr) -> Result<OsString> {
    Ok(env::join_paths(dirs.chain(env::split_paths(path)))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that a package's file is told from that of a package whose name begins with it.
    #[test]
    fn knows_a_packages_file() {
        assert!(is_deb_of("prometheus", Path::new("/t/prometheus_2.42.0+ds-5_amd64.deb")));
        assert!(!is_deb_of("prometheus", Path::new("/t/prometheus-node-exporter_1.5_amd64.deb")));
        assert!(!is_deb_of("prometheus", Path::new("/t/prometheus_2.42.0+ds-5_amd64.deb.part")));
    }

    /// Check that unpacked programs come first, and that without any PATH stays as it was.
    #[test]
    fn unpacked_programs_come_first() {
        let path = OsStr::new("/usr/bin:/bin");
        assert_eq!(with_first([PathBuf::from("/t")].into_iter(), path).unwrap(), "/t:/usr/bin:/bin");
        assert_eq!(with_first(std::iter::empty(), path).unwrap(), path);
    }
}
