//! What a context has in a field, and how each output writes it.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use aioinspect_model::cpus::CpuSet;
use aioinspect_model::finding::Finding;
use aioinspect_model::picture::{ContextView, Stranded};
use aioinspect_model::units::age;

use crate::escape::escaped;
use crate::fields::rank::Rank;
use crate::filter::Value;

/// CPUs with stranded credits that are named to people.
const MOST_CPUS: usize = 8;

/// What a context has in a field.
#[derive(Clone, Copy, Debug)]
pub enum Cell<'a> {
    /// It is not known.
    Unknown,
    /// There is no such thing, which JSON leaves out.
    Absent,
    /// A number without a unit, or of bytes.
    Number(u64),
    /// A part of a whole.
    Percent(u32),
    /// A duration, in nanoseconds.
    Nanoseconds(u64),
    /// A number that is written in hexadecimal digits.
    Address(u64),
    /// A name, any bytes; empty where there is none.
    Text(&'a [u8]),
    /// Yes or no.
    Flag(bool),
    /// The findings of this context.
    Findings(&'a ContextView),
    /// A set of CPUs.
    Cpus(&'a CpuSet),
    /// Which CPUs have credits that others lack.
    Stranded(&'a [Stranded]),
}

impl<'a> Cell<'a> {
    /// A number that may not be known.
    pub fn known(number: Option<u32>) -> Self {
        number.map_or(Cell::Unknown, |number| Cell::Number(number.into()))
    }

    /// A number that JSON leaves out where it was not read.
    pub fn if_read(number: Option<u32>) -> Self {
        number.map_or(Cell::Absent, |number| Cell::Number(number.into()))
    }

    /// Appends it for people. What is not known, or empty, is `-`, so that every line has every field.
    pub fn write(self, text: &mut String) {
        // Writing to a String cannot fail.
        match self {
            Cell::Number(number) => write_number(number, text),
            Cell::Percent(percent) => drop(write!(text, "{percent}%")),
            Cell::Nanoseconds(ns) => text.push_str(&age(ns)),
            Cell::Address(address) => drop(write!(text, "{address:#x}")),
            Cell::Text(bytes) if !bytes.is_empty() => text.push_str(&escaped(bytes)),
            Cell::Flag(true) => text.push_str("yes"),
            Cell::Flag(false) => text.push_str("no"),
            Cell::Findings(of) if !of.findings.is_empty() => write_codes(&of.findings, text),
            Cell::Cpus(cpus) if cpus.is_empty() => text.push_str("none"),
            Cell::Cpus(cpus) => drop(write!(text, "{cpus}")),
            Cell::Stranded(stranded) => write_stranded(stranded, text),
            Cell::Unknown | Cell::Absent | Cell::Text(_) | Cell::Findings(_) => text.push('-'),
        }
    }

    /// The same as a text of its own.
    pub fn text(self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    /// What `-Q` compares: numbers, or text as it is printed, but empty where a table shows `-`.
    pub fn value(self) -> Value<'a> {
        match self {
            Cell::Unknown | Cell::Absent => Value::Null,
            Cell::Number(number) | Cell::Address(number) => Value::Number(number.into()),
            Cell::Nanoseconds(ns) => Value::Number(Duration::from_nanos(ns).as_secs().into()),
            Cell::Percent(percent) => Value::Number(percent.into()),
            Cell::Text(text) => Value::Text(escaped(text)),
            Cell::Flag(flag) => Value::Bool(flag),
            Cell::Findings(of) => {
                let mut codes = String::new();
                write_codes(&of.findings, &mut codes);
                Value::Text(Cow::Owned(codes))
            }
            Cell::Cpus(_) | Cell::Stranded(_) => Value::Text(Cow::Owned(self.text())),
        }
    }

    /// What it is sorted by.
    pub fn rank(self) -> Rank<'a> {
        match self {
            Cell::Number(number) | Cell::Nanoseconds(number) | Cell::Address(number) => Rank::Number(number),
            Cell::Percent(percent) => Rank::Number(percent.into()),
            Cell::Flag(flag) => Rank::Number(flag.into()),
            Cell::Text(text) if !text.is_empty() => Rank::Text(text),
            Cell::Findings(of) => Rank::of_worst(Finding::worst(of.findings.iter().copied())),
            Cell::Stranded(stranded) => {
                Rank::Number(stranded.iter().fold(0, |sum, of| sum.saturating_add(of.credits.into())))
            }
            Cell::Unknown | Cell::Absent | Cell::Text(_) | Cell::Cpus(_) => Rank::Unknown,
        }
    }
}

impl Rank<'_> {
    /// Findings by how bad they are; none comes last.
    pub fn of_worst(worst: Option<Finding>) -> Self {
        worst.map_or(Rank::Unknown, |finding| Rank::Number(finding.severity().rank().into()))
    }
}

/// Most cells are small numbers, and the formatting machinery costs more than their digits.
fn write_number(number: u64, text: &mut String) {
    let digit = |number: u64| char::from(b'0' + u8::try_from(number % 10).unwrap_or(0));
    match number {
        0..10 => text.push(digit(number)),
        10..10_000 => {
            write_number(number / 10, text);
            text.push(digit(number));
        }
        // Writing to a String cannot fail.
        _ => drop(write!(text, "{number}")),
    }
}

fn write_codes(findings: &[Finding], text: &mut String) {
    for (place, finding) in findings.iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        text.push_str(finding.code());
    }
}

/// Such as `58 on CPU 1, 3 on CPU 4 (offline)`.
fn write_stranded(stranded: &[Stranded], text: &mut String) {
    let place = |of: &Stranded| {
        let offline = if of.online == Some(false) { " (offline)" } else { "" };
        format!("{} on CPU {}{offline}", of.credits, of.cpu)
    };
    let mut places: Vec<String> = stranded.iter().take(MOST_CPUS).map(place).collect();
    match stranded.len().checked_sub(MOST_CPUS) {
        None | Some(0) => {}
        Some(more) => places.push(format!("more on {more} others")),
    }
    text.push_str(if places.is_empty() { "none" } else { "" });
    text.push_str(&places.join(", "));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check the words of where io_submit fails: nowhere, on some CPUs, and of many CPUs no more than some.
    #[test]
    fn where_it_fails() {
        assert_eq!(Cell::Cpus(&CpuSet::default()).text(), "none");
        assert_eq!(Cell::Cpus(&CpuSet::parse("0,9").unwrap()).text(), "0,9");
        let all = |count: u32| {
            let of = |cpu| Stranded { cpu, credits: 58, online: Some(cpu != 1) };
            Cell::Stranded(&(1..=count).map(of).collect::<Vec<_>>()).text()
        };
        assert_eq!(all(0), "none");
        assert_eq!(all(2), "58 on CPU 1 (offline), 58 on CPU 2");
        assert!(all(8).ends_with(", 58 on CPU 8"));
        assert!(all(10).ends_with("58 on CPU 8, more on 2 others"));
    }
}
