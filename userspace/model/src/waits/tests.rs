//! Tests of `waits.rs`.

use crate::event::Failure;
use crate::kioctx::{Kioctx, RefState};
use crate::waits::*;

const SECOND: u64 = 1_000_000_000;

fn kioctx(id: u64, left: i64) -> Kioctx {
    Kioctx {
        user_id: ContextId(id),
        max_reqs: Some(16),
        ref_state: Some(RefState::Dead),
        atomic_refs: Some(left),
        ..Kioctx::default()
    }
}

fn destroy(asleep_ns: Option<u64>, left: i64) -> Wait {
    Wait {
        tid: Tid(8),
        pid: Pid(7),
        doing: Doing::Destroy,
        id: Some(ContextId(0x1000)),
        asleep_ns,
        left: Some(1),
        contexts: vec![kioctx(0x1000, left)],
    }
}

fn who(wait: &Wait) -> Actor {
    Actor { pid: wait.pid, tid: wait.tid, ..Actor::default() }
}

/// What a look tells, in short: when, the word, and the context.
fn told(waits: &mut Waits, at: u64, found: &[Wait]) -> Vec<(u64, &'static str, u64)> {
    let events = waits.look(Instant(at), found, false, who);
    let context = |event: &Event| {
        if let Event::Dying { of, .. } = event {
            return of.context.0;
        }
        let Event::Gone { context, .. } = event else { panic!("{event:?}") };
        context.0
    };
    events.into_iter().map(|(at, event)| (at.0, event.word(), context(&event))).collect()
}

fn ended(at: u64, context: u64) -> Timed {
    let by = Actor { pid: Pid(7), tid: Tid(8), ..Actor::default() };
    let event = Event::Destroy { by, context: ContextId(context), max_reqs: 16, took_ns: 1 };
    Timed { at: Instant(at), unix_ns: 0, event }
}

/// Check that a wait with requests is told at once, dated when it began, and once; and that its end is dated by the event of the call.
#[test]
fn from_begin_to_end() {
    let mut waits = Waits::default();
    assert!(!waits.is_any());
    assert_eq!(told(&mut waits, 1000, &[destroy(Some(10), 4)]), [(990, "dying", 0x1000)]);
    assert!(waits.is_any());
    assert_eq!(told(&mut waits, 1250, &[destroy(Some(260), 2)]), []);
    // Of another thread, and of another context: neither is its end.
    let mut of_other = ended(1300, 0x1000);
    let Event::Destroy { by, .. } = &mut of_other.event else { unreachable!() };
    by.tid = Tid(9);
    waits.hear(&of_other);
    waits.hear(&ended(1300, 0x2000));
    assert_eq!(told(&mut waits, 1350, &[destroy(Some(360), 1)]), []);
    waits.hear(&ended(1400, 0x1000));
    let events = waits.look(Instant(1500), &[], false, who);
    let gone = Event::Gone { by: who(&destroy(None, 0)), context: ContextId(0x1000), waited_ns: 410 };
    assert_eq!(events, [(Instant(1400), gone)]);
    assert!(!waits.is_any());
    assert_eq!(told(&mut waits, 1600, &[]), []);
}

/// Check that an end without an event is dated by the look that missed it, told by the next one, or at once if none follows; and that one look that
/// fails ends nothing.
#[test]
fn an_end_that_nobody_tells() {
    let mut waits = Waits::default();
    told(&mut waits, 1000, &[destroy(Some(10), 4)]);
    assert_eq!(told(&mut waits, 1100, &[]), []);
    assert_eq!(told(&mut waits, 1200, &[destroy(Some(210), 4)]), []);
    assert_eq!(told(&mut waits, 1300, &[]), []);
    assert_eq!(told(&mut waits, 1400, &[]), [(1300, "gone", 0x1000)]);
    told(&mut waits, 2000, &[destroy(Some(10), 4)]);
    assert_eq!(waits.look(Instant(2100), &[], true, who).len(), 1);
}

/// Check that the event of the call counts although it comes after the look that missed the wait.
#[test]
fn an_event_that_comes_late() {
    let mut waits = Waits::default();
    told(&mut waits, 1000, &[destroy(Some(10), 4)]);
    assert_eq!(told(&mut waits, 1300, &[]), []);
    waits.hear(&ended(1290, 0x1000));
    assert_eq!(told(&mut waits, 1400, &[]), [(1290, "gone", 0x1000)]);
}

