//! Contexts summed by process: who holds the slots.

use std::borrow::Cow;
use std::collections::BTreeMap;

use aioinspect_model::finding::Finding;
use aioinspect_model::picture::ContextView;
use aioinspect_model::units::Pid;

use crate::screen::field::{Field, Row, Value, aged, of_worst, owner_of};
use crate::screen::look::{Look, Tone};
use crate::screen::severity::{severity, tone};

/// A process that has contexts: its PID, and its start, for PIDs come back.
pub type OwnerKey = (Pid, u64);

/// A sum of numbers some of which may not be known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    known: Option<u64>,
    gaps: bool,
}

impl Sum {
    fn add(&mut self, number: Option<u32>) {
        match number {
            Some(number) => self.known = Some(self.known.unwrap_or(0).saturating_add(number.into())),
            None => self.gaps = true,
        }
    }

    /// `-` if nothing is known, `5+` if there is more that is not.
    fn text(self) -> String {
        match (self.known, self.gaps) {
            (None, true) => "-".to_owned(),
            (None, false) => "0".to_owned(),
            (Some(sum), false) => sum.to_string(),
            (Some(sum), true) => format!("{sum}+"),
        }
    }

    fn value(self) -> Value<'static> {
        match (self.known, self.gaps) {
            (None, true) => Value::Unknown,
            (known, _) => Value::Number(known.unwrap_or(0)),
        }
    }

    fn is_some_more(self) -> bool {
        self.known.is_some_and(|sum| sum > 0)
    }
}

/// The contexts of one process, or of all.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Owner {
    /// Which process; `None`: all of them.
    pub key: Option<OwnerKey>,
    /// One of its contexts, by its place in the picture: it knows the names.
    pub example: usize,
    /// How many.
    pub contexts: usize,
    max_reqs: Sum,
    in_flight: Sum,
    unreaped: Sum,
    worst: Option<Finding>,
    oldest_dying_ns: Option<u64>,
}

impl Owner {
    fn add(&mut self, context: &ContextView) {
        // What is dying is in no table any more, and costs no slot.
        if !context.is_dying() {
            self.contexts = self.contexts.saturating_add(1);
            self.max_reqs.add(context.max_reqs);
        }
        self.in_flight.add(context.in_flight);
        self.unreaped.add(context.unreaped);
        self.oldest_dying_ns = self.oldest_dying_ns.max(context.dying_ns);
        let findings = context.findings.iter().copied();
        self.worst = self.worst.into_iter().chain(findings).max_by_key(|finding| severity(*finding));
    }
}

/// Sums contexts, given by their places: first all of them, then those of each process, by PID.
pub fn sum(contexts: &[ContextView], places: &[usize]) -> (Owner, Vec<Owner>) {
    let mut all = Owner::default();
    let mut owners: BTreeMap<OwnerKey, Owner> = BTreeMap::new();
    for place in places {
        let Some(context) = contexts.get(*place) else { continue };
        all.add(context);
        let key = (context.pid, context.start_ticks);
        let new = || Owner { key: Some(key), example: *place, ..Owner::default() };
        owners.entry(key).or_insert_with(new).add(context);
    }
    (all, owners.into_values().collect())
}

/// A row of the owners: a sum, and one of its contexts for the names.
#[derive(Clone, Copy, Debug)]
pub struct OwnerRow<'a> {
    /// The sum.
    pub owner: &'a Owner,
    /// Who; `None` for the row of all.
    pub example: Option<&'a ContextView>,
}

impl Row for OwnerRow<'_> {
    fn value(&self, field: Field) -> Value<'_> {
        let Some(example) = self.example else { return Value::Unknown };
        match field {
            Field::Pid => Value::Number(example.pid.0.into()),
            Field::Comm => Value::Text(&example.comm),
            Field::Owner => owner_of(example),
            Field::Contexts => Value::Number(u64::try_from(self.owner.contexts).unwrap_or(u64::MAX)),
            Field::MaxReqs => self.owner.max_reqs.value(),
            Field::InFlight => self.owner.in_flight.value(),
            Field::Unreaped => self.owner.unreaped.value(),
            Field::Findings | Field::Worst => of_worst(self.owner.worst),
            Field::Context | Field::Slots | Field::Fill => Value::Unknown,
        }
    }

    fn cell(&self, field: Field, look: Look) -> Cow<'_, str> {
        let name = |name: &str| -> Cow<'_, str> { name.to_owned().into() };
        match (field, self.example) {
            (Field::Pid, None) => name("all"),
            (Field::Comm | Field::Owner, None) => name(""),
            (Field::Pid | Field::Comm | Field::Owner, Some(example)) => {
                Cow::Owned(example.cell(field, look).into_owned())
            }
            (Field::Contexts, _) => self.owner.contexts.to_string().into(),
            (Field::MaxReqs, _) => self.owner.max_reqs.text().into(),
            (Field::InFlight, _) => self.owner.in_flight.text().into(),
            (Field::Unreaped, _) => self.owner.unreaped.text().into(),
            (Field::Findings | Field::Worst, _) => {
                aged(self.owner.worst.map_or("-", Finding::code), self.owner.oldest_dying_ns).into()
            }
            (Field::Context | Field::Slots | Field::Fill, _) => name("-"),
        }
    }

    fn tone(&self, field: Field) -> Tone {
        match field {
            Field::Findings | Field::Worst => tone(self.owner.worst),
            Field::InFlight if self.owner.in_flight.is_some_more() => Tone::Strong,
            Field::Unreaped if self.owner.unreaped.is_some_more() => Tone::Strong,
            Field::Pid
            | Field::Comm
            | Field::Owner
            | Field::Context
            | Field::Contexts
            | Field::MaxReqs
            | Field::Slots
            | Field::InFlight
            | Field::Unreaped
            | Field::Fill => Tone::Plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::specimen::{context, host};

    /// Check the sums, the worst finding, and that processes are told apart by their start.
    #[test]
    fn sums() {
        let picture = host();
        let places: Vec<usize> = (0..picture.contexts.len()).collect();
        let (all, owners) = sum(&picture.contexts, &places);
        assert_eq!(
            (all.contexts, all.max_reqs.text(), all.in_flight.text()),
            (5, "4256".into(), "4255+".into())
        );
        assert_eq!(all.worst, Some(Finding::RingFull));
        assert_eq!(owners.iter().map(|owner| owner.contexts).collect::<Vec<_>>(), [2, 2, 1]);
        assert_eq!(owners[2].in_flight.text(), "-");

        // What is dying costs no slot, but its requests are in flight, and its age is shown.
        let dying = ContextView {
            findings: vec![Finding::Dying],
            dying_ns: Some(125_000_000_000),
            max_reqs: Some(16),
            in_flight: Some(4),
            ..context(1, 1)
        };
        let (_, owners) = sum(&[dying, context(1, 2)], &[0, 1]);
        let row = OwnerRow { owner: &owners[0], example: None };
        let cell = |field| row.cell(field, Look { color: false, ascii: true }).into_owned();
        assert_eq!(owners[0].contexts, 1);
        assert_eq!(cell(Field::MaxReqs), context(1, 2).max_reqs.unwrap().to_string());
        assert_eq!(cell(Field::InFlight), (4 + context(1, 2).in_flight.unwrap()).to_string());
        assert_eq!(cell(Field::Worst), "dying 2 min 5 s");

        let again = ContextView { start_ticks: 99, ..context(1, 1) };
        assert_eq!(sum(&[context(1, 1), again], &[0, 1]).1.len(), 2);
        assert_eq!(sum(&[], &[0, 1]), (Owner::default(), vec![]));
    }
}
