//! A row of either table: what it shows in a field, how, and what it is sorted by.

use std::borrow::Cow;

use aioinspect_model::finding::Finding;
use aioinspect_model::picture::ContextView;
use aioinspect_model::units::age;

use crate::fields::Field;
use crate::fields::cell::Cell;
use crate::fields::rank::Rank;
use crate::screen::theme::{Theme, Tone};
use crate::screen::tone::tone;

/// A row of a table.
pub(super) trait Row {
    /// What it is sorted by in a field.
    fn rank(&self, field: Field) -> Rank<'_>;
    /// What it shows in a field; empty for nothing.
    fn cell(&self, field: Field, theme: Theme) -> Cow<'_, str>;
    /// How that is shown.
    fn tone(&self, field: Field) -> Tone;
}

impl<R: Row> Row for &R {
    fn rank(&self, field: Field) -> Rank<'_> {
        (**self).rank(field)
    }

    fn cell(&self, field: Field, theme: Theme) -> Cow<'_, str> {
        (**self).cell(field, theme)
    }

    fn tone(&self, field: Field) -> Tone {
        (**self).tone(field)
    }
}

impl Row for ContextView {
    fn rank(&self, field: Field) -> Rank<'_> {
        field.of(self).rank()
    }

    fn cell(&self, field: Field, theme: Theme) -> Cow<'_, str> {
        let cell = field.of(self);
        if let Cell::Findings(of) = cell {
            return aged(&codes(&of.findings), of.dying_ns).into();
        }
        Cow::Owned(theme.text(&cell.text()).into_owned())
    }

    fn tone(&self, field: Field) -> Tone {
        match field.of(self) {
            Cell::Findings(of) => tone(Finding::worst(of.findings.iter().copied())),
            Cell::Percent(90..) => Tone::Bad,
            Cell::Percent(50..) => Tone::Pending,
            Cell::Percent(1..) => Tone::Good,
            Cell::Number(1..) if field.row().stands_out => Tone::Strong,
            Cell::Unknown
            | Cell::Absent
            | Cell::Number(_)
            | Cell::Percent(0)
            | Cell::Nanoseconds(_)
            | Cell::Address(_)
            | Cell::Text(_)
            | Cell::Flag(_)
            | Cell::Cpus(_)
            | Cell::Stranded(_) => Tone::Plain,
        }
    }
}

/// Findings, and for how long a dying context has been waited for.
pub(super) fn aged(codes: &str, dying_ns: Option<u64>) -> String {
    dying_ns.map_or_else(|| codes.to_owned(), |ns| format!("{codes} {}", age(ns)))
}

fn codes(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return "-".to_owned();
    }
    Finding::worst_first(findings).into_iter().map(Finding::code).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::specimen::context;

    /// Check that what is dying is shown with its age.
    #[test]
    fn dying() {
        let findings = vec![Finding::Dying, Finding::Exiting];
        let row = ContextView { findings, dying_ns: Some(12_345_678_900), ..context(1, 1) };
        let cell =
            |row: &ContextView| row.cell(Field::Findings, Theme { color: false, ascii: true }).into_owned();
        assert_eq!(cell(&row), "exiting,dying 12 s");
        assert_eq!(cell(&ContextView { dying_ns: None, ..row }), "exiting,dying");
    }
}
