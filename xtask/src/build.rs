//! Building the userspace half: one static binary that embeds the eBPF object and runs here as in a virtual machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::command::Cmd;
use crate::paths;
use crate::suites::Catalogue;
use crate::toolchain::is_of_outer_cargo;

/// What a build of everything made.
#[derive(Debug)]
pub struct Built {
    /// Where aioinspect, aio-fixture and vm-init lie, side by side.
    pub bins: PathBuf,
    /// The live suites' executables by name.
    pub suites: BTreeMap<String, PathBuf>,
}

/// Cargo of this checkout's own toolchain, without the variables by which cargo told xtask about xtask.
pub fn cargo() -> Cmd {
    let own = |key: &str| {
        is_of_outer_cargo(key) && !["RUSTUP_TOOLCHAIN", "RUSTFLAGS", "RUSTC_WRAPPER"].contains(&key)
    };
    Cmd::new("cargo").without_env(own).dir(paths::root())
}

/// Builds the program; where it is.
pub fn program(object: &Path) -> Result<PathBuf> {
    let bins = build(object, &["--package", "aioinspect", "--bin", "aioinspect"])?;
    bin_of(&bins, "aioinspect")
}

/// Builds what a machine without suites has: the program, the fixture and vm-init; the directory where they are.
pub fn bins(object: &Path) -> Result<PathBuf> {
    let packages = ["--package", "aioinspect", "--package", "aioinspect-tests"];
    let bins = ["aioinspect", "aio-fixture", "vm-init"].iter().flat_map(|&bin| ["--bin", bin]);
    let program =
        bin_of(&build(object, &packages.into_iter().chain(bins).collect::<Vec<_>>())?, "aioinspect")?;
    Ok(program.parent().context("aioinspect has no directory")?.to_path_buf())
}

/// Builds the benchmark program and what it measures; the command that runs it.
pub fn benchmark(object: &Path) -> Result<Cmd> {
    let all = ["--package", "aioinspect", "--package", "aioinspect-tests", "--bins"];
    let bench = bin_of(&build(object, &all)?, "bench")?;
    let bins = bench.parent().context("bench has no directory")?;
    Ok(Cmd::new(&bench).env("AIOINSPECT_BIN_DIR", bins).env("AIOINSPECT_EBPF_OBJECTS", object))
}

/// Builds the program, the fixture, vm-init and all live suites in one go, so that they share their dependencies.
pub fn everything(object: &Path, catalogue: &Catalogue) -> Result<Built> {
    let mut args = vec!["--package", "aioinspect", "--package", "aioinspect-tests", "--bins"];
    for suite in &catalogue.suites {
        args.extend(["--test", suite]);
    }
    let made = build(object, &args)?;
    let program = bin_of(&made, "aioinspect")?;
    let bins = program.parent().context("aioinspect has no directory")?.to_path_buf();
    let suites =
        made.into_iter().filter(|made| made.kind == "test").map(|made| (made.name, made.file)).collect();
    Ok(Built { bins, suites })
}

/// One executable that cargo made.
#[derive(Debug, PartialEq, Eq)]
struct Made {
    name: String,
    kind: String,
    file: PathBuf,
}

fn build(object: &Path, what: &[&str]) -> Result<Vec<Made>> {
    let messages = cargo()
        .arguments(["build", "--release", "--target"])
        .arg(paths::host_triple())
        .arguments(what)
        .arg("--message-format=json-render-diagnostics")
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env("AIOINSPECT_EBPF_OBJECTS", object)
        .run_cargo()?;
    Ok(executables(&messages))
}

fn bin_of(made: &[Made], name: &str) -> Result<PathBuf> {
    let found = made.iter().find(|made| made.kind == "bin" && made.name == name);
    found.map(|made| made.file.clone()).with_context(|| format!("cargo made no binary {name}"))
}

/// The executables named in cargo's JSON messages, one object a line.
fn executables(messages: &str) -> Vec<Made> {
    let read = |line: &str| {
        let message: Value = serde_json::from_str(line).ok()?;
        let target = message.get("target")?;
        Some(Made {
            name: target.get("name")?.as_str()?.to_owned(),
            kind: target.get("kind")?.get(0)?.as_str()?.to_owned(),
            file: PathBuf::from(message.get("executable")?.as_str()?),
        })
    };
    messages.lines().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that executables are found among cargo's other messages, and that a library is none.
    #[test]
    fn reads_cargos_messages() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"a"},"executable":null}"#,
            "\nnot json\n",
            r#"{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"b"},"executable":"/t/b"}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"kind":["test"],"name":"live"},"executable":"/t/live-1"}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        let made = executables(messages);
        assert_eq!(made.len(), 2);
        assert_eq!(bin_of(&made, "b").unwrap(), PathBuf::from("/t/b"));
        assert!(bin_of(&made, "live").is_err());
    }
}
