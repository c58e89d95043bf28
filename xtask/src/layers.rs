//! The layer rule: ebpf(lib) -> model <- sys; proto <-> convert <-> model -> output <- http <- commands <- main.

use std::fmt;

use crate::source;

/// A broken rule, and where.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    path: String,
    /// Line, from 1.
    pub line: usize,
    /// The rule, in a sentence.
    pub says: String,
}

impl Problem {
    /// A rule that is broken there.
    pub fn new(path: &str, line: usize, says: String) -> Self {
        Self { path: path.to_owned(), line, says }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.says)
    }
}

/// What one layer may use.
struct Layer {
    /// Its name: the file or directory under userspace/src.
    name: &'static str,
    /// The layers it may name, besides itself.
    layers: &'static [&'static str],
    /// The crates it may name, besides std, core and alloc; none: all of them.
    crates: Option<&'static [&'static str]>,
    /// Whether it may read files, clocks and the environment.
    effects: bool,
}

const LAYERS: [Layer; 5] = [
    // thiserror and serde only derive; serde_saphyr reads text that it is given.
    Layer {
        name: "model",
        layers: &[],
        crates: Some(&["aioinspect_ebpf", "serde", "serde_saphyr", "thiserror"]),
        effects: false,
    },
    Layer {
        name: "convert",
        layers: &["model"],
        crates: Some(&[
            "aioinspect_ebpf",
            "aioinspect_proto",
            "prost",
            "serde",
            "serde_json",
            "thiserror",
            "anyhow",
        ]),
        effects: false,
    },
    Layer {
        name: "output",
        layers: &["model", "convert"],
        crates: Some(&[
            "anyhow",
            "base64",
            "jiff",
            "log",
            "prometheus_client",
            "ratatui",
            "regex_lite",
            "serde",
            "serde_json",
            "sha2",
            "thiserror",
            "unicode_width",
        ]),
        effects: false,
    },
    Layer { name: "sys", layers: &["model", "convert"], crates: None, effects: true },
    Layer { name: "http", layers: &["model", "convert", "output", "sys"], crates: None, effects: true },
];

/// The one file of output/ that shows files in their own terms.
const SHOWS_PROTO: &str = "userspace/src/output/show.rs";

/// Modules of std that reach out of the process, and the clocks.
const EFFECTS: [&str; 5] = ["fs", "net", "process", "thread", "env"];
const CLOCKS: [&str; 2] = ["Instant", "SystemTime"];

/// Checks one file of userspace/src; `crates` are the package's dependencies.
pub fn layers(path: &str, code: &str, crates: &[String]) -> Vec<Problem> {
    let Some(inside) = path.strip_prefix("userspace/src/") else { return Vec::new() };
    let of = inside.split('/').next().unwrap_or_default().trim_end_matches(".rs");
    let Some(layer) = LAYERS.iter().find(|layer| layer.name == of) else { return Vec::new() };
    let mut problems = Vec::new();
    for (line, named) in source::paths_of(code) {
        let mut report = |says: String| problems.push(Problem::new(path, line, says));
        let named: Vec<&str> = named.iter().map(String::as_str).collect();
        match absolute(inside, &named).as_slice() {
            ["crate", other, ..]
                if is_layer(other) && *other != layer.name && !layer.layers.contains(other) =>
            {
                report(format!("{} must not use {other}", layer.name));
            }
            ["std", "time", clock, "now", ..] if !layer.effects && CLOCKS.contains(clock) => {
                report(format!("{} reads no clock", layer.name));
            }
            [clock, "now", ..] if !layer.effects && CLOCKS.contains(clock) => {
                report(format!("{} reads no clock", layer.name));
            }
            ["std", effect, ..] if !layer.effects && EFFECTS.contains(effect) => {
                report(format!("{} does no I/O: std::{effect}", layer.name));
            }
            [name, ..] if crates.iter().any(|known| known == name) => {
                let shows_proto = path == SHOWS_PROTO && *name == "aioinspect_proto";
                if layer.crates.is_some_and(|allowed| !allowed.contains(name)) && !shows_proto {
                    report(format!("{} must not use {name}", layer.name));
                }
            }
            _ => {}
        }
    }
    problems
}

fn is_layer(name: &str) -> bool {
    ["model", "sys", "convert", "output", "http", "commands", "cli"].contains(&name)
}

