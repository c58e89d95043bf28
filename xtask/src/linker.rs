//! bpf-linker: rustc for the bpf target emits LLVM bitcode, and this links it. Its LLVM must not be older than rustc's.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::command::Cmd;
use crate::toolchain::is_of_outer_cargo;
use crate::{packages, paths};

/// The release that is installed where there is none.
const RELEASE: &str = "0.13.0";
/// The LLVM versions that release can be built with: its cargo features.
const FEATURES: [u32; 3] = [21, 22, 23];
/// The oldest release that takes what rustc passes.
const OLDEST: (u32, u32) = (0, 10);

/// The linkers that are there, the one to try first at the front. Which of them has a new enough LLVM only a link can tell.
pub(crate) fn find() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for file in [own()].into_iter().chain(paths::programs("bpf-linker")) {
        if file.is_file() && is_new_enough(&file) {
            found.push(file);
        }
    }
    if let Ok(worked) = std::fs::read_to_string(remembered()) {
        found.sort_by_key(|file| file.as_os_str() != worked.as_str());
    }
    found
}

/// Remembers that this linker linked the object.
pub(crate) fn remember(linker: &Path) -> Result<()> {
    let text = linker.to_string_lossy();
    if std::fs::read_to_string(remembered()).ok().as_deref() != Some(&text) {
        std::fs::write(remembered(), text.as_bytes())?;
    }
    Ok(())
}

/// Installs one that can link what a rustc with this LLVM emits. Where the user has another, ours goes into the target
/// directory: theirs may serve other projects.
pub(crate) fn install(rustc_llvm: u32) -> Result<PathBuf> {
    let binstall = paths::program("cargo-binstall").is_some();
    let mut plan = plan(rustc_llvm, &llvms(), &[], binstall);
    if plan == Plan::Nothing && packages::can_install() {
        packages::update();
        let offered: Vec<u32> =
            FEATURES.into_iter().filter(|&major| packages::is_offered(&dev_package(major))).collect();
        plan = self::plan(rustc_llvm, &llvms(), &offered, binstall);
    }
    let cargo = || Cmd::new("cargo").without_env(|key| is_of_outer_cargo(key) && key != "RUSTUP_TOOLCHAIN");
    match plan {
        Plan::Binstall => {
            cargo()
                .arguments(["binstall", "--no-confirm", "--root"])
                .arg(paths::tools())
                .arg("bpf-linker")
                .run()?;
            return Ok(own());
        }
        Plan::Nothing => bail!("{}", cannot(rustc_llvm)),
        Plan::Package(major) => packages::install(&[&dev_package(major)])?,
        Plan::Source(_) => {}
    }
    let Some((major, prefix)) = llvms().into_iter().find(|&(major, _)| fits(rustc_llvm, major)) else {
        bail!("{}", cannot(rustc_llvm));
    };
    let mut cmd = cargo()
        .arguments([
            "install",
            "bpf-linker",
            "--version",
            RELEASE,
            "--locked",
            "--no-default-features",
            "--features",
        ])
        .arg(format!("llvm-{major}"))
        .env("LLVM_PREFIX", prefix);
    let others = paths::program("bpf-linker").is_some();
    if others {
        cmd = cmd.arg("--force").arg("--root").arg(paths::tools());
    }
    cmd.run()?;
    let installed = if others { Some(own()) } else { paths::program("bpf-linker") };
    match installed {
        Some(file) if file.is_file() => Ok(file),
        _ => bail!("cargo installed bpf-linker, but it is not in {:?}", paths::cargo_home()),
    }
}

/// How to get a linker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    /// Build it against an LLVM that is there.
    Source(u32),
    /// Fetch the project's own build.
    Binstall,
    /// Install that LLVM's development files, then build.
    Package(u32),
    /// Not without help.
    Nothing,
}

