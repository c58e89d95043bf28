//! What cargo needs to build the userspace half for another architecture: Rust's standard library for it, a C compiler that links, and a
//! static C library.
//!
//! rustup adds the standard library to its own toolchain. Where there is no rustup, or its server is out of reach, Debian has the library
//! of each architecture; but it fits only the compiler of the same version and build, which is Debian's. Then that one builds, called by
//! path, with the other architecture's package unpacked in the target directory as its root: to install it would be to make the other
//! architecture one of this machine's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::slice;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::architecture::Architecture;
use crate::archive::Archive;
use crate::command::{Cmd, note};
use crate::{build, packages, paths, unpacked};

/// Debian's compiler and cargo, as packages, and the standard library of its version.
const DEBIAN: [&str; 2] = ["rustc-web", "cargo-web"];
const DEBIAN_LIBRARY: &str = "libstd-rust-web-dev";
/// Where they are.
const DEBIAN_BIN: &str = "/usr/bin";
/// rustup fetches some 30 MB.
const LIMIT: Duration = Duration::from_secs(300);

/// Where the standard library comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Library {
    /// It is part of the toolchain that cargo uses.
    Own,
    /// It is Debian's, below this root, for Debian's compiler.
    Debian(PathBuf),
}

/// Cargo, told to build static programs for an architecture by a profile of Cargo.toml; what to build is still to be said.
pub(crate) fn cargo(verb: &str, architecture: Architecture, profile: &str) -> Result<Cmd> {
    let triple = architecture.triple();
    let library = find(architecture).with_context(|| missing(&triple))?;
    let debian = Path::new(DEBIAN_BIN);
    let (cargo, root) = match &library {
        Library::Own => (PathBuf::from("cargo"), None),
        Library::Debian(root) => (debian.join("cargo"), Some(root)),
    };
    // What is built for another architecture may be built while this machine's own suites run.
    let cmd = if architecture.is_here() { build::cargo_at(&cargo) } else { build::giving_way(&cargo) };
    let cmd = if root.is_some() { cmd.env("RUSTC", debian.join("rustc")) } else { cmd };
    let flags = root.map(|root| format!(" --sysroot {}", root.display())).unwrap_or_default();
    let mut cmd = cmd
        .arguments([verb, "--profile", profile, "--target", &triple])
        .env("RUSTFLAGS", format!("-C target-feature=+crt-static{flags}"));
    if !architecture.is_here() {
        let (compiler, key) = (architecture.cross().compiler.program, triple.replace('-', "_"));
        cmd = cmd
            .env(&format!("CARGO_TARGET_{}_LINKER", key.to_uppercase()), compiler)
            .env(&format!("CC_{key}"), compiler);
    }
    Ok(cmd)
}

/// Installs what is missing to build for it; what cannot be installed ends in an error that says what to type.
pub(crate) fn need(architecture: Architecture) -> Result<()> {
    if architecture.is_here() {
        return need_static_libc("cc", "libc6-dev", architecture);
    }
    let cross = architecture.cross();
    packages::need(&[cross.compiler]).with_context(|| format!("cannot build for {}", architecture.name()))?;
    need_static_libc(cross.compiler.program, cross.libc, architecture)?;
    if find(architecture).is_some() {
        return Ok(());
    }
    let triple = architecture.triple();
    for way in [rustup as fn(Architecture) -> Result<()>, debian] {
        match way(architecture) {
            Ok(()) if find(architecture).is_some() => return Ok(()),
            Ok(()) => note(&format!("no library for {triple} yet")),
            Err(error) => note(&format!("{error:#}")),
        }
    }
    bail!(missing(&triple))
}

fn missing(triple: &str) -> String {
    format!(
        "no Rust standard library for {triple}; install one of these:\n  \
         rustup target add {triple}\n  \
         {}, then run `cargo xtask setup --arch` again",
        packages::line(&DEBIAN)
    )
}

/// The program is linked statically, so that the one that is built here runs everywhere: that takes libc.a.
fn need_static_libc(compiler: &str, package: &str, architecture: Architecture) -> Result<()> {
    let answer = Cmd::new(compiler).arg("-print-file-name=libc.a").ask().unwrap_or_default();
    // Where there is none, the compiler repeats the bare name.
    if answer.trim().contains('/') {
        return Ok(());
    }
    if packages::can_install() {
        return packages::install(&[package]);
    }
    bail!(
        "no static C library for {}; install it:\n  {}\n  or glibc-static (Fedora)",
        architecture.triple(),
        packages::line(&[package])
    )
}

fn find(architecture: Architecture) -> Option<Library> {
    let triple = architecture.triple();
    if architecture.is_here() || has_library(&own_place(&triple)?) {
        return Some(Library::Own);
    }
    let root = unpacked_root(&version()?, architecture).join("usr");
    has_library(&root.join("lib/rustlib").join(&triple).join("lib")).then_some(Library::Debian(root))
}

