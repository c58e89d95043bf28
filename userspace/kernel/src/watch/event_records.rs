//! From the records of the tracing programs to events.

use std::collections::HashSet;
use std::sync::Arc;

use aioinspect_ebpf::{EventKind, EventRecord, flag};

use crate::host::clock;
use crate::proc::files::ProcDir;
use aioinspect_model::event::{Actor, Event, Failure, Timed};
use aioinspect_model::picture::Owner;
use aioinspect_model::units::{ContextId, Instant, Pid, Tid};
use aioinspect_parse::proc::stat::Stat;

/// Nanoseconds of one clock tick as /proc counts them (USER_HZ = 100).
const TICK_NS: u64 = 10_000_000;

/// Turns instants of CLOCK_MONOTONIC into wall-clock time, as it is now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wall {
    ahead: u64,
}

impl Wall {
    /// The distance between the two clocks now.
    pub(super) fn now() -> Self {
        Self { ahead: clock::unix_now().saturating_sub(clock::now().0) }
    }

    /// An instant as nanoseconds since 1970.
    pub(super) fn of(self, at: Instant) -> u64 {
        at.0.saturating_add(self.ahead)
    }
}

/// Turns records into events, so that each context is born once.
#[derive(Debug, Default)]
pub(super) struct Teller {
    /// Contexts that the census at the start told of.
    met: HashSet<u64>,
}

impl Teller {
    /// The events a record stands for: one, or two if the first was never told. `first_told`: the census at the start was not complete
    /// when the call began, so that a context without a birth was there before. `owner`: who runs the process, if that is known.
    pub(super) fn events(
        &mut self,
        record: &EventRecord,
        wall: Wall,
        first_told: bool,
        owner: Option<Arc<Owner>>,
        mut each: impl FnMut(Timed),
    ) {
        let at = Instant(record.time);
        let by = Actor { owner, ..actor(record) };
        let context = ContextId(record.context);
        let timed = |event| Timed { at, unix_ns: wall.of(at), event };
        // Of an io_destroy that was under way when the census met its context, the record says only that it had not before.
        let is_met = self.meet(record);
        if !is_met && record.flags & flag::UNANNOUNCED != 0 && first_told {
            let by = Actor { tid: Tid(0), ..by.clone() };
            each(timed(Event::Existing { by, context, max_reqs: record.max_reqs }));
        }
        if let Some(event) = event(record, by, context) {
            each(timed(event));
        }
    }

    /// Remembers whom the census met, until its end or the birth of another at its place; whether it had met this one.
    fn meet(&mut self, record: &EventRecord) -> bool {
        let is = |kind: EventKind| record.kind == kind as u32;
        if is(EventKind::Found) {
            !self.met.insert(record.value)
        } else if is(EventKind::Setup) || is(EventKind::Destroy) {
            self.met.remove(&record.value)
        } else {
            false
        }
    }
}

fn event(record: &EventRecord, by: Actor, context: ContextId) -> Option<Event> {
    let max_reqs = record.max_reqs;
    let contexts = record.count;
    let is = |kind: EventKind| record.kind == kind as u32;
    Some(if is(EventKind::Found) {
        Event::Existing { by, context, max_reqs }
    } else if is(EventKind::Setup) {
        Event::Setup { by, context, max_reqs }
    } else if is(EventKind::SetupFailed) {
        let initial = (record.flags & flag::HAS_VALUE != 0).then_some(record.value);
        let errno = i32::try_from(record.errno).unwrap_or(i32::MAX);
        let failure = Failure { errno, requested: max_reqs, initial, ..Failure::default() };
        Event::SetupFailed { by, failure }
    } else if is(EventKind::Destroy) {
        let took_ns = record.time.saturating_sub(record.entered_at);
        Event::Destroy { by, context, max_reqs, took_ns }
    } else if is(EventKind::Exit) {
        Event::Exit { by, contexts }
    } else if is(EventKind::Exec) {
        Event::Exec { by, contexts }
    } else if is(EventKind::Gone) {
        // Somebody else held the last reference: whether the process lives on tells what it did.
        if lives(by.pid, record.start_boottime) {
            Event::Exec { by, contexts }
        } else {
            Event::Exit { by, contexts }
        }
    } else {
        return None;
    })
}

fn actor(record: &EventRecord) -> Actor {
    let mut comm = [record.comm_low.to_ne_bytes(), record.comm_high.to_ne_bytes()].concat();
    comm.truncate(comm.iter().position(|byte| *byte == 0).unwrap_or(comm.len()));
    Actor { pid: Pid(record.tgid), tid: Tid(record.tid), comm, owner: None }
}

/// Whether the process that started then is there still.
pub(super) fn lives(pid: Pid, start_boottime: u64) -> bool {
    let stat =
        ProcDir::open(pid).ok().and_then(|dir| dir.stat().ok()).and_then(|text| Stat::parse(&text).ok());
    stat.is_some_and(|stat| stat.start_ticks == start_boottime / TICK_NS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: Wall = Wall { ahead: 0 };

    fn record(kind: EventKind, kioctx: u64, flags: u32) -> EventRecord {
        EventRecord {
            time: 2,
            context: 0x7000,
            entered_at: 1,
            value: kioctx,
            comm_low: 0,
            comm_high: 0,
            start_boottime: 0,
            cgroups: 0,
            kind: kind as u32,
            tgid: 1,
            tid: 1,
            errno: 0,
            max_reqs: 8,
            count: 0,
            flags,
            _pad: 0,
        }
    }

    /// How many contexts were told as existing.
    fn existing(records: &[EventRecord]) -> usize {
        let mut teller = Teller::default();
        let mut existing = 0;
        for record in records {
            teller.events(record, WALL, true, None, |timed| {
                existing += usize::from(matches!(timed.event, Event::Existing { .. }));
            });
        }
        existing
    }

    /// Check that a context whose io_destroy began before the census met it, and ended after, is born once.
    #[test]
    fn met_during_its_destroy() {
        let found = record(EventKind::Found, 7, 0);
        let destroy = record(EventKind::Destroy, 7, flag::UNANNOUNCED);
        assert_eq!(existing(&[found, destroy]), 1);
        assert_eq!(existing(&[destroy]), 1);
    }

    /// Check that another context at the same place of the kernel's memory is another one.
    #[test]
    fn another_at_its_place() {
        let found = record(EventKind::Found, 7, 0);
        let known = record(EventKind::Destroy, 7, 0);
        let unknown = record(EventKind::Destroy, 7, flag::UNANNOUNCED);
        assert_eq!(existing(&[found, known, unknown]), 2);
        let setup = record(EventKind::Setup, 7, 0);
        assert_eq!(existing(&[found, setup, unknown]), 2);
    }
}
