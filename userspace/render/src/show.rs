//! `show`: an mm image or an evidence file, as text or as JSON.

mod evidence;
mod image;
mod text;
mod value;

use std::fmt::Write as _;
use std::io::{self, Write};

use serde::Serialize as _;
use serde_json::Value;

use aioinspect_model::evidence::Evidence;
use aioinspect_model::image::MmImage;

/// Prints an mm image as text: contexts, layout, mappings.
pub fn image_text(image: &MmImage, out: &mut dyn Write) -> io::Result<()> {
    image::print(image, out)
}

/// Prints evidence as text: every field, by the same names as in JSON; instants relative to the first reading.
pub fn evidence_text(evidence: &Evidence, out: &mut dyn Write) -> io::Result<()> {
    evidence::print(evidence, out)
}

/// Evidence as JSON: the same fields, raw; addresses are hexadecimal strings, names are escaped, null was not read.
pub fn evidence_json(evidence: &Evidence) -> Value {
    evidence::json(evidence)
}

/// Prints JSON as crit does: four blanks of indentation, keys in order, a newline at the end.
pub fn json(value: &Value, out: &mut dyn Write) -> io::Result<()> {
    let indent = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut *out, indent))?;
    out.write_all(b"\n")
}

/// Rows as columns two blanks apart; the first row is the head. A column of numbers stands to the right.
pub(crate) fn table(indent: &str, rows: &[Vec<String>], out: &mut dyn Write) -> io::Result<()> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cells = |column: usize| rows.iter().filter_map(move |row| row.get(column));
    let number = |cell: &String| cell.trim_start_matches('-').bytes().all(|b| b.is_ascii_digit());
    let right = |c| cells(c).skip(1).all(number) && cells(c).skip(1).any(|cell| cell != "-");
    let width = |c| cells(c).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let shape: Vec<(usize, bool)> = (0..columns).map(|c| (width(c), right(c))).collect();
    for row in rows {
        let mut line = indent.to_owned();
        for (cell, (width, right)) in row.iter().zip(&shape) {
            let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
            let (before, after) = if *right { (pad.as_str(), "") } else { ("", pad.as_str()) };
            // Writing to a String cannot fail.
            let _ = write!(line, "{before}{cell}{after}  ");
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// One cell for each value, as text.
macro_rules! row {
    ($($cell:expr),* $(,)?) => { vec![$($cell.to_string()),*] };
}
pub(crate) use row;

/// `yes`, `no`, or `-` for what is not known.
pub(super) fn yes(value: impl Into<Option<bool>>) -> &'static str {
    match value.into() {
        Some(true) => "yes",
        Some(false) => "no",
        None => "-",
    }
}

/// The value, or `-` for what is not known.
pub(crate) fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
