//! What follows from the facts of a context, with each of them missing.

use proptest::prelude::*;

use crate::kioctx::*;
use crate::specimen::{AT, kioctx};

/// A context with `n` requests in flight, by both witnesses.
fn with(n: u32) -> Kioctx {
    let n = i64::from(n);
    Kioctx { reqs_available: Some(382 - n), percpu_refs: Some(1 + n), ..kioctx(AT, 0) }
}

/// The same without the credits.
fn by_refs_alone(n: u32) -> Kioctx {
    Kioctx { percpu_available: None, ..with(n) }
}

/// The same without the references.
fn by_credits_alone(n: u32) -> Kioctx {
    Kioctx { ref_state: None, ..with(n) }
}

/// Check that each witness alone tells what both do, and that without both nothing is told.
#[test]
fn one_witness_is_enough() {
    for n in [0, 1, 382] {
        for fact in [with(n), by_refs_alone(n), by_credits_alone(n)] {
            assert_eq!(fact.in_flight(), Told::Is(n), "{fact:?}");
            assert_eq!(fact.is_idle(), n == 0);
            assert!(fact.tells_in_flight());
        }
        let neither = Kioctx { percpu_refs: None, ..by_refs_alone(n) };
        assert_eq!(neither.in_flight(), Told::Nothing);
        assert!(!neither.is_idle() && !neither.tells_in_flight());
    }
}

/// Check that a part of the credits that is missing is missed, whichever it is.
#[test]
fn each_part_of_the_credits() {
    type Part = fn(&mut Kioctx);
    let parts: [Part; 4] = [
        |fact| fact.nr_events = None,
        |fact| fact.completed_events = None,
        |fact| fact.reqs_available = None,
        |fact| fact.percpu_available = None,
    ];
    for part in parts {
        let mut fact = with(3);
        part(&mut fact);
        assert_eq!(fact.in_flight_by_credits(), Told::Nothing);
        assert_eq!(fact.in_flight(), Told::Is(3));
    }
}

/// Check that what does not add up is torn, not nothing, and never idle.
#[test]
fn torn() {
    let credits = Kioctx { reqs_available: Some(400), ..with(0) };
    assert_eq!(credits.in_flight_by_credits(), Told::Torn);
    let refs = Kioctx { percpu_refs: Some(0), ..by_refs_alone(0) };
    assert_eq!(refs.in_flight(), Told::Torn);
    let many = Kioctx { percpu_refs: Some(384), ..by_refs_alone(0) };
    assert_eq!((many.in_flight_by_refs(), many.in_flight()), (Told::Is(383), Told::Torn));
    let dying = Kioctx { ref_state: Some(RefState::Dead), ..with(0) };
    assert_eq!(dying.in_flight_by_refs(), Told::Torn);
    assert!([credits, refs, many, dying].iter().all(|fact| !fact.is_idle() && fact.tells_in_flight()));
}

/// Check that two witnesses that disagree are not idle, and a context that is known to be dead is not.
#[test]
fn not_idle() {
    assert!(!Kioctx { percpu_refs: Some(2), ..with(0) }.is_idle());
    assert!(!Kioctx { dead: Some(true), ..with(0) }.is_idle());
    assert!(Kioctx { dead: None, ..with(0) }.is_idle());
}

/// Check what bounds the completions that wait.
#[test]
fn bounds() {
    let fact =
        Kioctx { completed_events: Some(2), reqs_available: Some(377), percpu_refs: Some(4), ..with(0) };
    assert_eq!(fact.most_unreaped(), Some(5));
    assert_eq!(Kioctx { percpu_available: None, ..fact.clone() }.most_unreaped(), Some(5));
    assert_eq!(Kioctx { reqs_available: Some(400), ..fact.clone() }.most_unreaped(), Some(2));
    for lost in [
        Kioctx { completed_events: None, ..fact.clone() },
        Kioctx { percpu_available: None, percpu_refs: None, ..fact.clone() },
    ] {
        assert_eq!(lost.most_unreaped(), None);
        assert!(!lost.tells_unreaped());
    }
    assert!(fact.tells_unreaped());
    assert!(!Kioctx { tail: None, ..fact.clone() }.tells_unreaped());
    assert!(!Kioctx { nr_events: None, ..fact }.tells_unreaped());
}

/// Check what stands in for the place and the length of the ring.
#[test]
fn stand_ins() {
    let fact = with(0);
    assert_eq!((fact.base(), fact.ring_len(4096)), (AT, Some(12288)));
    let fact = Kioctx { mmap_base: None, mmap_size: None, ..fact };
    assert_eq!((fact.base(), fact.ring_len(4096)), (AT, Some(12288)));
    assert_eq!(Kioctx { nr_pages: None, ..fact.clone() }.ring_len(4096), None);
    assert_eq!(Kioctx { nr_pages: Some(u64::MAX), ..fact }.ring_len(4096), None);
}

/// Check what the end of a context waits for: its references once they are killed and counted in one place, the credits before, and nothing
/// that is made up.
#[test]
fn left() {
    let dying = |state, refs| Kioctx {
        dead: Some(true),
        ref_state: Some(state),
        percpu_refs: Some(0),
        atomic_refs: refs,
        ..with(4)
    };
    for state in [RefState::Dead, RefState::Atomic] {
        // Requests that completed since gave their references back; the credits may still say otherwise.
        assert_eq!(dying(state, Some(2)).left(), Told::Is(2));
        assert_eq!(dying(state, Some(0)).left(), Told::Is(0));
        // The bias of a count that is still per CPU (lib/percpu-refcount.c:PERCPU_COUNT_BIAS), and one below it.
        for refs in [i64::MIN, i64::MIN + 1, -1, i64::MAX, i64::from(u32::MAX) + 1] {
            assert_eq!(dying(state, Some(refs)).left(), Told::Is(4), "{refs}");
        }
        assert_eq!(dying(state, None).left(), Told::Is(4));
        assert_eq!(Kioctx { percpu_available: None, ..dying(state, None) }.left(), Told::Nothing);
        assert_eq!(Kioctx { reqs_available: Some(400), ..dying(state, None) }.left(), Told::Torn);
    }
    // Before the switch the count in one place says nothing, whatever it looks like.
    assert_eq!(dying(RefState::PerCpu, Some(2)).left(), Told::Is(4));
    assert_eq!(Kioctx { ref_state: None, ..dying(RefState::PerCpu, Some(2)) }.left(), Told::Is(4));
}

proptest! {
    /// Check that no numbers overflow, and that no more is in flight than the ring has room for.
    #[test]
    fn any_numbers(
        entries: Option<u32>, completed: Option<u32>, free: Option<i64>, percpu: Option<i64>, refs: Option<i64>,
        pages: Option<u64>, page: u32,
    ) {
        let fact = Kioctx {
            nr_events: entries,
            completed_events: completed,
            reqs_available: free,
            percpu_available: percpu,
            percpu_refs: refs,
            nr_pages: pages,
            mmap_size: None,
            ..with(0)
        };
        if let (Told::Is(count), Some(entries)) = (fact.in_flight(), entries) {
            prop_assert!(count < entries);
        }
        let _ = (fact.most_unreaped(), fact.ring_len(page), fact.is_idle(), fact.left());
    }
}
