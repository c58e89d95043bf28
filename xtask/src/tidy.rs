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
pub fn tidy() -> Result<()> {
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
    problems.extend(findings(&root)?);
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

/// Each finding of the one list must be explained in docs/ and shown by a capture or its golden output.
fn findings(root: &Path) -> Result<Vec<Problem>> {
    const LIST: &str = "userspace/model/src/finding.rs";
    let list = fs::read_to_string(root.join(LIST)).with_context(|| format!("cannot read {LIST}"))?;
    let codes = codes(&list);
    if codes.is_empty() {
        bail!("no finding codes in {LIST}: it is written in a way that tidy does not read");
    }
    let (docs, captures) = (contents(&root.join("docs"))?, contents(&root.join("tests/captures"))?);
    Ok(unshown(LIST, &codes, &docs, &captures))
}

/// `Name = "code", "what it says";` of the list.
fn codes(list: &str) -> Vec<(usize, String)> {
    let read = |line: &str| {
        let (name, rest) = line.trim().split_once(" = \"")?;
        let (code, says) = rest.split_once("\", \"")?;
        let is_entry = name.chars().all(char::is_alphanumeric) && says.ends_with("\";");
        is_entry.then(|| code.to_owned())
    };
    list.lines().enumerate().filter_map(|(nth, line)| Some((nth + 1, read(line)?))).collect()
}

fn unshown(list: &str, codes: &[(usize, String)], docs: &str, captures: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (line, code) in codes {
        if !names(docs, code) {
            problems.push(Problem {
                path: list.to_owned(),
                line: *line,
                says: format!("finding `{code}` is explained in no file of docs/"),
            });
        }
        if !names(captures, code) {
            problems.push(Problem {
                path: list.to_owned(),
                line: *line,
                says: format!("finding `{code}` is shown by no file of tests/captures/"),
            });
        }
    }
    problems
}

/// Whether a text has the code as a word of its own: `ring` is not in `shared-ring`.
fn names(text: &str, code: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    text.match_indices(code).any(|(at, _)| {
        let (before, from) = text.split_at(at);
        !before.ends_with(part) && !from.trim_start_matches(code).starts_with(part)
    })
}

/// All files below a directory, with their names; empty where there is no such directory.
fn contents(dir: &Path) -> Result<String> {
    let mut all = String::new();
    let Ok(entries) = fs::read_dir(dir) else { return Ok(all) };
    for entry in entries {
        let path = entry?.path();
        all.push_str(&paths::name_of(&path));
        all.push('\n');
        if path.is_dir() {
            all += &contents(&path)?;
        } else {
            all += &String::from_utf8_lossy(&fs::read(&path)?);
        }
        all.push('\n');
    }
    Ok(all)
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

    /// Check that a finding without a document or a capture is named, and that another's longer code does not count.
    #[test]
    fn unshown_findings_are_found() {
        let codes = codes(
            "    /// Doc.\n    SharedRing = \"shared-ring\", \"mapped twice\";\n    Ring = \"ring\", \"x\";\n",
        );
        assert_eq!(codes, [(2, "shared-ring".to_owned()), (3, "ring".to_owned())]);
        let problems = unshown("f.rs", &codes, "`shared-ring` and `ring`", "\"findings\":[\"shared-ring\"]");
        let says: Vec<&str> = problems.iter().map(|problem| problem.says.as_str()).collect();
        assert_eq!(says, ["finding `ring` is shown by no file of tests/captures/"]);
    }

    /// Check that the checkout's list of findings is written as tidy reads it.
    #[test]
    fn reads_the_checkouts_findings() {
        let list = fs::read_to_string(paths::root().join("userspace/model/src/finding.rs")).unwrap();
        assert!(codes(&list).iter().any(|(_, code)| code == "ghost-ring"));
    }
}
