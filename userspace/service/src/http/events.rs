//! What happened lately, for those who follow it: server-sent events with ids, so that a connection that broke misses nothing.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::watch;

use crate::http::body::Sender;
use aioinspect_model::event::{Event, Timed};
use aioinspect_render::event_json;

/// Events that are kept: what a page that was asleep for a while may still ask for.
const KEPT: usize = 1024;
/// Failures that are kept for the page, and as many of the waits for dying contexts.
const SHOWN: usize = 50;
/// How often a follower hears from us when nothing happens.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(15);
/// Bytes that are handed on at a time, about: a follower who does not read holds some six times as much.
const CHUNK: usize = 1 << 14;

/// The last events, framed once for all who follow them.
#[derive(Debug)]
pub struct EventLog {
    /// Tells the ids of one run from those of another.
    run: u64,
    kept: Mutex<Kept>,
    newest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Number of the last event; the first is 1.
    last: u64,
    events: VecDeque<(u64, Bytes)>,
    failures: VecDeque<Timed>,
    waits: VecDeque<Timed>,
}

impl EventLog {
    /// Nothing yet; `run` is a number that no other run has.
    pub fn new(run: u64) -> Self {
        Self { run, kept: Mutex::default(), newest: watch::channel(0).0 }
    }

    /// Adds what happened.
    pub fn add(&self, events: &[Timed]) {
        let Some(newest) = self.append(events) else { return };
        self.newest.send_replace(newest);
    }

    fn append(&self, events: &[Timed]) -> Option<u64> {
        let mut kept = self.kept();
        for timed in events {
            kept.last = kept.last.saturating_add(1);
            let number = kept.last;
            if kept.events.len() >= KEPT {
                kept.events.pop_front();
            }
            kept.events.push_back((number, self.message(number, timed)));
            let list = match timed.event {
                Event::SetupFailed { .. } => &mut kept.failures,
                Event::Dying { .. } | Event::Gone { .. } => &mut kept.waits,
                Event::Existing { .. }
                | Event::Setup { .. }
                | Event::SubmitFailed { .. }
                | Event::Destroy { .. }
                | Event::Exec { .. }
                | Event::Exit { .. }
                | Event::Lost { .. }
                | Event::Healed { .. }
                | Event::Growth { .. } => continue,
            };
            list.truncate(SHOWN - 1);
            list.push_front(timed.clone());
        }
        (!events.is_empty()).then_some(kept.last)
    }

    /// The last failed calls of io_setup, newest first, then what was told last of waits for dying contexts, in the same order.
    pub fn failures(&self) -> Vec<Timed> {
        let kept = self.kept();
        kept.failures.iter().chain(&kept.waits).cloned().collect()
    }

    /// Whether somebody follows.
    pub fn is_followed(&self) -> bool {
        self.newest.receiver_count() > 0
    }

    /// Sends what happens from now on, or after the event of this id, until the follower leaves.
    pub async fn follow(&self, last_id: Option<&str>, to: Sender) {
        let mut newest = self.newest.subscribe();
        let mut seen = last_id.map_or_else(|| self.kept().last, |id| self.after(id));
        // The first bytes tell the client that it is connected.
        if !to.send(Bytes::from_static(b"retry: 2000\n: connected\n\n")).await {
            return;
        }
        loop {
            newest.borrow_and_update();
            while let Some((number, chunk)) = self.next(seen) {
                seen = number;
                if !to.send(chunk).await {
                    return;
                }
            }
            tokio::select! {
                changed = newest.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(HEARTBEAT) => {
                    if !to.send(Bytes::from_static(b": heartbeat\n\n")).await {
                        return;
                    }
                }
                () = to.closed() => return,
            }
        }
    }

    /// The number after which an id asks us to go on. An id of another run has missed everything of this one.
    fn after(&self, id: &str) -> u64 {
        let of_this_run = id.split_once('-').filter(|(run, _)| run.parse() == Ok(self.run));
        of_this_run.and_then(|(_, number)| number.parse().ok()).unwrap_or(0).min(self.kept().last)
    }