/// Check that the wait of every io_destroy for RCU is no event, and that one which goes on is, with its whole age.
#[test]
fn a_grace_period() {
    let mut waits = Waits::default();
    assert_eq!(told(&mut waits, SECOND, &[destroy(Some(30_000_000), 0)]), []);
    assert!(!waits.is_any());
    assert_eq!(told(&mut waits, SECOND + 1, &[]), []);
    let old = destroy(Some(SECOND), 0);
    let events = waits.look(Instant(9 * SECOND), &[old], false, who);
    let [(at, Event::Dying { waited_ns, .. })] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((*at, *waited_ns), (Instant(8 * SECOND), Some(SECOND)));
    // Where the kernel does not say how long, it is counted from the first look.
    let mut waits = Waits::default();
    assert_eq!(told(&mut waits, SECOND, &[destroy(None, 0)]), []);
    let events = waits.look(Instant(2 * SECOND), &[destroy(None, 0)], false, who);
    assert!(
        matches!(events.as_slice(), [(Instant(SECOND), Event::Dying { waited_ns: None, .. })]),
        "{events:?}"
    );
}

/// Check that a second io_destroy of the same thread and id is another wait: by the event of the first, and without it by its age.
#[test]
fn one_after_the_other() {
    for hears in [true, false] {
        let mut waits = Waits::default();
        told(&mut waits, 1000, &[destroy(Some(300), 4)]);
        if hears {
            waits.hear(&ended(1010, 0x1000));
        }
        let over = if hears { 1010 } else { 1100 };
        assert_eq!(
            told(&mut waits, 1200, &[destroy(Some(100), 4)]),
            [(over, "gone", 0x1000), (1100, "dying", 0x1000)]
        );
        // An event from before it began is not its end.
        waits.hear(&ended(1050, 0x1000));
        assert_eq!(told(&mut waits, 1400, &[destroy(Some(300), 4)]), []);
        assert!(waits.is_any());
    }
}

/// Check that a process that exits is told with each context that was found and one event for the rest, and that its exit ends them all.
#[test]
fn an_exit() {
    let mut wait = destroy(Some(10), 4);
    (wait.doing, wait.id, wait.left) = (Doing::Exit, None, Some(3));
    let all: Vec<Awaited> = awaited(&wait).collect();
    assert_eq!(all.iter().map(|of| of.contexts).collect::<Vec<_>>(), [Some(1), Some(2)]);
    assert_eq!(
        all[1],
        Awaited { context: ContextId::UNKNOWN, contexts: Some(2), max_reqs: None, in_flight: None }
    );
    let mut waits = Waits::default();
    assert_eq!(told(&mut waits, 1000, std::slice::from_ref(&wait)), [(990, "dying", 0x1000)]);
    wait.asleep_ns = Some(2 * SECOND);
    let later = 990 + 2 * SECOND;
    assert_eq!(told(&mut waits, later, std::slice::from_ref(&wait)), [(990, "dying", 0)]);
    // A failed call, or the end of a program, of the same process is not its exit.
    let by = who(&wait);
    let failure = Failure::default();
    for event in [Event::SetupFailed { by: by.clone(), failure }, Event::Exec { by: by.clone(), contexts: 3 }]
    {
        waits.hear(&Timed { at: Instant(later), unix_ns: 0, event });
    }
    assert_eq!(told(&mut waits, later + 1, &[wait]), []);
    waits.hear(&Timed { at: Instant(later + 5), unix_ns: 0, event: Event::Exit { by, contexts: 3 } });
    assert_eq!(told(&mut waits, later + 9, &[]), [(later + 5, "gone", 0x1000), (later + 5, "gone", 0)]);
}

/// Check what is told where nothing but the state is known.
#[test]
fn nothing_is_known() {
    let blind = Wait { doing: Doing::Exit, asleep_ns: Some(SECOND), ..Wait::default() };
    let all: Vec<Awaited> = awaited(&blind).collect();
    assert_eq!(
        all,
        [Awaited { context: ContextId::UNKNOWN, contexts: None, max_reqs: None, in_flight: None }]
    );
    assert_eq!(told(&mut Waits::default(), SECOND, &[blind]), [(0, "dying", 0)]);
    // All that are left were found.
    assert_eq!(awaited(&destroy(None, 1)).count(), 1);
    assert_eq!(awaited(&Wait { left: None, ..destroy(None, 1) }).count(), 1);
}
