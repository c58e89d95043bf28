//! Building the eBPF objects, apart from cargo's own builds: another toolchain, another target, another target directory. The programs read
//! registers and know system calls, so that each architecture has objects of its own.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::architecture::Architecture;
use crate::command::{Cmd, note};
use crate::toolchain::{Toolchain, is_of_outer_cargo};
use crate::{linker, paths};

const TARGET: &str = "bpfel-unknown-none";
/// The objects that are built, each from one program of package aioinspect-ebpf.
const OBJECTS: [Object; 3] = [
    Object { feature: "census", bin: "aioinspect-bpf", file: "aioinspect.bpf.o" },
    Object { feature: "trace", bin: "aioinspect-trace", file: "aioinspect-trace.bpf.o" },
    Object { feature: "submit", bin: "aioinspect-submit", file: "aioinspect-submit.bpf.o" },
];

/// An object: each is built apart, so that none holds what only another one uses.
struct Object {
    feature: &'static str,
    bin: &'static str,
    file: &'static str,
}

/// The objects of an architecture, built.
#[derive(Clone, Debug)]
pub(crate) struct Objects {
    /// Whose they are.
    pub architecture: Architecture,
    /// The directory they are in.
    pub dir: PathBuf,
}

/// Builds the objects with a linker that works, installing one if none does.
pub(crate) fn build(toolchain: &Toolchain, architecture: Architecture) -> Result<Objects> {
    fs::create_dir_all(dir(architecture))?;
    let linkers = linker::find();
    for (tried, linker) in linkers.iter().enumerate() {
        match build_with(toolchain, architecture, linker) {
            Ok(objects) => return Ok(objects),
            // Only what the linker said can be mended by another linker. Compiling alone tells which half is at fault.
            Err(error) if compiles(toolchain, architecture, linker) => {
                note(&format!("{} does not link this: {error:#}", linker.display()));
                if tried + 1 < linkers.len() {
                    note("trying the next bpf-linker");
                }
            }
            Err(error) => return Err(error),
        }
    }
    build_with(toolchain, architecture, &linker::install(toolchain.version.llvm)?)
}

/// Clippy on the eBPF half of every architecture; an error if its toolchain has no clippy.
pub(crate) fn lint(toolchain: &Toolchain) -> Result<()> {
    // Called by path: `cargo clippy` would look into cargo's home first and find rustup's.
    let clippy = toolchain.bin.join("cargo-clippy");
    for architecture in Architecture::ALL {
        for object in &OBJECTS {
            let cmd = Cmd::new(&clippy).arg("clippy");
            let cmd = configured(cmd, object, toolchain, architecture, Path::new("bpf-linker"))
                .env("CARGO", toolchain.bin.join("cargo"));
            cmd.arguments(["--", "-D", "warnings"]).run_cargo()?;
        }
    }
    Ok(())
}

fn build_with(toolchain: &Toolchain, architecture: Architecture, linker: &Path) -> Result<Objects> {
    for object in &OBJECTS {
        cargo("build", object, toolchain, architecture, linker).run_cargo()?;
    }
    linker::remember(linker)?;
    let objects = paths::target().join("objects").join(architecture.name());
    fs::create_dir_all(&objects)?;
    for Object { bin, file, .. } in &OBJECTS {
        let built = dir(architecture).join(TARGET).join("release").join(bin);
        copy_if_changed(&built, &objects.join(file))?;
    }
    Ok(Objects { architecture, dir: objects })
}

fn compiles(toolchain: &Toolchain, architecture: Architecture, linker: &Path) -> bool {
    OBJECTS.iter().all(|object| cargo("check", object, toolchain, architecture, linker).run_cargo().is_ok())
}

fn cargo(
    verb: &str,
    object: &Object,
    toolchain: &Toolchain,
    architecture: Architecture,
    linker: &Path,
) -> Cmd {
    let cmd = Cmd::new(toolchain.bin.join("cargo")).arg(verb);
    configured(cmd, object, toolchain, architecture, linker)
}

fn configured(
    cmd: Cmd,
    object: &Object,
    toolchain: &Toolchain,
    architecture: Architecture,
    linker: &Path,
) -> Cmd {
    let package =
        ["--package", "aioinspect-ebpf", "--lib", "--bin", object.bin, "--features", object.feature];
    let flags = [
        format!("--cfg=bpf_target_arch=\"{}\"", architecture.name()),
        // The kernel wants a type (BTF func_info) of each global function, which it verifies by itself; BTF is made from debuginfo.
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
    ];
    let cmd = cmd
        .without_env(is_of_outer_cargo)
        .dir(paths::root())
        .arguments(package)
        .arguments(["--release", "--target", TARGET, "-Z", "build-std=core", "--target-dir"])
        .arg(dir(architecture))
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

/// One for each: in one of both, each build would find the other's flags, and build everything anew.
fn dir(architecture: Architecture) -> PathBuf {
    paths::target().join("bpf").join(architecture.name())
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
