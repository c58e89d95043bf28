//! `/api/v1/history` of `serve`. The keys are a promise: added to, never renamed; what is not known is null, never 0.

use std::io::{self, Write};

use serde::Serialize;

use aioinspect_model::history::{Cell, History, Holders, Moment};

use crate::json::{SCHEMA_VERSION, each_line};
use crate::time;

const SECOND_NS: u64 = 1_000_000_000;

/// What was reserved in a stretch of time.
#[derive(Serialize)]
struct Sample<'a> {
    time: String,
    seconds: u64,
    reserved: Option<u64>,
    limit: Option<u64>,
    failures: u64,
    owners: Option<Vec<OwnerKeys<'a>>>,
    others: Option<u64>,
    unattributed: Option<u64>,
    owners_not_known: Option<u64>,
}

#[derive(Serialize)]
struct OwnerKeys<'a> {
    name: &'a str,
    slots: u64,
}

impl<'a> From<&'a Cell> for Sample<'a> {
    fn from(cell: &'a Cell) -> Self {
        let moment = cell.moment.as_ref();
        let holders: Option<&Holders> = moment.and_then(|moment| moment.holders.as_deref());
        let owner = |(name, slots)| OwnerKeys { name, slots };
        Self {
            time: time::full(cell.from_ns),
            seconds: cell.step_ns / SECOND_NS,
            reserved: moment.map(|moment| moment.reserved),
            limit: moment.map(|moment| moment.limit),
            failures: cell.failures,
            owners: holders.map(|holders| holders.owners().map(owner).collect()),
            others: holders.map(Holders::others),
            unattributed: moment.and_then(Moment::unattributed),
            owners_not_known: moment.map(|moment| moment.unknown),
        }
    }
}

/// Writes the whole document, a sample a line, oldest first.
pub fn write(out: &mut dyn Write, history: &History) -> io::Result<()> {
    write!(out, "{{\"schema_version\":{SCHEMA_VERSION},\n \"samples\":[")?;
    each_line(out, history.cells(), |cell, text| serde_json::to_writer(text, &Sample::from(cell)))?;
    out.write_all(b"]}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check the keys, and what is null.
    #[test]
    fn keys() {
        let noon = 1_769_860_800 * SECOND_NS;
        let mut history = History::default();
        history.look(noon, 70, 100, Some(Holders::new([("a.service".to_owned(), 60)])));
        history.observe(noon + 10 * SECOND_NS, 80, 100);
        history.failed(noon + 20 * SECOND_NS);
        let mut text = Vec::new();
        write(&mut text, &history).unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            r#"{"schema_version":1,
 "samples":[
  {"time":"2026-01-31T12:00:00.000000000Z","seconds":10,"reserved":70,"limit":100,"failures":0,"owners":[{"name":"a.service","slots":60}],"others":0,"unattributed":10,"owners_not_known":0},
  {"time":"2026-01-31T12:00:10.000000000Z","seconds":10,"reserved":80,"limit":100,"failures":0,"owners":null,"others":null,"unattributed":null,"owners_not_known":80},
  {"time":"2026-01-31T12:00:20.000000000Z","seconds":10,"reserved":null,"limit":null,"failures":1,"owners":null,"others":null,"unattributed":null,"owners_not_known":null}]}
"#
        );
        text = Vec::new();
        write(&mut text, &History::default()).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), "{\"schema_version\":1,\n \"samples\":[]}\n");
    }
}
