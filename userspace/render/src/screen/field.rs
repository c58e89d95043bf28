//! The columns of both tables: what a row has in each, as text and as something to sort by.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::columns::Column;
use crate::filter::Value as Cell;
use aioinspect_model::finding::Finding;
use aioinspect_model::picture::ContextView;
use aioinspect_model::units::age;

use crate::screen::look::{Look, Tone};
use crate::screen::severity::{severity, tone, worst, worst_first};

/// A column of a table on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The process.
    Pid,
    /// Its name.
    Comm,
    /// Its container, or else unit.
    Owner,
    /// Context id.
    Context,
    /// Number of contexts.
    Contexts,
    /// What it costs of aio-max-nr; of an owner, the sum.
    MaxReqs,
    /// Slots of the ring.
    Slots,
    /// Requests in flight.
    InFlight,
    /// Completions that nobody reaped.
    Unreaped,
    /// How much of the ring is taken.
    Fill,
    /// All findings.
    Findings,
    /// The worst finding.
    Worst,
}

/// The columns of the owners, as they stand.
pub const OF_OWNERS: [Field; 8] = [
    Field::Pid,
    Field::Comm,
    Field::Owner,
    Field::Contexts,
    Field::MaxReqs,
    Field::InFlight,
    Field::Unreaped,
    Field::Worst,
];

/// The columns of the contexts, as they stand.
pub const OF_CONTEXTS: [Field; 9] = [
    Field::Pid,
    Field::Comm,
    Field::Context,
    Field::MaxReqs,
    Field::Slots,
    Field::InFlight,
    Field::Unreaped,
    Field::Fill,
    Field::Findings,
];

/// How a column is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Columns below which it is not shown.
    pub least: usize,
    /// Columns at which it can be read: less dispensable ones get them before more dispensable ones are shown.
    pub good: usize,
    /// Columns that are enough for it.
    pub enough: usize,
    /// Whether its cells end at its right side.
    pub right: bool,
    /// Where there is not room for all, the greatest go first.
    pub dispensable: u8,
}

/// What a row is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A number.
    Number(u64),
    /// A name.
    Text(&'a [u8]),
    /// Not known, or nothing.
    Unknown,
}

/// A row of a table.
pub trait Row {
    /// What it is sorted by in a column.
    fn value(&self, field: Field) -> Value<'_>;
    /// What it shows in a column; empty for nothing.
    fn cell(&self, field: Field, look: Look) -> Cow<'_, str>;
    /// How that is shown.
    fn tone(&self, field: Field) -> Tone;
}

/// A sorted column, and whether its order is turned around.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// The column.
    pub field: Field,
    /// Whether the order is not the usual one.
    pub reverse: bool,
}

impl Field {
    /// The heading.
    pub fn heading(self) -> &'static str {
        match self {
            Field::Pid => "PID",
            Field::Comm => "COMM",
            Field::Owner => "OWNER",
            Field::Context => "CONTEXT",
            Field::Contexts => "CONTEXTS",
            Field::MaxReqs => "MAX_REQS",
            Field::Slots => "SLOTS",
            Field::InFlight => "IN_FLIGHT",
            Field::Unreaped => "UNREAPED",
            Field::Fill => "FILL",
            Field::Findings => "FINDINGS",
            Field::Worst => "WORST",
        }
    }

    /// How it is laid out; numbers get the width of the greatest of them.
    pub fn shape(self) -> Shape {
        let (least, good, enough, right, dispensable) = match self {
            Field::Pid => (3, 3, 3, true, 0),
            Field::Findings => (9, 13, 60, false, 1),
            Field::Worst => (9, 13, 19, false, 1),
            Field::Comm => (8, 11, 16, false, 2),
            Field::MaxReqs => (8, 8, 8, true, 3),
            Field::InFlight => (9, 9, 9, true, 3),
            Field::Owner => (10, 16, 32, false, 4),
            Field::Contexts | Field::Unreaped => (8, 8, 8, true, 4),
            Field::Context => (14, 14, 14, true, 6),
            Field::Fill => (4, 4, 4, true, 7),
            Field::Slots => (5, 5, 5, true, 8),
        };
        Shape { least, good, enough, right, dispensable }
    }

    /// Whether the usual order has the greatest first.
    fn descends(self) -> bool {
        match self {
            Field::Contexts
            | Field::MaxReqs
            | Field::Slots
            | Field::InFlight
            | Field::Unreaped
            | Field::Fill
            | Field::Findings
            | Field::Worst => true,
            Field::Pid | Field::Comm | Field::Owner | Field::Context => false,
        }
    }
}

