//! The Rust toolchain of the eBPF half: one that can build `core` for the bpf target, that is, one with the library's sources.
//!
//! Two are known to work: rustup's nightly with rust-src, and a distribution's rustc with its sources (Debian: rustc-web,
//! cargo-web, rust-web-src), made to take `-Z build-std` by `RUSTC_BOOTSTRAP=1`. What is there is preferred to what is not.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};

use crate::command::{Cmd, note};
use crate::{packages, paths};

/// The oldest rustc that builds the workspace (`rust-version` of Cargo.toml).
const OLDEST: (u32, u32) = (1, 88);

/// Debian's toolchain, as packages.
const DEBIAN: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// The clippy that goes with it.
const DEBIAN_CLIPPY: &str = "rust-web-clippy";

/// A toolchain that can build for the bpf target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Toolchain {
    /// What a person would call it.
    pub name: String,
    /// Its `bin`: cargo and rustc are called by path, so that no proxy or variable of the outer cargo gets between.
    pub bin: PathBuf,
    /// Whether unstable flags must be allowed by `RUSTC_BOOTSTRAP`.
    pub bootstrap: bool,
    /// What `rustc -vV` says.
    pub version: Version,
}

/// The two numbers of `rustc -vV` that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// Major and minor of the release.
    pub release: (u32, u32),
    /// Major version of its LLVM: bpf-linker's must not be older.
    pub llvm: u32,
}

/// The toolchain that is there, if one is.
pub(crate) fn find() -> Option<Toolchain> {
    nightly_sysroot()
        .and_then(|sysroot| at(&sysroot, "rustup nightly", false))
        .or_else(|| at(Path::new("/usr"), "the system's rustc", true))
}

/// Installs one; what cannot be installed ends in an error that says what to type.
pub(crate) fn install() -> Result<Toolchain> {
    let rustup = paths::program("rustup");
    let nightly = nightly_sysroot().is_some();
    for way in ways(rustup.is_some(), nightly, packages::can_install()) {
        let tried = match way {
            Way::AddSource => rustup_run(&["component", "add", "rust-src", "--toolchain", "nightly"], 60),
            Way::InstallNightly => rustup_run(
                &[
                    "toolchain",
                    "install",
                    "nightly",
                    "--profile",
                    "minimal",
                    "--component",
                    "rust-src",
                    "--no-self-update",
                ],
                600,
            ),
            Way::Debian => packages::install(&DEBIAN),
        };
        match tried.map(|()| find()) {
            Ok(Some(toolchain)) => return Ok(toolchain),
            Ok(None) => note("no toolchain with the library's sources yet"),
            Err(error) => note(&format!("{error:#}")),
        }
    }
    bail!(
        "no Rust toolchain that can build for the bpf target; install one of these:\n  \
         rustup toolchain install nightly --component rust-src\n  \
         {} (Debian 12 and later)",
        packages::line(&DEBIAN)
    )
}

/// Sees to it that the toolchain has clippy, which is not part of what building takes: installs it,
/// or ends in an error that says what to type.
pub(crate) fn need_clippy(toolchain: &Toolchain) -> Result<()> {
    let has = || ["cargo-clippy", "clippy-driver"].iter().all(|name| toolchain.bin.join(name).is_file());
    if has() {
        return Ok(());
    }
    let debian = toolchain.bootstrap;
    let tried = if debian {
        packages::install(&[DEBIAN_CLIPPY])
    } else {
        rustup_run(&["component", "add", "clippy", "--toolchain", "nightly"], 60)
    };
    if tried.is_ok() && has() {
        return Ok(());
    }
    let line = if debian {
        packages::line(&[DEBIAN_CLIPPY])
    } else {
        "rustup component add clippy --toolchain nightly".to_owned()
    };
    bail!("the eBPF programs cannot be linted: {} has no clippy; install it:\n  {line}", toolchain.name)
}

/// Sees to it that rustup's nightly has Miri; an error says why it cannot be had here.
pub(crate) fn need_miri() -> Result<()> {
    if nightly_sysroot().is_none() {
        bail!("Miri comes with rustup's nightly, and there is none here");
    }
    // One that is there already is no error, and asks nobody.
    rustup_run(&["component", "add", "miri", "--toolchain", "nightly"], 60)
}

/// A way to get a toolchain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    AddSource,
    InstallNightly,
    Debian,
}

/// The ways to try, the one that changes least first: a component of a toolchain that is there, packages, a new toolchain.
fn ways(rustup: bool, nightly: bool, packages: bool) -> Vec<Way> {
    let mut ways = Vec::new();
    if rustup && nightly {
        ways.push(Way::AddSource);
    }
    if packages {
        ways.push(Way::Debian);
    }
    if rustup && !nightly {
        ways.push(Way::InstallNightly);
    }
    ways
}

fn rustup_run(args: &[&str], seconds: u64) -> Result<()> {
    Cmd::new("rustup").arguments(args).run_within(Duration::from_secs(seconds))
}