fn plan(rustc_llvm: u32, there: &[(u32, PathBuf)], offered: &[u32], binstall: bool) -> Plan {
    if let Some(&(major, _)) = there.iter().find(|&&(major, _)| fits(rustc_llvm, major)) {
        return Plan::Source(major);
    }
    if binstall {
        return Plan::Binstall;
    }
    offered.iter().copied().find(|&major| fits(rustc_llvm, major)).map_or(Plan::Nothing, Plan::Package)
}

fn fits(rustc_llvm: u32, llvm: u32) -> bool {
    llvm >= rustc_llvm && FEATURES.contains(&llvm)
}

fn dev_package(major: u32) -> String {
    format!("llvm-{major}-dev")
}

fn cannot(rustc_llvm: u32) -> String {
    format!(
        "no bpf-linker with LLVM {rustc_llvm} or newer; install one of these:\n  \
         cargo install cargo-binstall && cargo binstall bpf-linker\n  \
         {}, then run this again",
        packages::line(&[&dev_package(rustc_llvm)])
    )
}

/// Every LLVM with its shared library and development link, oldest first, and its prefix.
fn llvms() -> Vec<(u32, PathBuf)> {
    let mut found = Vec::new();
    for major in FEATURES {
        let prefix = PathBuf::from(format!("/usr/lib/llvm-{major}"));
        if prefix.join("lib/libLLVM.so").exists() {
            found.push((major, prefix));
        }
    }
    if let Some((major, prefix)) = configured() {
        found.push((major, prefix));
    }
    found.sort();
    found.dedup_by_key(|&mut (major, _)| major);
    found
}

/// The LLVM of an unversioned `llvm-config` (Arch, Fedora).
fn configured() -> Option<(u32, PathBuf)> {
    let ask = |what: &str| Cmd::new("llvm-config").arg(what).ask();
    let major = ask("--version")?.split('.').next()?.trim().parse().ok()?;
    ask("--libs")?;
    Some((major, PathBuf::from(ask("--prefix")?.trim())))
}

fn is_new_enough(file: &Path) -> bool {
    Cmd::new(file)
        .arg("--version")
        .ask()
        .and_then(|says| parse_version(&says))
        .is_some_and(|version| version >= OLDEST)
}

fn parse_version(says: &str) -> Option<(u32, u32)> {
    let mut numbers = says.trim().strip_prefix("bpf-linker ")?.split('.');
    let mut next = || numbers.next()?.parse().ok();
    Some((next()?, next()?))
}

fn own() -> PathBuf {
    paths::tools().join("bin/bpf-linker")
}

fn remembered() -> PathBuf {
    paths::target().join("bpf/linker")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there(majors: &[u32]) -> Vec<(u32, PathBuf)> {
        majors.iter().map(|&major| (major, PathBuf::new())).collect()
    }

    /// Check that an LLVM that is there is used before anything is fetched, and never one older than rustc's.
    #[test]
    fn plans_with_what_is_there() {
        assert_eq!(plan(22, &there(&[21, 22, 23]), &[22], true), Plan::Source(22));
        assert_eq!(plan(23, &there(&[21, 22]), &[22], true), Plan::Binstall);
        assert_eq!(plan(22, &there(&[21]), &[21, 22], false), Plan::Package(22));
        assert_eq!(plan(23, &there(&[22]), &[22], false), Plan::Nothing);
        // An LLVM newer than any the release knows cannot be built against.
        assert_eq!(plan(24, &there(&[24]), &[24], false), Plan::Nothing);
    }

    /// Check that the linker's version is understood, and that garbage is no version.
    #[test]
    fn reads_the_linkers_version() {
        assert_eq!(parse_version("bpf-linker 0.13.0\n"), Some((0, 13)));
        assert!(parse_version("bpf-linker 0.9.14").is_some_and(|version| version < OLDEST));
        assert_eq!(parse_version("error"), None);
        assert_eq!(parse_version("bpf-linker x"), None);
    }
}