impl Order {
    /// By a column, in its usual order.
    pub fn by(field: Field) -> Self {
        Self { field, reverse: false }
    }

    /// By the column after this one.
    pub fn next(self, fields: &[Field]) -> Self {
        let mut following = fields.iter().copied().cycle().skip_while(|field| *field != self.field);
        // A cycle through a list that has the field ends only in an empty list.
        let found = if fields.contains(&self.field) { following.nth(1) } else { fields.first().copied() };
        Self::by(found.unwrap_or(self.field))
    }

    /// Whether the greatest come first.
    pub fn descends(self) -> bool {
        self.field.descends() != self.reverse
    }

    /// How two rows stand. What is not known comes last, in either direction.
    pub fn compare(self, one: &impl Row, other: &impl Row) -> Ordering {
        let (one, other) = (one.value(self.field), other.value(self.field));
        let found = match (one, other) {
            (Value::Unknown, Value::Unknown) => return Ordering::Equal,
            (Value::Unknown, _) => return Ordering::Greater,
            (_, Value::Unknown) => return Ordering::Less,
            (Value::Number(one), Value::Number(other)) => one.cmp(&other),
            (Value::Text(one), Value::Text(other)) => one.cmp(other),
            (Value::Number(_), Value::Text(_)) => Ordering::Less,
            (Value::Text(_), Value::Number(_)) => Ordering::Greater,
        };
        if self.descends() { found.reverse() } else { found }
    }
}

impl<R: Row> Row for &R {
    fn value(&self, field: Field) -> Value<'_> {
        (**self).value(field)
    }

    fn cell(&self, field: Field, look: Look) -> Cow<'_, str> {
        (**self).cell(field, look)
    }

    fn tone(&self, field: Field) -> Tone {
        (**self).tone(field)
    }
}

impl Row for ContextView {
    fn value(&self, field: Field) -> Value<'_> {
        let number = |known: Option<u32>| known.map_or(Value::Unknown, |number| Value::Number(number.into()));
        match field {
            Field::Pid => Value::Number(self.pid.0.into()),
            Field::Comm => Value::Text(&self.comm),
            Field::Owner => owner_of(self),
            Field::Context => Value::Number(self.context.0),
            Field::Contexts => Value::Number(1),
            Field::MaxReqs => number(self.max_reqs),
            Field::Slots => number(self.nr_events),
            Field::InFlight => number(self.in_flight),
            Field::Unreaped => number(self.unreaped),
            Field::Fill => percent_taken(self).map_or(Value::Unknown, |taken| Value::Number(taken.into())),
            Field::Findings | Field::Worst => of_worst(worst(self.findings.iter().copied())),
        }
    }

    fn cell(&self, field: Field, look: Look) -> Cow<'_, str> {
        let column = |column: Column| {
            let mut text = String::new();
            column.write(self, &mut text);
            Cow::Owned(look.text(&text).into_owned())
        };
        match field {
            Field::Pid => column(Column::Pid),
            Field::Comm => column(Column::Comm),
            Field::Owner => column(Column::Owner),
            Field::Context => column(Column::Context),
            Field::Contexts => "1".into(),
            Field::MaxReqs => column(Column::MaxReqs),
            Field::Slots => column(Column::Slots),
            Field::InFlight => column(Column::InFlight),
            Field::Unreaped => column(Column::Unreaped),
            Field::Fill => percent_taken(self).map_or("-".into(), |taken| format!("{taken}%").into()),
            Field::Findings => aged(&codes(&self.findings), self.dying_ns).into(),
            Field::Worst => {
                aged(worst(self.findings.iter().copied()).map_or("-", Finding::code), self.dying_ns).into()
            }
        }
    }

    fn tone(&self, field: Field) -> Tone {
        match field {
            Field::Findings | Field::Worst => tone(worst(self.findings.iter().copied())),
            Field::Fill => match percent_taken(self) {
                Some(90..) => Tone::Bad,
                Some(50..) => Tone::Pending,
                Some(1..) => Tone::Good,
                Some(0) | None => Tone::Plain,
            },
            Field::InFlight if self.in_flight.is_some_and(|count| count > 0) => Tone::Strong,
            Field::Unreaped if self.unreaped.is_some_and(|count| count > 0) => Tone::Strong,
            Field::Pid
            | Field::Comm
            | Field::Owner
            | Field::Context
            | Field::Contexts
            | Field::MaxReqs
            | Field::Slots
            | Field::InFlight
            | Field::Unreaped => Tone::Plain,
        }
    }
}

