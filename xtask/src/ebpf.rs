//! Building the eBPF object, apart from cargo's own builds: another toolchain, another target, another target directory.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::command::{Cmd, note};
use crate::toolchain::{Toolchain, is_of_outer_cargo};
use crate::{linker, paths};

const TARGET: &str = "bpfel-unknown-none";
/// The objects: what each is called as a binary, and beside the target directory.
const BINS: [(&str, &str); 3] = [
    ("aioinspect-bpf", "aioinspect.bpf.o"),
    ("aioinspect-trace", "aioinspect-trace.bpf.o"),
    ("aioinspect-submit", "aioinspect-submit.bpf.o"),
];

/// Builds the objects with a linker that works, installing one if none does; returns the directory they are in.
pub fn build(toolchain: &Toolchain) -> Result<PathBuf> {
    fs::create_dir_all(dir())?;
    let linkers = linker::find();
    for (tried, linker) in linkers.iter().enumerate() {
        match build_with(toolchain, linker) {
            Ok(objects) => return Ok(objects),
            // Only what the linker said can be mended by another linker. Compiling alone tells which half is at fault.
            Err(error) if compiles(toolchain, linker) => {
                note(&format!("{} does not link this: {error:#}", linker.display()));
                if tried + 1 < linkers.len() {
                    note("trying the next bpf-linker");
                }
            }
            Err(error) => return Err(error),
        }
    }
    build_with(toolchain, &linker::install(toolchain.version.llvm)?)
}

/// Clippy on the eBPF half; an error if its toolchain has no clippy.
pub fn lint(toolchain: &Toolchain) -> Result<()> {
    // Called by path: `cargo clippy` would look into cargo's home first and find rustup's.
    let clippy = toolchain.bin.join("cargo-clippy");
    let cmd = Cmd::new(&clippy).arg("clippy");
    let cmd = configured(cmd, toolchain, Path::new("bpf-linker")).env("CARGO", toolchain.bin.join("cargo"));
    cmd.arguments(["--", "-D", "warnings"]).run_cargo().map(drop)
}

/// Whether the toolchain brings clippy.
pub fn has_clippy(toolchain: &Toolchain) -> bool {
    toolchain.bin.join("cargo-clippy").is_file() && toolchain.bin.join("clippy-driver").is_file()
}

fn build_with(toolchain: &Toolchain, linker: &Path) -> Result<PathBuf> {
    cargo(toolchain, "build", linker).run_cargo()?;
    linker::remember(linker)?;
    let objects = paths::target().join("objects");
    fs::create_dir_all(&objects)?;
    for (bin, object) in BINS {
        copy_if_changed(&dir().join(TARGET).join("release").join(bin), &objects.join(object))?;
    }
    Ok(objects)
}

fn compiles(toolchain: &Toolchain, linker: &Path) -> bool {
    cargo(toolchain, "check", linker).run_cargo().is_ok()
}

fn cargo(toolchain: &Toolchain, verb: &str, linker: &Path) -> Cmd {
    configured(Cmd::new(toolchain.bin.join("cargo")).arg(verb), toolchain, linker)
}

fn configured(cmd: Cmd, toolchain: &Toolchain, linker: &Path) -> Cmd {
    let package = ["--package", "aioinspect-ebpf", "--bins", "--features", "program"];
    let flags = [
        format!("--cfg=bpf_target_arch=\"{}\"", std::env::consts::ARCH),
        // The kernel wants a type (BTF func_info) of each global function, which it verifies by itself; BTF is made from debuginfo.
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
    ];
    let cmd = cmd
        .without_env(is_of_outer_cargo)
        .dir(paths::root())
        .arguments(package)
        .arguments(["--release", "--target", TARGET, "-Z", "build-std=core", "--target-dir"])
        .arg(dir())
        .env("RUSTFLAGS", flags.join(" "))
        .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", linker)
        .env("RUSTC", toolchain.bin.join("rustc"))
        // The workspace's release profile is the userspace half's. Here bpf-linker optimises the whole program itself.
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
        .env("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "false")
        .env("CARGO_PROFILE_RELEASE_STRIP", "none");
    if toolchain.bootstrap { cmd.env("RUSTC_BOOTSTRAP", "1") } else { cmd }
}

fn dir() -> PathBuf {
    paths::target().join("bpf")
}

/// Copies unless the bytes are equal: an unchanged object keeps its time, so that cargo does not build its users anew.
fn copy_if_changed(from: &Path, to: &Path) -> Result<()> {
    let new = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    if fs::read(to).ok().as_ref() != Some(&new) {
        fs::write(to, new).with_context(|| format!("cannot write {}", to.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that an equal object is left alone, time and all, and another one is not.
    #[test]
    fn copies_only_what_changed() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::write(&from, "one").unwrap();
        copy_if_changed(&from, &to).unwrap();
        let old = std::time::SystemTime::UNIX_EPOCH;
        fs::File::options().write(true).open(&to).unwrap().set_modified(old).unwrap();
        copy_if_changed(&from, &to).unwrap();
        assert_eq!(to.metadata().unwrap().modified().unwrap(), old);
        fs::write(&from, "two").unwrap();
        copy_if_changed(&from, &to).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"two");
    }
}
