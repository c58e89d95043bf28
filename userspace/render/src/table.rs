//! `list` as a table: aligned for a person, one line a context for a pipe, and the footer that accounts for every slot.

use std::fmt::Write as _;
use std::io::{self, Write};

use unicode_width::UnicodeWidthStr;

use aioinspect_model::finding::Finding;
use aioinspect_model::picture::ContextView;

use crate::fields::Field;
use crate::footer;
use crate::groups::GroupRow;
use crate::listing::{List, Listed};

/// How many bytes are handed to the writer at a time.
const CHUNK: usize = 1 << 16;
/// Columns of text are not cut below this width, however narrow the terminal.
const NARROWEST: usize = 8;

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Whether the first line names the columns.
    pub headings: bool,
    /// Whether the host's sums and the ghosts follow.
    pub footer: bool,
    /// Columns of the terminal; `None`: nothing is cut.
    pub width: Option<usize>,
    /// Whether findings are coloured.
    pub color: bool,
}

impl Style {
    /// For a pipe: everything, no colour.
    pub const PLAIN: Style = Style { headings: true, footer: true, width: None, color: false };
}

/// Writes the table of contexts.
pub fn write(out: &mut dyn Write, list: &List<'_>, columns: &[Field], style: Style) -> io::Result<()> {
    rows(out, list, &list.contexts, columns, style)
}

/// Writes the table of groups, with the same footer: it is of the host, whatever is summed.
pub fn write_groups(
    out: &mut dyn Write,
    list: &List<'_>,
    groups: &[GroupRow<'_>],
    columns: &[Field],
    style: Style,
) -> io::Result<()> {
    rows(out, list, groups, columns, style)
}

impl Listed for &ContextView {
    fn write(&self, column: Field, text: &mut String) {
        column.write(self, text);
    }

    fn findings(&self) -> &[Finding] {
        &self.findings
    }
}

fn rows<R: Listed>(
    out: &mut dyn Write,
    list: &List<'_>,
    rows: &[R],
    columns: &[Field],
    style: Style,
) -> io::Result<()> {
    let cells = Cells::of(rows, columns);
    let widths = fitted(&cells.widest(columns, style.headings), columns, style.width);
    let mut text = String::with_capacity(CHUNK + 1024);
    if style.headings {
        heading(columns, &widths, style, &mut text);
    }
    let mut row = cells.iter();
    for listed in rows {
        let mut line = Line::new(&mut text);
        for (column, width) in columns.iter().zip(&widths) {
            let (cell, cell_width) = row.next().unwrap_or_default();
            let is_coloured = style.color && matches!(column, Field::Findings | Field::Worst);
            let color = is_coloured.then(|| color(listed.findings())).flatten();
            line.put(cell, cell_width, *width, column.is_right(), color);
        }
        text.push('\n');
        if text.len() >= CHUNK {
            out.write_all(text.as_bytes())?;
            text.clear();
        }
    }
    if style.footer {
        footer::write(list, &mut text);
    }
    out.write_all(text.as_bytes())
}

fn heading(columns: &[Field], widths: &[usize], style: Style, text: &mut String) {
    let mut line = Line::new(text);
    for (column, width) in columns.iter().zip(widths) {
        let bold = style.color.then_some("\x1b[1m");
        line.put(column.heading(), column.heading().len(), *width, column.is_right(), bold);
    }
    text.push('\n');
}

/// The text of every cell in one string: tens of thousands of cells are not worth as many allocations.
struct Cells {
    text: String,
    /// For each cell, row by row: where it ends in `text`, and its width on a terminal.
    ends: Vec<(usize, usize)>,
}

impl Cells {
    fn of<R: Listed>(rows: &[R], columns: &[Field]) -> Cells {
        let count = rows.len().saturating_mul(columns.len());
        let mut cells =
            Cells { text: String::with_capacity(count.saturating_mul(8)), ends: Vec::with_capacity(count) };
        for row in rows {
            for column in columns {
                let start = cells.text.len();
                row.write(*column, &mut cells.text);
                let width = cells.text.get(start..).map_or(0, width_of);
                cells.ends.push((cells.text.len(), width));
            }
        }
        cells
    }

    fn iter(&self) -> impl Iterator<Item = (&str, usize)> {
        let mut start = 0;
        self.ends.iter().map(move |(end, width)| {
            let cell = self.text.get(start..*end).unwrap_or_default();
            start = *end;
            (cell, *width)
        })
    }

    fn widest(&self, columns: &[Field], headings: bool) -> Vec<usize> {
        let mut widths: Vec<usize> =
            columns.iter().map(|column| if headings { column.heading().len() } else { 0 }).collect();
        for row in self.ends.chunks_exact(columns.len().max(1)) {
            for (widest, (_, width)) in widths.iter_mut().zip(row) {
                *widest = (*widest).max(*width);
            }
        }
        widths
    }
}

fn width_of(cell: &str) -> usize {
    if cell.is_ascii() { cell.len() } else { cell.width() }
}

/// Takes what a terminal has too little of from the texts, the last ones first; numbers are never cut.
fn fitted(widest: &[usize], columns: &[Field], terminal: Option<usize>) -> Vec<usize> {
    let mut widths = widest.to_vec();
    let Some(terminal) = terminal else { return widths };
    let gaps = widths.len().saturating_sub(1);
    let mut excess = widths.iter().sum::<usize>().saturating_add(gaps).saturating_sub(terminal);
    for (width, column) in widths.iter_mut().zip(columns).rev() {
        if !column.is_right() {
            let spare = excess.min(width.saturating_sub(NARROWEST));
            *width -= spare;
            excess -= spare;
        }
    }
    widths
}

/// A line being written; blanks are held back, so that no line ends in any.
struct Line<'t> {
    text: &'t mut String,
    blanks: usize,
}