/// The container, or else the unit.
pub fn owner_of(context: &ContextView) -> Value<'_> {
    let owner = &context.owner;
    let name = if owner.container.is_empty() { &owner.unit } else { &owner.container };
    if name.is_empty() { Value::Unknown } else { Value::Text(name.as_bytes()) }
}

/// Findings by how bad they are; none comes last.
pub fn of_worst(worst: Option<Finding>) -> Value<'static> {
    worst.map_or(Value::Unknown, |finding| Value::Number(severity(finding).into()))
}

/// How much of the ring is in flight or waits to be reaped, in percent; anything at all is at least 1, and less than
/// everything at most 99.
pub fn percent_taken(context: &ContextView) -> Option<u32> {
    let all = u64::from(context.nr_events?.checked_sub(1).filter(|usable| *usable > 0)?);
    let Cell::Number(free) = Column::Free.value(context) else { return None };
    let taken = all.checked_sub(u64::try_from(free).ok()?)?;
    let percent = match (taken, all) {
        (0, _) => 0,
        (taken, all) if taken >= all => 100,
        (taken, all) => taken.saturating_mul(100).checked_div(all)?.clamp(1, 99),
    };
    u32::try_from(percent).ok()
}

/// Findings, and for how long a dying context has been waited for.
pub fn aged(codes: &str, dying_ns: Option<u64>) -> String {
    dying_ns.map_or_else(|| codes.to_owned(), |ns| format!("{codes} {}", age(ns)))
}

fn codes(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return "-".to_owned();
    }
    worst_first(findings).into_iter().map(Finding::code).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::specimen::context;

    /// Check that unknown is last whichever way one sorts, and that numbers start with the greatest.
    #[test]
    fn sorting() {
        let with = |in_flight| ContextView { in_flight, ..context(1, 1) };
        let (none, few, many) = (with(None), with(Some(2)), with(Some(30)));
        let mut rows = [&none, &few, &many];
        let order = Order::by(Field::InFlight);
        rows.sort_by(|a, b| order.compare(a, b));
        assert_eq!(rows, [&many, &few, &none]);
        rows.sort_by(|a, b| Order { reverse: true, ..order }.compare(a, b));
        assert_eq!(rows, [&few, &many, &none]);
    }

    /// Check that what is dying is shown with its age.
    #[test]
    fn dying() {
        let findings = vec![Finding::Dying, Finding::Exiting];
        let row = ContextView { findings, dying_ns: Some(12_345_678_900), ..context(1, 1) };
        let cell =
            |row: &ContextView, field| row.cell(field, Look { color: false, ascii: true }).into_owned();
        assert_eq!(cell(&row, Field::Findings), "exiting,dying 12 s");
        assert_eq!(cell(&row, Field::Worst), "exiting 12 s");
        assert_eq!(cell(&ContextView { dying_ns: None, ..row }, Field::Findings), "exiting,dying");
    }

    /// Check that every column comes next once, and then the first again.
    #[test]
    fn next_column() {
        let mut order = Order { field: Field::Pid, reverse: true };
        let mut seen = Vec::new();
        for _ in OF_CONTEXTS {
            seen.push(order.field);
            order = order.next(&OF_CONTEXTS);
        }
        assert_eq!((seen, order), (OF_CONTEXTS.to_vec(), Order::by(Field::Pid)));
    }

    /// Check that a ring is full only when it is, empty only when it is, and unknown where numbers lie.
    #[test]
    fn fill() {
        let of = |slots, in_flight, unreaped| {
            percent_taken(&ContextView { nr_events: slots, in_flight, unreaped, ..context(1, 1) })
        };
        assert_eq!(of(Some(383), Some(0), Some(0)), Some(0));
        assert_eq!(of(Some(383), Some(1), Some(0)), Some(1));
        assert_eq!(of(Some(383), Some(100), Some(91)), Some(50));
        assert_eq!(of(Some(383), Some(381), Some(0)), Some(99));
        assert_eq!(of(Some(383), Some(382), Some(0)), Some(100));
        for (slots, in_flight) in [
            (Some(383), None),
            (Some(383), Some(383)),
            (Some(0), Some(0)),
            (Some(1), Some(0)),
            (None, Some(1)),
        ] {
            assert_eq!(of(slots, in_flight, Some(0)), None);
        }
    }
}