/// Where rustup keeps nightly; asking for it never installs it.
fn nightly_sysroot() -> Option<PathBuf> {
    paths::program("rustup")?;
    let rustc = Cmd::new("rustup").arguments(["which", "--toolchain", "nightly", "rustc"]).ask()?;
    Path::new(rustc.trim()).parent()?.parent().map(Path::to_path_buf)
}

fn at(sysroot: &Path, name: &str, bootstrap: bool) -> Option<Toolchain> {
    let bin = sysroot.join("bin");
    let sources = sysroot.join("lib/rustlib/src/rust/library/core/src/lib.rs");
    if !sources.is_file() || !bin.join("cargo").is_file() {
        return None;
    }
    let says = Cmd::new(bin.join("rustc")).arg("-vV").without_env(is_of_outer_cargo).ask()?;
    let version = parse_version(&says)?;
    if version.release < OLDEST {
        return None;
    }
    let (major, minor) = version.release;
    Some(Toolchain {
        name: format!("{name} {major}.{minor} (LLVM {})", version.llvm),
        bin,
        bootstrap,
        version,
    })
}

/// Whether a variable was set by, or meant for, the cargo and rustup that started xtask: such a one would make another
/// toolchain's cargo call the wrong rustc, with the wrong flags, or load the wrong libraries.
pub(crate) fn is_of_outer_cargo(key: &str) -> bool {
    const EXACT: [&str; 12] = [
        "CARGO",
        "RUSTC",
        "RUSTDOC",
        "RUSTFLAGS",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTUP_TOOLCHAIN",
        "RUST_RECURSION_COUNT",
        "LD_LIBRARY_PATH",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_PRIMARY_PACKAGE",
        "CARGO_CRATE_NAME",
    ];
    const PREFIXES: [&str; 5] =
        ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_BUILD_", "CARGO_PROFILE_"];
    EXACT.contains(&key) || PREFIXES.iter().any(|prefix| key.starts_with(prefix))
}

fn parse_version(says: &str) -> Option<Version> {
    let after = |key: &str| says.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    let mut release = after("release:")?.split(['.', '-']);
    let mut next = || release.next()?.parse().ok();
    let release = (next()?, next()?);
    let llvm = after("LLVM version:")?.split('.').next()?.parse().ok()?;
    Some(Version { release, llvm })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that what `rustc -vV` prints is understood, of a release and of a nightly.
    #[test]
    fn reads_versions() {
        let nightly = "rustc 1.97.0-nightly (e50aa6fba 2026-05-19)\nbinary: rustc\nrelease: 1.97.0-nightly\nLLVM version: 22.1.4\n";
        assert_eq!(parse_version(nightly), Some(Version { release: (1, 97), llvm: 22 }));
        assert_eq!(parse_version("release: 1.96.0\n"), None);
        assert_eq!(parse_version("release: x.y\nLLVM version: 22\n"), None);
    }

    /// Check that what is there is tried before what must be fetched, and that nothing is tried that cannot work.
    #[test]
    fn tries_the_least_change_first() {
        assert_eq!(ways(true, true, true), [Way::AddSource, Way::Debian]);
        assert_eq!(ways(true, false, true), [Way::Debian, Way::InstallNightly]);
        assert_eq!(ways(true, false, false), [Way::InstallNightly]);
        assert_eq!(ways(false, false, false), []);
    }

    /// Check that a directory without the library's sources is no toolchain, and that one whose rustc is too old is none.
    #[test]
    fn wants_sources_and_a_new_enough_rustc() {
        let dir = tempfile::tempdir().unwrap();
        let core = dir.path().join("lib/rustlib/src/rust/library/core/src");
        let bin = dir.path().join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        let rustc = |minor: u32| {
            use std::os::unix::fs::PermissionsExt;
            let script = format!("#!/bin/sh\nprintf 'release: 1.{minor}.0\\nLLVM version: 22.1\\n'\n");
            std::fs::write(bin.join("rustc"), script).unwrap();
            std::fs::write(bin.join("cargo"), "").unwrap();
            std::fs::set_permissions(bin.join("rustc"), std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        rustc(96);
        assert_eq!(at(dir.path(), "x", true), None);
        std::fs::create_dir_all(&core).unwrap();
        std::fs::write(core.join("lib.rs"), "").unwrap();
        assert!(at(dir.path(), "x", true).is_some());
        rustc(63);
        assert_eq!(at(dir.path(), "x", true), None);
    }

    /// Check that the variables which break another toolchain's build are dropped, and the user's own are kept.
    #[test]
    fn drops_the_outer_cargos_variables() {
        for key in
            ["CARGO", "RUSTC", "RUSTUP_TOOLCHAIN", "CARGO_PKG_NAME", "CARGO_MANIFEST_DIR", "LD_LIBRARY_PATH"]
        {
            assert!(is_of_outer_cargo(key), "{key}");
        }
        for key in ["CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_NET_OFFLINE", "PATH", "RUSTUP_HOME", "HOME"] {
            assert!(!is_of_outer_cargo(key), "{key}");
        }
    }
}
