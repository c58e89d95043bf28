//! Contexts that are in no table any more, and whose requests somebody waits for.

use std::sync::Arc;

use crate::awaited::unnamed;
use crate::evidence::{Doing, Wait};
use crate::finding::Finding;
use crate::kioctx::Kioctx;
use crate::picture::ContextView;
use crate::reconcile::notes::Notes;
use crate::reconcile::space::Space;
use crate::units::{ContextId, age};

/// A line for each context that a thread waits for, and one for all those that cannot be named.
pub(super) fn views(space: &Space<'_>, wait: &Wait) -> Vec<ContextView> {
    let mut views: Vec<ContextView> = wait.contexts.iter().map(|fact| named(space, wait, fact)).collect();
    let count = unnamed(wait);
    if count != Some(0) {
        views.push(rest(space, wait, count));
    }
    views
}

fn named(space: &Space<'_>, wait: &Wait, fact: &Kioctx) -> ContextView {
    let mut notes = Notes::default();
    let in_flight = fact.left().number();
    let what = match in_flight {
        Some(0) => "no request is left, it is about to be gone".to_owned(),
        Some(1) => "1 request is left".to_owned(),
        Some(count) => format!("{count} requests are left"),
        None => "how many requests are left is not known".to_owned(),
    };
    say(wait, &what, &mut notes);
    let pages = fact.nr_pages.and_then(|pages| pages.checked_mul(space.page_size.into()));
    let (findings, details) = notes.finish();
    ContextView {
        context: fact.user_id,
        max_reqs: fact.max_reqs,
        nr_events: fact.nr_events,
        in_flight,
        tail: fact.tail,
        ring_len: pages.or_else(|| fact.ring_len(space.page_size)),
        findings,
        details,
        ..nothing(space, wait)
    }
}

fn rest(space: &Space<'_>, wait: &Wait, count: Option<u32>) -> ContextView {
    let mut notes = Notes::default();
    let what = match count {
        None => "which contexts, and how many requests, is not known".to_owned(),
        Some(1) => "1 context that cannot be named has requests left".to_owned(),
        Some(count) => format!("{count} contexts that cannot be named have requests left"),
    };
    say(wait, &what, &mut notes);
    let (findings, details) = notes.finish();
    let context = wait.id.unwrap_or(ContextId::UNKNOWN);
    ContextView { context, stands_for: count, findings, details, ..nothing(space, wait) }
}

/// What is known of none of them: the ring is unmapped, or about to be, and nobody reaps it any more.
fn nothing(space: &Space<'_>, wait: &Wait) -> ContextView {
    ContextView {
        pid: space.process.pid,
        comm: Arc::clone(&space.comm),
        start_ticks: space.process.start_ticks,
        about: Arc::clone(&space.about),
        context: ContextId::UNKNOWN,
        max_reqs: None,
        nr_events: None,
        in_flight: None,
        unreaped: None,
        head: None,
        tail: None,
        ring_len: None,
        mapped: None,
        owner: Arc::clone(&space.owner),
        origin: None,
        dying_ns: wait.asleep_ns,
        outlook: None,
        stands_for: Some(1),
        findings: Vec::new(),
        details: Vec::new(),
    }
}

fn say(wait: &Wait, what: &str, notes: &mut Notes) {
    let Wait { tid, pid, asleep_ns, .. } = wait;
    let age = asleep_ns.map(|ns| format!(" for {}", seconds(ns))).unwrap_or_default();
    let who = match wait.doing {
        Doing::Destroy => format!("thread {tid} waits in io_destroy{age}"),
        Doing::Exit => format!("process {pid} waits in exit{age}"),
        Doing::Exec => format!("process {pid} waits in exec{age}"),
        Doing::LastUse => {
            format!(
                "thread {tid} of process {pid}, the last to use the memory of a process that is gone, waits{age}"
            )
        }
    };
    notes.add(Finding::Dying);
    let finding = match wait.doing {
        Doing::Exit | Doing::Exec => Finding::Exiting,
        Doing::Destroy | Doing::LastUse => Finding::Dying,
    };
    notes.say(finding, format!("{what}; {who}"));
}

/// A length of time for a person: as everywhere, and of less than a minute the tenths too.
fn seconds(ns: u64) -> String {
    let tenths = ns / 100_000_000;
    if tenths < 600 { format!("{}.{} s", tenths / 10, tenths % 10) } else { age(ns) }
}

#[cfg(test)]
mod tests;
