//! Tests of `failure_fold.rs`.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::event::{Actor, Failure};
use crate::picture::Owner;
use crate::units::Tid;

const SECOND: u64 = 1_000_000_000;
const EAGAIN: i32 = 11;
const NOON: u64 = 1_769_860_800_000_000_000;

fn failed(at: u64, owner: &str, comm: &str, pid: u32, errno: i32) -> Timed {
    let owner = Some(Arc::new(Owner { unit: owner.to_owned(), ..Owner::default() }));
    let by = Actor { pid: Pid(pid), tid: Tid(pid), comm: comm.as_bytes().to_vec(), owner };
    let failure = Failure { errno, requested: 10, ..Failure::default() };
    Timed { at: Instant(at), unix_ns: NOON + at, event: Event::SetupFailed { by, failure } }
}

/// Takes a failure at the moment when it happens.
fn take(fold: &mut FailureFold, timed: Timed) -> bool {
    let now = timed.at;
    fold.take(timed, now).is_some()
}

/// Check a program that retries a thousand times a second for 25 seconds: its first failure at once, a number after a second and then
/// each ten seconds, that it has stopped, and nothing more.
#[test]
fn a_storm() {
    let mut fold = FailureFold::default();
    let mut told = Vec::new();
    let mut at_once = 0;
    for nth in 0..25_000_u64 {
        let now = nth * SECOND / 1000;
        if fold.due().is_some_and(|due| due <= Instant(now)) {
            told.extend(fold.told(Instant(now)));
        }
        at_once += u64::from(take(&mut fold, failed(now, "db.service", "mysqld", 7, EAGAIN)));
    }
    assert_eq!(at_once, 1);
    for second in 25..60 {
        told.extend(fold.told(Instant(second * SECOND)));
    }
    let said: Vec<(u64, u64, u64)> =
        told.iter().map(|of| (of.count, of.over_ns / SECOND, of.quiet_ns / SECOND)).collect();
    assert_eq!(said, [(999, 1, 0), (10_000, 10, 0), (10_000, 10, 0), (4_000, 10, 6), (0, 10, 16)]);
    assert_eq!(1 + told.iter().map(|of| of.count).sum::<u64>(), 25_000);
    let last = told.last().unwrap();
    assert_eq!((last.total, last.since_unix_ns, last.processes), (25_000, NOON, 1));
    assert_eq!((told[1].unix_ns, told[1].last.event.word()), (NOON + 11 * SECOND, "setup-failed"));
    assert_eq!((fold.due(), fold.ended(Instant(99 * SECOND))), (None, vec![]));
}

/// Check that owners, programs, errnos and causes are told apart, and processes are not, and that one that failed once is not told twice.
#[test]
fn kinds() {
    let mut fold = FailureFold::default();
    assert!(take(&mut fold, failed(0, "a.service", "mysqld", 1, EAGAIN)));
    assert!(!take(&mut fold, failed(1, "a.service", "mysqld", 2, EAGAIN)));
    assert!(take(&mut fold, failed(2, "b.service", "mysqld", 3, EAGAIN)));
    assert!(take(&mut fold, failed(3, "a.service", "nginx", 4, EAGAIN)));
    assert!(take(&mut fold, failed(4, "a.service", "mysqld", 1, 22)));
    let mut above = failed(5, "a.service", "mysqld", 1, EAGAIN);
    if let Event::SetupFailed { failure, .. } = &mut above.event {
        failure.limit = Some(9);
    }
    assert!(take(&mut fold, above));
    let ended = fold.told(Instant(SECOND + 5));
    assert_eq!(ended.len(), 1, "{ended:?}");
    assert_eq!((ended[0].count, ended[0].processes, ended[0].mixed), (1, 2, false));
    // The one that repeated has stopped; of the others nothing is left to say.
    let stopped = fold.told(Instant(12 * SECOND));
    assert_eq!(stopped.iter().map(|of| (of.count, of.total)).collect::<Vec<_>>(), [(0, 2)]);
    assert_eq!(fold.due(), None);
    // After that it is the first again.
    assert!(take(&mut fold, failed(20 * SECOND, "b.service", "mysqld", 3, EAGAIN)));
}

/// Check that a repeat that comes late is told a second later, and those after it each ten seconds.
#[test]
fn a_late_repeat() {
    let mut fold = FailureFold::default();
    assert!(take(&mut fold, failed(0, "a", "x", 1, EAGAIN)));
    let mut lines = Vec::new();
    for second in 1..30 {
        lines.extend(fold.told(Instant(second * SECOND)).iter().map(|of| (second, of.count)));
        if second >= 5 {
            assert!(!take(&mut fold, failed(second * SECOND, "a", "x", 1, EAGAIN)));
        }
    }
    assert_eq!(lines, [(6, 1), (16, 10), (26, 10)]);
}

/// Check that what is no failure is told as it is, and that the end of the watch tells what was not told.
#[test]
fn the_end() {
    let mut fold = FailureFold::default();
    let lost = Timed { at: Instant(0), unix_ns: 0, event: Event::Lost { count: 3 } };
    assert_eq!(fold.take(lost.clone(), Instant(0)), Some(lost));
    assert!(take(&mut fold, failed(0, "a", "x", 1, EAGAIN)));
    assert!(!take(&mut fold, failed(1, "a", "x", 1, EAGAIN)));
    assert!(!take(&mut fold, failed(2, "a", "x", 1, EAGAIN)));
    let ended = fold.ended(Instant(SECOND / 2));
    assert_eq!(ended.iter().map(|of| (of.count, of.over_ns)).collect::<Vec<_>>(), [(2, SECOND / 2)]);
    assert_eq!(fold.ended(Instant(SECOND)), []);
}

/// Check that kinds are bounded, and that those beyond are counted together, from the first one on.
#[test]
fn too_many_kinds() {
    let mut fold = FailureFold::default();
    let first = (0..1000).filter(|nth| {
        let owner = format!("unit-{nth}");
        take(&mut fold, failed(u64::from(*nth), &owner, "x", *nth, EAGAIN))
    });
    assert_eq!(first.count(), MOST_KINDS);
    let told = fold.told(Instant(2 * SECOND));
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].mixed, told[0].count), (true, 1000 - MOST_KINDS as u64));
    assert_eq!(told[0].processes, MOST_PROCESSES);
    // Once all is quiet, nothing is kept.
    assert_eq!(fold.told(Instant(20 * SECOND)).iter().map(|of| of.count).collect::<Vec<_>>(), [0]);
    assert_eq!(fold.due(), None);
}

proptest! {
    /// Check with any failures at any times that none is lost from the counts, and that a line is owed as long as something is not told.
    #[test]
    fn nothing_is_lost(steps in proptest::collection::vec((0..3_u8, 0..400_u32, 0..6 * SECOND), 1..600)) {
        let mut fold = FailureFold::default();
        let (mut now, mut made, mut counted) = (0_u64, 0_u64, 0_u64);
        for (errno, owner, later) in steps {
            now += later;
            counted += fold.told(Instant(now)).iter().map(|of| of.count).sum::<u64>();
            made += 1;
            let timed = failed(now, &format!("{owner}"), "x", owner, i32::from(errno));
            counted += u64::from(take(&mut fold, timed));
            prop_assert!(fold.due().is_some());
        }
        counted += fold.ended(Instant(now)).iter().map(|of| of.count).sum::<u64>();
        prop_assert_eq!(counted, made);
    }
}
