//! Building the userspace half for an architecture: one static binary that embeds the eBPF objects of the same, and runs here as in a virtual
//! machine.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cargo_metadata::{Artifact, Message};

use crate::command::{Cmd, GIVES_WAY};
use crate::ebpf::Objects;
use crate::toolchain::is_of_outer_cargo;
use crate::{library, paths};

/// What a build of everything made.
#[derive(Debug)]
pub(crate) struct Built {
    /// Where aioinspect, aio-fixture and vm-init lie, side by side.
    pub bins: PathBuf,
    /// The live suites' executables by name.
    suites: BTreeMap<String, PathBuf>,
}

impl Built {
    /// The executable of a live suite.
    pub(crate) fn suite(&self, name: &str) -> Result<&Path> {
        self.suites.get(name).map(AsRef::as_ref).with_context(|| format!("cargo made no suite {name}"))
    }
}

/// Cargo of this checkout's own toolchain, without the variables by which cargo told xtask about xtask.
pub(crate) fn cargo() -> Cmd {
    of_this_checkout("cargo")
}

/// The cargo of this path, likewise.
pub(crate) fn cargo_at(file: &Path) -> Cmd {
    of_this_checkout(file)
}

/// The same, which lets whatever else wants a CPU go before it.
pub(crate) fn giving_way(file: &Path) -> Cmd {
    of_this_checkout("nice").arguments(GIVES_WAY).arg(file)
}

/// A program of the toolchain that this checkout is built with, such as its rustc.
pub(crate) fn of_this_checkout(program: impl AsRef<OsStr>) -> Cmd {
    let own = |key: &str| {
        is_of_outer_cargo(key) && !["RUSTUP_TOOLCHAIN", "RUSTFLAGS", "RUSTC_WRAPPER"].contains(&key)
    };
    Cmd::new(program).without_env(own).dir(paths::root())
}

/// Cargo of one of rustup's toolchains, likewise.
pub(crate) fn cargo_of(toolchain: &str) -> Cmd {
    of_this_checkout("rustup").arguments(["run", toolchain, "cargo"])
}

/// Builds the program; where it is.
pub(crate) fn program(objects: &Objects) -> Result<PathBuf> {
    let bins = build(objects, RELEASE, &["--package", "aioinspect", "--bin", "aioinspect"])?;
    bin_of(&bins, "aioinspect")
}

/// Builds what a machine without suites has: the program, the fixture and vm-init; the directory where they are.
pub(crate) fn bins(objects: &Objects) -> Result<PathBuf> {
    Ok(for_machines(objects, &[])?.bins)
}

/// Builds the program and all that is made for the tests; the command that runs one of those, such as the benchmark.
pub(crate) fn helper(objects: &Objects, name: &str) -> Result<Cmd> {
    let all = ["--package", "aioinspect", "--package", "aioinspect-tests", "--bins"];
    let helper = bin_of(&build(objects, RELEASE, &all)?, name)?;
    let bins = helper.parent().with_context(|| format!("{name} has no directory"))?;
    Ok(Cmd::new(&helper).env("AIOINSPECT_BIN_DIR", bins).env("AIOINSPECT_EBPF_OBJECTS", &objects.dir))
}

/// The profile of what users get, and what tests of it run.
const RELEASE: &str = "release";
/// That of what only emulated machines run.
const EMULATED: &str = "emulated";

/// What a machine has beside suites.
const BINS: [&str; 3] = ["aioinspect", "aio-fixture", "vm-init"];

/// Builds all programs and live suites in one go, so that they share their dependencies.
pub(crate) fn everything(objects: &Objects, suites: &[String]) -> Result<Built> {
    with_suites(objects, RELEASE, &["--bins"], suites)
}

/// Builds what a machine has, and the suites that run there.
pub(crate) fn for_machines(objects: &Objects, suites: &[String]) -> Result<Built> {
    let bins: Vec<&str> = BINS.iter().flat_map(|&bin| ["--bin", bin]).collect();
    let profile = if objects.architecture.is_here() { RELEASE } else { EMULATED };
    with_suites(objects, profile, &bins, suites)
}

fn with_suites(objects: &Objects, profile: &str, bins: &[&str], suites: &[String]) -> Result<Built> {
    let mut args = ["--package", "aioinspect", "--package", "aioinspect-tests"].to_vec();
    args.extend(bins);
    for suite in suites {
        args.extend(["--test", suite]);
    }
    let made = build(objects, profile, &args)?;
    let program = bin_of(&made, "aioinspect")?;
    let bins = program.parent().context("aioinspect has no directory")?.to_path_buf();
    let suites = made.into_iter().filter(|made| made.target.is_test());
    let suites = suites.filter_map(|made| Some((made.target.name, made.executable?.into()))).collect();
    Ok(Built { bins, suites })
}

/// Builds it; every artifact that cargo made or found up to date.
fn build(objects: &Objects, profile: &str, what: &[&str]) -> Result<Vec<Artifact>> {
    let messages = library::cargo("build", objects.architecture, profile)?
        .arguments(what)
        .arg("--message-format=json-render-diagnostics")
        .env("AIOINSPECT_EBPF_OBJECTS", &objects.dir)
        .run_cargo()?;
    artifacts(&messages)
}

fn artifacts(messages: &str) -> Result<Vec<Artifact>> {
    let mut made = Vec::new();
    for message in Message::parse_stream(messages.as_bytes()) {
        if let Message::CompilerArtifact(artifact) = message.context("cannot read cargo's messages")? {
            made.push(artifact);
        }
    }
    Ok(made)
}

fn bin_of(made: &[Artifact], name: &str) -> Result<PathBuf> {
    let found = made.iter().find(|made| made.target.is_bin() && made.target.name == name);
    let file = found.and_then(|made| made.executable.clone());
    file.map(PathBuf::from).with_context(|| format!("cargo made no binary {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that a binary is found among cargo's messages, and that neither a test nor a library of the name is one.
    #[test]
    fn finds_binaries() {
        let artifact = |name: &str, kind: &str, executable: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","package_id":"p","target":{{"kind":["{kind}"],
                "crate_types":["bin"],"name":"{name}","src_path":"/s"}},"profile":{{"opt_level":"3",
                "debug_assertions":false,"overflow_checks":false,"test":false}},"features":[],"filenames":[],
                "executable":{executable},"fresh":true}}"#
            )
            .replace('\n', "")
        };
        let messages = [
            artifact("a", "lib", "null"),
            "not json".to_owned(),
            artifact("b", "bin", "\"/t/b\""),
            artifact("live", "test", "\"/t/live-1\""),
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
        ];
        let made = artifacts(&messages.join("\n")).unwrap();
        assert_eq!(made.len(), 3);
        assert_eq!(bin_of(&made, "b").unwrap(), PathBuf::from("/t/b"));
        assert!(bin_of(&made, "a").is_err() && bin_of(&made, "live").is_err());
    }
}
