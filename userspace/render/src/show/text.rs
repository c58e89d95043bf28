//! A description as text: what is short in one line, lists of what is short as tables, the rest below it.

use std::io::{self, Write};

use aioinspect_model::units::Instant;
use serde_json::Value as Json;

use crate::show::table;
use crate::show::value::Value;
use crate::time;

/// Prints a description; instants are shown relative to the first reading.
pub(super) struct Printer<'a> {
    /// The first reading.
    pub first: Instant,
    /// Where it is printed.
    pub out: &'a mut dyn Write,
}

impl Printer<'_> {
    /// Prints a record: its name and everything short in one line, and the rest below.
    pub(super) fn record(
        &mut self,
        depth: usize,
        name: &str,
        fields: &[(&'static str, Value)],
    ) -> io::Result<()> {
        let short = fields
            .iter()
            .filter_map(|(key, value)| Some(format!("{} {}", without_unit(key, value), self.cell(value)?)));
        let short = short.collect::<Vec<_>>().join(", ");
        let separator = if short.is_empty() { "" } else { ": " };
        writeln!(self.out, "{}{name}{separator}{short}", indent(depth))?;
        for (key, value) in fields {
            match value {
                Value::Record(fields) => self.record(depth + 1, key, fields)?,
                Value::List(items) => self.list(depth + 1, key, items)?,
                Value::Plain(_)
                | Value::At(_)
                | Value::Date(_)
                | Value::Cells(_)
                | Value::TextOnly(_)
                | Value::Absent => {}
            }
        }
        Ok(())
    }

    fn list(&mut self, depth: usize, key: &str, items: &[Value]) -> io::Result<()> {
        if items.is_empty() {
            return writeln!(self.out, "{}{key}: none", indent(depth));
        }
        let rows: Option<Vec<_>> = items.iter().map(|item| self.row(item)).collect();
        if let Some(rows) = rows {
            writeln!(self.out, "{}{key}", indent(depth))?;
            let heads = rows.first().into_iter().flatten().map(|(key, _)| Some(key.to_uppercase())).collect();
            let cells = rows.iter().map(|row| row.iter().map(|(_, cell)| cell.clone()).collect());
            let lines = std::iter::once(heads).chain(cells).collect();
            return table(&indent(depth + 1), &without_absent(lines), self.out);
        }
        for (place, item) in items.iter().enumerate() {
            if depth == 1 {
                writeln!(self.out)?;
            }
            if let Value::Record(fields) = item {
                self.record(depth, &format!("{key} {} of {}", place + 1, items.len()), fields)?;
            }
        }
        Ok(())
    }

    /// A record of which everything is short; `None` in it is absent.
    fn row(&self, value: &Value) -> Option<Vec<(&'static str, Option<String>)>> {
        let Value::Record(fields) = value else { return None };
        let cell = |(key, value): &(&'static str, Value)| match value {
            Value::Absent => Some((*key, None)),
            Value::Plain(_)
            | Value::At(_)
            | Value::Date(_)
            | Value::Cells(_)
            | Value::List(_)
            | Value::Record(_)
            | Value::TextOnly(_) => Some((*key, Some(self.cell(value)?))),
        };
        fields.iter().map(cell).collect()
    }

    /// What is short; `None` for the rest, and for what is absent.
    fn cell(&self, value: &Value) -> Option<String> {
        Some(match value {
            Value::Plain(Json::Null) => "-".to_owned(),
            Value::Plain(Json::Bool(set)) => if *set { "yes" } else { "no" }.to_owned(),
            Value::Plain(Json::String(text)) | Value::TextOnly(text) => text.clone(),
            Value::Plain(value) => value.to_string(),
            Value::At(instant) => self.at(*instant),
            Value::Date(ns) => time::full(*ns),
            Value::Cells(items) if items.is_empty() => "-".to_owned(),
            Value::Cells(items) => {
                items.iter().filter_map(|item| self.short(item)).collect::<Vec<_>>().join(" ")
            }
            Value::List(_) | Value::Record(_) | Value::Absent => return None,
        })
    }

    /// An element of a cell: a record is its values with colons between.
    fn short(&self, value: &Value) -> Option<String> {
        let Value::Record(fields) = value else { return self.cell(value) };
        Some(fields.iter().filter_map(|(_, value)| self.cell(value)).collect::<Vec<_>>().join(":"))
    }

    /// Microseconds after the first reading; `-` for 0, which is not read.
    fn at(&self, instant: Instant) -> String {
        let (sign, ns) = match instant.0.checked_sub(self.first.0) {
            _ if instant.0 == 0 => return "-".to_owned(),
            Some(after) => ('+', after),
            None => ('-', self.first.0.saturating_sub(instant.0)),
        };
        format!("{sign}{}.{:03}us", ns / 1000, ns % 1000)
    }
}

/// The cells of a table whose first line is the heads: a column that is absent from every row is not printed.
fn without_absent(lines: Vec<Vec<Option<String>>>) -> Vec<Vec<String>> {
    let width = lines.first().map_or(0, Vec::len);
    let has = |column| lines.iter().skip(1).any(|line| line.get(column).is_some_and(Option::is_some));
    let kept: Vec<bool> = (0..width).map(has).collect();
    let of_line = |line: Vec<Option<String>>| {
        let cells = line.into_iter().zip(&kept).filter(|(_, kept)| **kept);
        cells.map(|(cell, _)| cell.unwrap_or_else(|| "-".to_owned())).collect()
    };
    lines.into_iter().map(of_line).collect()
}

fn indent(depth: usize) -> String {
    "  ".repeat(depth)
}

/// The key in text, where an instant is not in the unit that its key in JSON names.
fn without_unit<'a>(key: &'a str, value: &Value) -> &'a str {
    match value {
        Value::At(_) | Value::Date(_) => key.trim_end_matches("_ns").trim_end_matches("_unix"),
        Value::Plain(_)
        | Value::Cells(_)
        | Value::List(_)
        | Value::Record(_)
        | Value::TextOnly(_)
        | Value::Absent => key,
    }
}