    /// What came after an event, as much as is sent at a time; with a word on what is no longer there.
    fn next(&self, seen: u64) -> Option<(u64, Bytes)> {
        let kept = self.kept();
        let (first, _) = kept.events.front()?;
        let missed = first.saturating_sub(seen.saturating_add(1));
        let mut chunk = Vec::new();
        let mut last = seen;
        if missed > 0 {
            let text = format!(
                "event: missed\ndata: {{\"schema_version\":1,\"event\":\"missed\",\"count\":{missed}}}\n\n"
            );
            chunk.extend_from_slice(text.as_bytes());
        }
        for (number, message) in kept.events.iter().filter(|(number, _)| *number > seen) {
            chunk.extend_from_slice(message);
            last = *number;
            if chunk.len() >= CHUNK {
                break;
            }
        }
        (last > seen).then(|| (last, Bytes::from(chunk)))
    }

    fn message(&self, number: u64, timed: &Timed) -> Bytes {
        let mut text = String::new();
        // Writing to memory cannot fail.
        let _ = write!(text, "id: {}-{number}\nevent: {}\ndata: ", self.run, timed.event.word());
        let mut text = text.into_bytes();
        // One line, which ends the field as well.
        let _ = event_json::write(&mut text, timed);
        text.push(b'\n');
        Bytes::from(text)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aioinspect_model::event::{Actor, Failure};
    use aioinspect_model::units::{ContextId, Instant};

    fn failed(pid: u32) -> Timed {
        let by = Actor { pid: aioinspect_model::units::Pid(pid), ..Actor::default() };
        let failure = Failure { errno: 11, requested: pid, ..Failure::default() };
        Timed { at: Instant(0), unix_ns: 0, event: Event::SetupFailed { by, failure } }
    }

    fn text(log: &EventLog, seen: u64) -> String {
        log.next(seen).map_or_else(String::new, |(_, chunk)| String::from_utf8(chunk.to_vec()).unwrap())
    }

    /// Check the form of a message, and that ids are understood again: those of this run, and no others.
    #[test]
    fn ids() {
        let log = EventLog::new(77);
        log.add(&[failed(1), failed(2)]);
        let said = text(&log, 0);
        assert!(said.starts_with("id: 77-1\nevent: setup-failed\ndata: {\"schema_version\":1,"), "{said}");
        assert_eq!(said.matches("\n\n").count(), 2);
        assert!(text(&log, log.after("77-1")).starts_with("id: 77-2\n"));
        assert_eq!(text(&log, log.after("77-2")), "");
        for foreign in ["", "2", "78-1", "77-x", "77--1", "-"] {
            assert_eq!(log.after(foreign), 0, "{foreign}");
        }
        assert_eq!(log.after("77-999"), 2);
    }

    /// Check that the log is bounded, and that whoever comes too late is told how much is gone.
    #[test]
    fn what_is_gone_is_counted() {
        let log = EventLog::new(1);
        let many: Vec<Timed> = (0..1030).map(failed).collect();
        log.add(&many);
        assert!(text(&log, 0).starts_with(
            "event: missed\ndata: {\"schema_version\":1,\"event\":\"missed\",\"count\":6}\n\nid: 1-7\n"
        ));
        assert_eq!(log.failures().len(), SHOWN);
        // What is told of waits has a place of its own.
        let gone = Event::Gone { by: Actor::default(), context: ContextId(1), waited_ns: 1 };
        log.add(&[Timed { event: gone, ..failed(1) }]);
        assert_eq!(log.failures().len(), SHOWN + 1);
        let mut seen = 0;
        while let Some((number, _)) = log.next(seen) {
            assert!(number > seen);
            seen = number;
        }
        assert_eq!(seen, 1031);
    }
}
