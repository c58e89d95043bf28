//! `cargo xtask tidy`: the rules of this code base that no compiler checks.

use std::path::{Path, PathBuf};
use std::{fmt, fs};

use anyhow::{Context, Result, bail};

use crate::command::{note, say};
use crate::paths;

/// The directories with sources.
const SOURCES: [&str; 5] = ["ebpf", "userspace", "proto", "xtask", "tests"];
/// A longer file is worth a look for a second fact in it; it is no error.
const LONG_FILE: usize = 400;

/// A broken rule, and where.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    path: String,
    /// Line, from 1.
    line: usize,
    /// The rule, in a sentence.
    says: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.says)
    }
}

/// Checks everything; an error if any rule is broken, each place named.
pub(crate) fn tidy() -> Result<()> {
    let root = paths::root();
    let mut problems = Vec::new();
    let mut files = Vec::new();
    for directory in SOURCES {
        sources(&root.join(directory), &mut files)?;
    }
    files.sort();
    for file in &files {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let path = file.strip_prefix(&root).unwrap_or(file).to_string_lossy().into_owned();
        let lines = text.lines().count();
        if lines > LONG_FILE {
            note(&format!("{path}: {lines} lines: does it know two things?"));
        }
        problems.extend(unfinished(&path, &text));
    }
    for problem in &problems {
        note(&problem.to_string());
    }
    if !problems.is_empty() {
        bail!("tidy: {} problems", problems.len());
    }
    say(&format!("tidy: {} files", files.len()));
    Ok(())
}

fn sources(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        let name = paths::name_of(&path);
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                sources(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// Marks of unfinished work, in comments too. The words are put together here so that this file does not hold them.
fn unfinished(path: &str, text: &str) -> Vec<Problem> {
    let marks =
        [["TO", "DO"], ["FIX", "ME"], ["todo", "!("], ["unimplemented", "!("]].map(|parts| parts.concat());
    let mut problems = Vec::new();
    for (nth, line) in text.lines().enumerate() {
        for mark in &marks {
            if line.contains(mark.as_str()) {
                problems.push(Problem {
                    path: path.to_owned(),
                    line: nth + 1,
                    says: format!("`{mark}`: unfinished work belongs in an issue"),
                });
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that unfinished work is found with its line.
    #[test]
    fn unfinished_work_is_found() {
        let text = format!("fine\n// {}: later\n{}()\n", ["TO", "DO"].concat(), ["todo", "!"].concat());
        let lines: Vec<usize> = unfinished("a.rs", &text).iter().map(|problem| problem.line).collect();
        assert_eq!(lines, [2, 3]);
    }
}