/// A path from the crate's root: `super` resolved by where the file lies, `aioinspect::` and `self::` likewise.
fn absolute<'a>(inside: &'a str, named: &[&'a str]) -> Vec<&'a str> {
    // The module of src/a/b.rs is a::b, that of src/a/mod.rs is a.
    let mut module: Vec<&str> =
        inside.trim_end_matches(".rs").split('/').filter(|part| *part != "mod").collect();
    let mut rest = named;
    match rest {
        ["crate" | "aioinspect", after @ ..] => {
            module.clear();
            rest = after;
        }
        ["self", after @ ..] => rest = after,
        ["super", ..] => {
            while let ["super", after @ ..] = rest {
                module.pop();
                rest = after;
            }
        }
        _ => return named.to_vec(),
    }
    std::iter::once("crate").chain(module).chain(rest.iter().copied()).collect()
}

/// `unsafe` only where the system is touched: sys/, the eBPF programs, and the tests' fixture.
pub fn unsafe_code(path: &str, code: &str) -> Vec<Problem> {
    let allowed = ["userspace/src/sys/", "ebpf/src/", "tests/"].iter().any(|dir| path.starts_with(dir));
    if allowed && path != "ebpf/src/lib.rs" {
        return Vec::new();
    }
    let says = "`unsafe` belongs in userspace/src/sys, the eBPF programs or the tests";
    words(code, "unsafe").map(|line| Problem::new(path, line, says.to_owned())).collect()
}

/// The program writes to a `Write` it is handed, never to a stream of its own choice.
pub fn printing(path: &str, code: &str) -> Vec<Problem> {
    // A build script's standard output is how it talks to cargo; a test says on it that it skips.
    if path.ends_with("build.rs") || path.starts_with("tests/") {
        return Vec::new();
    }
    let mut problems = Vec::new();
    for name in ["print", "println", "eprint", "eprintln", "dbg"] {
        let call = format!("{name}!");
        let calls = words(code, &call);
        problems.extend(
            calls.map(|line| Problem::new(path, line, format!("`{name}!`: write to a handed-in Write"))),
        );
    }
    problems
}

/// The lines that have the word, each once.
fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let has = move |line: &str| {
        line.match_indices(word).any(|(at, _)| {
            let (before, from) = line.split_at(at);
            !before.ends_with(part) && !from.trim_start_matches(word).starts_with(part)
        })
    };
    code.lines().enumerate().filter(move |(_, line)| has(line)).map(|(nth, _)| nth + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(path: &str, code: &str) -> Vec<String> {
        let crates = ["aya", "rustix", "aioinspect_proto", "aioinspect_ebpf", "serde_json", "prost"]
            .map(str::to_owned);
        layers(path, code, &crates).into_iter().map(|problem| problem.says).collect()
    }

    /// Check that the model may use only itself, the wire records and std without effects.
    #[test]
    fn the_model_is_pure() {
        let path = "userspace/src/model/x.rs";
        assert_eq!(
            broken(path, "use aioinspect_ebpf::record; use crate::model::units; use super::units;"),
            [""; 0]
        );
        assert_eq!(broken(path, "use crate::{model, sys::probe};"), ["model must not use sys"]);
        assert_eq!(broken(path, "use super::super::output;"), ["model must not use output"]);
        assert_eq!(broken(path, "fn f() { rustix::fs::sync() }"), ["model must not use rustix"]);
        assert_eq!(broken(path, "use std::{fmt, fs};"), ["model does no I/O: std::fs"]);
        assert_eq!(broken(path, "let now = Instant::now();"), ["model reads no clock"]);
        assert_eq!(broken("userspace/src/model/mod.rs", "use super::sys;"), ["model must not use sys"]);
    }

    /// Check the directions between the other layers, and that commands may use everything.
    #[test]
    fn layers_point_one_way() {
        assert_eq!(
            broken("userspace/src/sys/x.rs", "use crate::output::table;"),
            ["sys must not use output"]
        );
        assert_eq!(
            broken("userspace/src/sys/x.rs", "use crate::commands; use aya::Ebpf; use std::fs;").len(),
            1
        );
        assert_eq!(
            broken("userspace/src/convert.rs", "use crate::sys::procfs;"),
            ["convert must not use sys"]
        );
        let output = "use aioinspect_proto::image; use crate::convert; use crate::sys;";
        let expected = ["output must not use aioinspect_proto", "output must not use sys"];
        assert_eq!(broken("userspace/src/output/table.rs", output), expected);
        assert_eq!(broken("userspace/src/output/show.rs", output), ["output must not use sys"]);
        assert_eq!(
            broken("userspace/src/commands/dump.rs", "use crate::{sys, output}; use aya::Ebpf;"),
            [""; 0]
        );
    }

    /// Check that `unsafe` is found outside the places for it, and that a lint's name is not the keyword.
    #[test]
    fn unsafe_is_kept_in_its_places() {
        let code = "x\nunsafe { y }";
        assert_eq!(unsafe_code("userspace/src/model/x.rs", code).len(), 1);
        assert_eq!(unsafe_code("ebpf/src/lib.rs", code)[0].line, 2);
        assert!(unsafe_code("userspace/src/sys/freeze.rs", code).is_empty());
        assert!(unsafe_code("ebpf/src/census.rs", code).is_empty());
        assert!(unsafe_code("xtask/src/main.rs", "#![deny(unsafe_code)]").is_empty());
    }

    /// Check that each print macro is found once, and that the tests and build scripts may print.
    #[test]
    fn print_macros_are_found() {
        let code = "eprintln!(x);\nprint!(y); pretty_print!(z)";
        let lines: Vec<usize> =
            printing("userspace/src/commands/list.rs", code).iter().map(|p| p.line).collect();
        assert_eq!(lines, [2, 1]);
        assert!(printing("userspace/build.rs", code).is_empty());
        assert!(printing("tests/tests/live.rs", code).is_empty());
    }
}
