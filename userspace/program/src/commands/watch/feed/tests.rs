//! Tests of `watch_feed.rs`.

use crate::commands::watch::feed::*;
use aioinspect_model::evidence::Doing;
use aioinspect_model::kioctx::{Kioctx, RefState};
use aioinspect_model::specimen;
use aioinspect_model::units::ContextId;

/// Check that of a recorded evidence a wait that was under way is told as such, with its age then, and never as a context that existed.
#[test]
fn a_recorded_wait() {
    let mut evidence = specimen::idle();
    let before = recorded(&evidence).events;
    evidence.system.taken_at_unix_ns = 9_000_000_000;
    let space = &mut evidence.spaces[0];
    let (pid, comm) = (space.processes[0].pid, space.processes[0].comm.clone());
    let fact = Kioctx {
        user_id: ContextId(0x1000),
        max_reqs: Some(16),
        ref_state: Some(RefState::Dead),
        atomic_refs: Some(4),
        ..Kioctx::default()
    };
    let wait = Wait {
        tid: Tid(8),
        pid,
        doing: Doing::Destroy,
        asleep_ns: Some(2_000_000_000),
        left: Some(1),
        contexts: vec![fact],
        ..Wait::default()
    };
    for look in &mut space.looks {
        for word in look.before.iter_mut().chain(&mut look.after) {
            word.waits = vec![wait.clone()];
        }
    }
    let events = recorded(&evidence).events;
    assert_eq!(events.len(), before.len() + 1);
    let Some(Timed { unix_ns: 7_000_000_000, event: Event::Dying { by, of, waited_ns, .. }, .. }) =
        events.last()
    else {
        panic!("{events:#?}")
    };
    assert_eq!((by.pid, &by.comm, of.in_flight, *waited_ns), (pid, &comm, Some(4), Some(2_000_000_000)));
    assert!(events.iter().rev().skip(1).all(|timed| timed.event.word() == "existing"), "{events:#?}");
}
