//! The ring header, a claim of the process, held against the kernel's facts.

use crate::finding::Finding;
use crate::header::{self, HeaderFacts, RING_HEADER_LENGTH, RingHeader};
use crate::kioctx::Kioctx;
use crate::reconcile::notes::Notes;
use crate::units::IO_EVENT_LEN;

/// What fs/aio.c:aio_setup_ring writes as `id` until fs/aio.c:ioctx_add_table knows it.
const ID_TO_COME: u32 = u32::MAX;

/// How the header's `tail` may be held against the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TailRule {
    /// One state: they are equal.
    Equal,
    /// The header was read later, in a process that could not submit: ahead by no more than was in flight.
    Later,
    /// The header was read earlier, in a process that could not submit: it may be behind.
    Earlier,
    /// The process may have run since the kernel was asked.
    AfterFree,
    /// The process may have run, and the kernel was asked later: nothing can be said.
    Free,
}

impl TailRule {
    /// Whether the process was known not to run between the two readings.
    fn still(self) -> bool {
        match self {
            TailRule::Equal | TailRule::Later | TailRule::Earlier => true,
            TailRule::AfterFree | TailRule::Free => false,
        }
    }
}

/// What is left of a header once the kernel was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reaping {
    /// Next ring entry to be reaped, as claimed.
    pub head: Option<u32>,
    /// Completions nobody reaped.
    pub unreaped: Option<u32>,
}

/// Checks every field that the kernel wrote, and works out what waits to be reaped.
pub(super) fn check(claim: &RingHeader, fact: &Kioctx, rule: TailRule, notes: &mut Notes) -> Reaping {
    let being_made = claim.id == ID_TO_COME && !rule.still();
    if being_made {
        notes.say(Finding::Unsettled, "io_setup had not finished");
    }
    let known = HeaderFacts {
        id: Some(fact.table_index).filter(|_| !being_made),
        nr_events: fact.nr_events,
        tail: fact.tail.filter(|_| rule == TailRule::Equal),
    };
    forged(claim, &known, notes);
    if let Some((tail, nr_events)) = fact.tail.zip(fact.nr_events) {
        check_tail(claim.tail, fact, (tail, nr_events), rule, notes);
    }
    Reaping { head: Some(claim.head), unreaped: unreaped(claim, fact, rule, notes) }
}

/// Checks a header with nothing but the mapping's size to hold it against.
pub(super) fn check_alone(claim: &RingHeader, mapped_bytes: u64, notes: &mut Notes) -> Reaping {
    let room = mapped_bytes.saturating_sub(u64::from(RING_HEADER_LENGTH)) / IO_EVENT_LEN;
    let known =
        HeaderFacts { id: None, nr_events: Some(u32::try_from(room).unwrap_or(u32::MAX)), tail: None };
    forged(claim, &known, notes);
    Reaping { head: Some(claim.head), unreaped: header::unreaped(claim.head, claim.tail, claim.nr) }
}

fn forged(claim: &RingHeader, known: &HeaderFacts, notes: &mut Notes) {
    for fault in claim.faults(known) {
        notes.say(Finding::ForgedHeader, fault.to_string());
    }
}

/// A tail that differs though nobody could submit: completions, as many as were in flight, or a forgery.
fn check_tail(claim: u32, fact: &Kioctx, (tail, nr_events): (u32, u32), rule: TailRule, notes: &mut Notes) {
    match rule {
        TailRule::Later => {
            let since = header::unreaped(tail, claim, nr_events);
            // Where in-flight is torn nothing bounds `since`; the context is unsettled for that already.
            if since.zip(fact.in_flight().number()).is_some_and(|(since, in_flight)| since > in_flight) {
                notes.say(Finding::ForgedHeader, format!("tail is {claim}, not {tail}"));
            }
        }
        TailRule::Earlier if claim != tail => notes.say(
            Finding::Unsettled,
            format!("completions arrived: tail was {claim} in the ring and is {tail} in the kernel"),
        ),
        TailRule::Equal | TailRule::Earlier | TailRule::AfterFree | TailRule::Free => {}
    }
}

/// `(tail - head) mod nr`, with the kernel's tail.
///
/// The kernel bounds what a claimed head can mean: every ring entry not reaped is counted in `completed_events`, which only
/// fs/aio.c:refill_reqs_available lowers, and never below what the head of that moment leaves in the ring. A head that
/// claims more was written back, or past the tail; or, in a process that ran, was read later than the tail.
fn unreaped(claim: &RingHeader, fact: &Kioctx, rule: TailRule, notes: &mut Notes) -> Option<u32> {
    let (tail, nr_events) = fact.tail.zip(fact.nr_events)?;
    let waiting = header::unreaped(claim.head, tail, nr_events)?;
    // Where nothing bounds it, a number may be of two states, or a forgery; none is none.
    let Some(bound) = fact.most_unreaped() else { return Some(waiting).filter(|waiting| *waiting == 0) };
    if waiting <= bound {
        return Some(waiting);
    }
    if rule.still() || (rule == TailRule::AfterFree && claim.tail == tail) {
        notes.say(
            Finding::ForgedHeader,
            format!(
                "head is {}: {waiting} completions would wait, but the kernel has at most {bound}",
                claim.head
            ),
        );
        return None;
    }
    // Tail moved on between the two readings; the header's own pair was read at once.
    let at_once = header::unreaped(claim.head, claim.tail, nr_events).filter(|waiting| *waiting <= bound);
    if at_once.is_none() {
        notes.say(
            Finding::Unsettled,
            format!("head {} and tail {tail} were not read at the same instant", claim.head),
        );
    }
    at_once
}