/// Where the toolchain that cargo uses looks for the library; there may be nothing.
fn own_place(triple: &str) -> Option<PathBuf> {
    let says =
        build::of_this_checkout("rustc").arguments(["--print", "target-libdir", "--target", triple]).ask()?;
    Some(PathBuf::from(says.trim()))
}

fn has_library(dir: &Path) -> bool {
    let names = fs::read_dir(dir).into_iter().flatten().flatten();
    names.map(|entry| paths::name_of(&entry.path())).any(|name| {
        name.starts_with("libstd-") && Path::new(&name).extension().is_some_and(|kind| kind == "rlib")
    })
}

fn rustup(architecture: Architecture) -> Result<()> {
    if paths::program("rustup").is_none() {
        bail!("there is no rustup here");
    }
    // For the toolchain of this checkout, which is cargo's.
    build::of_this_checkout("rustup").arguments(["target", "add", &architecture.triple()]).run_within(LIMIT)
}

fn debian(architecture: Architecture) -> Result<()> {
    if paths::program("dpkg-query").is_none() {
        bail!("this is no Debian");
    }
    if version().is_none() {
        packages::install(&DEBIAN)?;
    }
    let version = version().with_context(|| format!("{} is not installed", DEBIAN[0]))?;
    // A rebuild for one architecture alone adds to the version.
    let wanted = format!("{DEBIAN_LIBRARY}={}*", source_version(&version));
    let release = release(&fs::read_to_string("/etc/os-release")?).context("this Debian has no name")?;
    let root = unpacked_root(&version, architecture);
    let mut tried = Ok(());
    for suite in [format!("{release}-security"), release] {
        let archive = Archive::of(&suite, architecture)?;
        archive.update();
        tried =
            unpacked::unpack_all(&root, |debs| archive.download(slice::from_ref(&wanted), debs), |_| Ok(()));
        if tried.is_ok() {
            break;
        }
    }
    tried
}

fn unpacked_root(version: &str, architecture: Architecture) -> PathBuf {
    paths::tools().join(format!("{DEBIAN_LIBRARY}-{}-{}", source_version(version), architecture.debian()))
}

/// The version of Debian's compiler, with its cargo; none where one of them is not installed.
fn version() -> Option<String> {
    let installed = |name: &str| Path::new(DEBIAN_BIN).join(name).is_file();
    if !installed("rustc") || !installed("cargo") {
        return None;
    }
    let [rustc, _] = DEBIAN;
    let says = Cmd::new("dpkg-query").arguments(["--show", "--showformat=${Version}", rustc]).ask()?;
    (!says.is_empty()).then_some(says)
}

/// Without what a rebuild adds: `+b1`.
fn source_version(version: &str) -> &str {
    match version.rsplit_once("+b") {
        Some((source, rebuild)) if rebuild.bytes().all(|byte| byte.is_ascii_digit()) => source,
        _ => version,
    }
}

/// `VERSION_CODENAME` of os-release(5).
fn release(says: &str) -> Option<String> {
    let name = says.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    Some(name.trim_matches('"').to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that the library of a rebuilt compiler is looked for by the version of its sources.
    #[test]
    fn leaves_out_rebuilds() {
        assert_eq!(source_version("1.96.0+dfsg1-1~deb13u1+b1"), "1.96.0+dfsg1-1~deb13u1");
        assert_eq!(source_version("1.96.0+dfsg1-1~deb12u2"), "1.96.0+dfsg1-1~deb12u2");
        assert_eq!(source_version("1.96.0+beta"), "1.96.0+beta");
    }

    /// Check that Debian's release is read, quoted or not, and that a system without one has none.
    #[test]
    fn reads_the_release() {
        assert_eq!(release("ID=debian\nVERSION_CODENAME=bookworm\n").as_deref(), Some("bookworm"));
        assert_eq!(release("VERSION_CODENAME=\"noble\"\n").as_deref(), Some("noble"));
        assert_eq!(release("ID=arch\n"), None);
    }

    /// Check that a library is one that can be linked, not the directory alone or its shared form.
    #[test]
    fn wants_the_library_itself() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!has_library(dir.path()));
        fs::write(dir.path().join("libstd-0123.so"), "").unwrap();
        assert!(!has_library(dir.path()));
        fs::write(dir.path().join("libstd-0123.rlib"), "").unwrap();
        assert!(has_library(dir.path()));
    }

    /// Check that cargo is told the target and static linking, and this machine's own compiler is left alone.
    #[test]
    fn tells_cargo_the_target() {
        let shown = cargo("build", Architecture::HERE, "release").unwrap().shown();
        assert!(
            shown.contains(&format!("build --profile release --target {}", paths::host_triple())),
            "{shown}"
        );
        assert!(shown.contains("+crt-static") && !shown.contains("LINKER"), "{shown}");
    }
}