impl<'t> Line<'t> {
    fn new(text: &'t mut String) -> Line<'t> {
        Line { text, blanks: 0 }
    }

    fn put(&mut self, cell: &str, cell_width: usize, width: usize, right: bool, color: Option<&str>) {
        let (cell, cell_width) =
            if cell_width > width { (cut(cell, width), width) } else { (cell.into(), cell_width) };
        let padding = width.saturating_sub(cell_width);
        let (left, right) = if right { (padding, 0) } else { (0, padding) };
        blanks(self.blanks.saturating_add(left), self.text);
        match color {
            // Writing to a String cannot fail.
            Some(color) => drop(write!(self.text, "{color}{cell}\x1b[0m")),
            None => self.text.push_str(&cell),
        }
        self.blanks = right.saturating_add(1);
    }
}

fn blanks(count: usize, text: &mut String) {
    const BLANKS: &str = "                                ";
    match BLANKS.get(..count) {
        Some(blanks) => text.push_str(blanks),
        None => text.extend(std::iter::repeat_n(' ', count)),
    }
}

/// The beginning of a text, with an ellipsis for the rest. A wide character that does not fit leaves a blank.
fn cut(cell: &str, width: usize) -> std::borrow::Cow<'_, str> {
    let room = width.saturating_sub(1);
    let mut kept = String::new();
    let mut used = 0_usize;
    for c in cell.chars() {
        let wide = unicode_width::UnicodeWidthChar::width(c).unwrap_or(0);
        if used.saturating_add(wide) > room {
            break;
        }
        used = used.saturating_add(wide);
        kept.push(c);
    }
    kept.extend(std::iter::repeat_n(' ', room.saturating_sub(used)));
    kept.push('…');
    kept.into()
}

/// Red for what is wrong, yellow for what is pending; the worst of them decides.
fn color(findings: &[Finding]) -> Option<&'static str> {
    match findings {
        [] => None,
        findings if findings.iter().copied().any(Finding::is_wrong) => Some("\x1b[31m"),
        [_, ..] => Some("\x1b[33m"),
    }
}

#[cfg(test)]
mod tests;
