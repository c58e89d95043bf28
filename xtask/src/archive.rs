//! A suite of Debian's archive with an apt state of its own in the target directory: it may be any suite, on a machine that has
//! lists of others or none, and the machine's own lists, packages and preferences neither count nor change.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};

use crate::architecture::Architecture;
use crate::command::{Cmd, note};
use crate::{mirror, paths};

/// Every suite that is used is signed by a key of bookworm's package debian-archive-keyring.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Lists older than this are fetched anew.
const OLD: Duration = Duration::from_secs(24 * 3600);

/// One suite, and its packages of one architecture.
#[derive(Debug)]
pub(crate) struct Archive {
    config: PathBuf,
    fetched: PathBuf,
}

impl Archive {
    /// Lays out the state; nothing is fetched.
    pub(crate) fn of(suite: &str, architecture: Architecture) -> Result<Self> {
        if paths::program("apt-get").is_none() {
            bail!("there is no apt-get here");
        }
        let dir = paths::target().join("apt").join(format!("{suite}-{}", architecture.debian()));
        fs::create_dir_all(dir.join("lists/partial"))?;
        fs::create_dir_all(dir.join("cache/archives/partial"))?;
        fs::write(dir.join("sources.list"), source(&mirror::of(suite), suite))?;
        fs::write(dir.join("status"), "")?;
        let archive = Self { config: dir.join("apt.conf"), fetched: dir.join("fetched") };
        fs::write(&archive.config, config(&dir.canonicalize()?, architecture))?;
        Ok(archive)
    }

    /// Fetches the lists where there are none of today. An archive out of reach is no error here: there may be older ones.
    pub(crate) fn update(&self) {
        let age = self.fetched.metadata().and_then(|meta| meta.modified()).ok();
        let age = age.and_then(|then| SystemTime::now().duration_since(then).ok());
        if age.is_none_or(|age| age > OLD) {
            self.update_now();
        }
    }

    fn update_now(&self) {
        // Without the option apt-get ends well even if it could not fetch anything.
        let update = self.apt("apt-get").arguments(["update", "-q", "-o", "APT::Update::Error-Mode=any"]);
        if let Err(error) = update.run().and_then(|()| Ok(fs::write(&self.fetched, "")?)) {
            note(&format!("{error:#}; going on with the lists there are"));
        }
    }

    /// The packages of the kernel that a meta package stands for now, the one that the kernel's own name is in first.
    pub(crate) fn kernel(&self, meta: &str) -> Option<Vec<String>> {
        let image = image_of(&self.ask(meta)?)?;
        let parts = parts_of(&image, &self.ask(&image)?);
        Some([vec![image], parts].concat())
    }

    /// Downloads packages into a directory.
    pub(crate) fn download(&self, packages: &[String], dir: &Path) -> Result<()> {
        let get = || {
            self.apt("apt-get")
                .arguments(["download", "-q"])
                .arguments(packages)
                .dir(dir)
                .run()
                .context("cannot download")
        };
        // The lists may name a version that the archive has replaced since.
        get().or_else(|_| {
            self.update_now();
            get()
        })
    }

    /// Downloads a package and everything it depends on, as if nothing were installed, into a directory.
    pub(crate) fn download_closure(&self, package: &str, dir: &Path) -> Result<()> {
        fs::create_dir_all(dir.join("partial"))?;
        self.apt("apt-get")
            .arguments(["install", "-y", "-q", "--download-only", "--no-install-recommends", "-o"])
            .arg(format!("Dir::Cache::archives={}", dir.display()))
            .arg(package)
            .run()
            .with_context(|| format!("cannot download {package} and what it needs"))
    }

    fn ask(&self, package: &str) -> Option<String> {
        self.apt("apt-cache").arg("depends").arg(package).ask()
    }

    fn apt(&self, program: &str) -> Cmd {
        Cmd::new(program).env("APT_CONFIG", &self.config)
    }
}

fn source(mirror: &str, suite: &str) -> String {
    format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n")
}

/// apt.conf(5). As root, apt would drop to a user who cannot write here; and a suite that is no longer worked on says that its
/// list has expired.
fn config(dir: &Path, architecture: Architecture) -> String {
    let (dir, architecture) = (dir.display(), architecture.debian());
    format!(
        "Dir::Etc::sourcelist \"{dir}/sources.list\";\n\
         Dir::Etc::sourceparts \"/dev/null\";\n\
         Dir::Etc::preferences \"/dev/null\";\n\
         Dir::Etc::preferencesparts \"/dev/null\";\n\
         Dir::State::lists \"{dir}/lists\";\n\
         Dir::State::status \"{dir}/status\";\n\
         Dir::Cache \"{dir}/cache\";\n\
         APT::Architecture \"{architecture}\";\n\
         APT::Architectures {{ \"{architecture}\"; }};\n\
         APT::Sandbox::User \"root\";\n\
         Acquire::Check-Valid-Until \"false\";\n"
    )
}

/// The image among the dependencies of a meta package.
fn image_of(says: &str) -> Option<String> {
    depends(says).find(|name| name.starts_with(IMAGE)).map(str::to_owned)
}

/// The packages of the same release that an image needs: since 6.18 it is itself empty, and they have what it had before.
fn parts_of(image: &str, says: &str) -> Vec<String> {
    let release = image.strip_prefix(IMAGE).unwrap_or(image);
    let is_part = |name: &&str| name.strip_suffix(release).is_some_and(|kind| kind.ends_with('-'));
    depends(says).filter(is_part).map(str::to_owned).collect()
}

const IMAGE: &str = "linux-image-";

/// The dependencies that `apt-cache depends` prints.
fn depends(says: &str) -> impl Iterator<Item = &str> {
    says.lines().filter_map(|line| line.trim().strip_prefix("Depends: "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that the image behind a meta package is found.
    #[test]
    fn resolves_a_meta_package() {
        let says =
            "linux-image-cloud-amd64\n  Depends: linux-base\n  Depends: linux-image-6.1.0-56-cloud-amd64\n";
        assert_eq!(image_of(says).as_deref(), Some("linux-image-6.1.0-56-cloud-amd64"));
        assert_eq!(image_of("linux-image-cloud-amd64\n"), None);
    }

    /// Check that the parts of an image are those of its release, and nothing else it needs or recommends.
    #[test]
    fn finds_the_parts() {
        let says = "linux-image-7.3\n  Depends: kmod\n |Depends: dracut\n  Depends: linux-base\n  Depends: linux-base-7.3\n\
            \x20 Depends: linux-binary-7.3\n  Recommends: linux-extra-7.3\n";
        assert_eq!(parts_of("linux-image-7.3", says), ["linux-base-7.3", "linux-binary-7.3"]);
    }

    /// Check that the state is a directory's own and of one architecture, and that the source is one suite with its key.
    #[test]
    fn a_state_lies_in_its_directory() {
        let config = config(Path::new("/t/apt/trixie"), Architecture::Aarch64);
        for part in [
            "sourcelist \"/t/apt/trixie/sources.list\"",
            "lists \"/t/apt/trixie/lists\"",
            "Cache \"/t/apt/trixie/cache\"",
            "Architecture \"arm64\"",
            "Architectures { \"arm64\"; }",
        ] {
            assert!(config.contains(part), "{config}");
        }
        assert!(source("http://m/debian", "trixie").ends_with("] http://m/debian trixie main\n"));
    }
}
