//! The tables of docs/criu.md.

use std::fs;
use std::path::{Path, PathBuf};

/// Which table a row belongs to, by its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    /// What is seen: it must be seen again.
    Cases,
    /// What was measured: it is written, and not compared.
    Pauses,
}

impl Table {
    fn head(self) -> &'static str {
        match self {
            Table::Cases => "| case | CRIU alone | with the hook |",
            Table::Pauses => "| case | held by CRIU alone | held with the hook | of this the drain |",
        }
    }
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(1).unwrap().join("docs/criu.md")
}

fn is_blessing() -> bool {
    std::env::var_os("AIOINSPECT_BLESS").is_some_and(|value| !value.is_empty())
}

/// Compares the row that begins with the first cell; with AIOINSPECT_BLESS set, writes it. In a virtual machine, which has no documents, neither
/// is done: the table is that of the CRIU which runs natively.
pub(crate) fn row(table: Table, cells: &[&str]) {
    if std::env::var_os("AIOINSPECT_VM").is_some() {
        return;
    }
    let path = file();
    let text = fs::read_to_string(&path).unwrap();
    let is = format!("| {} |", cells.join(" | "));
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let first = lines.iter().position(|line| line == table.head()).unwrap() + 2;
    let end = first + lines[first..].iter().take_while(|line| line.starts_with('|')).count();
    let begins = format!("| {} |", cells[0]);
    let found = lines[first..end].iter().position(|line| line.starts_with(&begins)).map(|at| first + at);
    if is_blessing() {
        match found {
            Some(at) => lines[at] = is,
            None => lines.insert(end, is),
        }
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        return;
    }
    let at =
        found.unwrap_or_else(|| panic!("docs/criu.md has no row {begins}; AIOINSPECT_BLESS=1 writes it"));
    if table == Table::Cases {
        assert_eq!(lines[at], is, "docs/criu.md; AIOINSPECT_BLESS=1 writes it anew");
    }
}
