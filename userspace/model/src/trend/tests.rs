//! Tests of `trend.rs` and `growth.rs`: what a watch sees that takes a picture a second.

use proptest::prelude::*;

use crate::evidence::Manner;
use crate::known::Fact;
use crate::specimen::{AT, evidence, kioctx, look, lose, ring, spoil, word};
use crate::trend::*;

const SECOND: u64 = 1_000_000_000;

/// A context with so many requests in flight.
fn busy(nth: u32, in_flight: u32, tail: u32) -> Kioctx {
    Kioctx {
        reqs_available: Some(382 - i64::from(in_flight)),
        percpu_refs: Some(1 + i64::from(in_flight)),
        tail: Some(tail),
        ..kioctx(AT + u64::from(nth) * 0x10000, nth)
    }
}

/// So many idle contexts that were never used.
fn idle(count: u32) -> Vec<Kioctx> {
    (0..count).map(|nth| busy(nth, 0, 0)).collect()
}

/// The history after pictures of these contexts at these seconds.
fn after(pictures: impl IntoIterator<Item = (u64, Vec<Kioctx>)>) -> History {
    let mut trend = Trend::default();
    for (second, contexts) in pictures {
        trend.observe(&word(contexts, second * SECOND), &[]);
    }
    trend.history()
}

/// The seconds from `from` to `to` at which contexts are called leaked, when their number is `count` of the second.
fn leaking(from: u64, to: u64, count: impl Fn(u64) -> u32) -> Vec<u64> {
    let mut trend = Trend::default();
    let mut seconds = Vec::new();
    for second in from..=to {
        trend.observe(&word(idle(count(second)), second * SECOND), &[]);
        if !trend.history().leaked.is_empty() {
            seconds.push(second);
        }
    }
    seconds
}

/// Check that a context which becomes stuck after the first picture is found, with the age of its own standstill.
#[test]
fn stuck_later() {
    let of =
        |second: u64| if second < 10 { busy(0, 3, u32::try_from(second).unwrap()) } else { busy(0, 3, 10) };
    let until = |last: u64| after((0..=last).map(|second| (second, vec![of(second), busy(1, 0, 5)]))).stuck;
    assert_eq!(until(14), BTreeMap::new());
    assert_eq!(until(15), BTreeMap::from([(key(&of(15)), 5 * SECOND)]));
    assert_eq!(until(70)[&key(&of(70))], 60 * SECOND);
}

/// Check that more submissions leave it stuck, and that a completion, a cancelled request or a torn reading begin anew.
#[test]
fn stuck_no_longer() {
    let then =
        |now: Kioctx| after([(0, vec![busy(0, 3, 7)]), (4, vec![now]), (8, vec![busy(0, 9, 7)])]).stuck.len();
    assert_eq!(then(busy(0, 5, 7)), 1);
    assert_eq!(then(busy(0, 3, 6)), 0, "the tail went round");
    assert_eq!(then(busy(0, 2, 7)), 0);
    assert_eq!(then(busy(0, 0, 7)), 0);
    assert_eq!(then(Kioctx { completed_events: Some(1), reqs_available: Some(378), ..busy(0, 3, 7) }), 0);
    assert_eq!(then(Kioctx { reqs_available: Some(1000), ..busy(0, 3, 7) }), 0);
    assert_eq!(then(busy(1, 3, 7)), 0, "it was away");
}

/// Check that a context made at the address of an old one is not taken for it: its ring is another file.
#[test]
fn same_address_again() {
    let pictures = |inodes: [u64; 3]| {
        let mut trend = Trend::default();
        for (second, inode) in [0, 3, 6].into_iter().zip(inodes) {
            trend.observe(&word(vec![busy(0, 1, 0)], second * SECOND), &[ring(AT, inode)]);
        }
        trend.history().stuck.len()
    };
    assert_eq!(pictures([7, 7, 7]), 1);
    assert_eq!(pictures([7, 8, 8]), 0);
    assert_eq!(pictures([7, 7, 8]), 0);
}

/// Check that a pool filled at the start is no leak, whether it was filled within a second, or slowly while we looked.
#[test]
fn startup_then_rest() {
    assert_eq!(leaking(0, 300, |_| 200), [0; 0]);
    assert_eq!(leaking(0, 300, |second| if second < 2 { 1 } else { 200 }), [0; 0]);
    assert_eq!(leaking(0, 300, |second| u32::try_from(second.min(4)).unwrap() * 50 + 1), [0; 0]);
}

/// Check that a pool filled for longer than that is let go after it rested for as long, and that one more context much later is none.
#[test]
fn slow_startup_then_rest() {
    let pool = |second: u64| u32::try_from(second.min(8)).unwrap() + 1;
    assert_eq!(leaking(0, 300, pool), (5..=16).collect::<Vec<_>>());
    assert_eq!(
        leaking(0, 900, |second| pool(second) + u32::from(second >= 600)),
        (5..=16).collect::<Vec<_>>()
    );
}

/// Check that one context each ten seconds is a leak from the third on, for as long as it goes on.
#[test]
fn slow_leak() {
    let count = |second: u64| u32::try_from(second / 10).unwrap() + 1;
    assert_eq!(leaking(0, 60, count), (30..=60).collect::<Vec<_>>());
    let history = after((0..=60).map(|second| (second, idle(count(second)))));
    assert_eq!((history.leaked.len(), history.grown), (6, (1, 7)), "the latest is new");
}

/// Check that a leak of several contexts at a time, with rests between, is one.
#[test]
fn leak_in_bursts() {
    let count = |second: u64| u32::try_from(second / 20 * 3 + (second % 20).min(3)).unwrap() + 1;
    let seen = leaking(0, 100, count);
    assert_eq!(seen.first(), Some(&21), "{seen:?}");
    assert!((41..=100).all(|second| seen.contains(&second)), "{seen:?}");
}

/// Check that a context used once clears all, and that one destroyed begins the count anew.
#[test]
fn used_or_destroyed() {
    let grow = |second: u64| u32::try_from(second).unwrap() + 1;
    let mut pictures: Vec<(u64, Vec<Kioctx>)> = (0..=10).map(|second| (second, idle(grow(second)))).collect();
    assert_eq!(after(pictures.clone()).leaked.len(), 10);
    let mut used = idle(12);
    used[3] = busy(3, 0, 1);
    assert_eq!(after(pictures.iter().cloned().chain([(11, used)])).leaked.len(), 0);
    let mut in_use = idle(12);
    in_use[3] = busy(3, 1, 0);
    assert_eq!(after(pictures.iter().cloned().chain([(11, in_use)])).leaked.len(), 0);

    let without_first = |second: u64| idle(grow(second)).split_off(1);
    pictures.extend((11..=15).map(|second| (second, without_first(second))));
    assert_eq!(after(pictures.clone()).leaked.len(), 0);
    pictures.push((16, without_first(16)));
    assert_eq!(after(pictures).grown, (11, 16));
}

/// Check that a process without contexts has no past, and that a torn picture is passed over.
#[test]
fn nothing_and_torn() {
    let count = |second: u64| if second == 5 { 0 } else { u32::try_from(second).unwrap() };
    assert_eq!(leaking(1, 10, count), [0; 0]);
    let mut trend = Trend::default();
    for second in 0..=6 {
        let mut word = word(vec![busy(0, 3, 7)], second * SECOND);
        if second == 3 {
            word.torn = true;
            word.contexts.clear();
        }
        trend.observe(&word, &[]);
    }
    assert_eq!(trend.history().stuck.len(), 1);
}

/// Check that two processes are kept apart, and that one which is gone is forgotten, also if another has its PID.
#[test]
fn of_the_host() {
    let at = |second: u64, start_ticks: u64| {
        let mut of = evidence(vec![look(Manner::Running, &[busy(0, 3, 7)])]);
        of.spaces[0].looks[0].before.as_mut().unwrap().begun_at.0 = second * SECOND;
        of.spaces[0].processes[0].start_ticks = start_ticks;
        of
    };
    let (first, other) = (at(0, 42), at(6, 43));
    let mut trends = Trends::default();
    trends.observe(&first);
    trends.observe(&at(6, 42));
    assert_eq!(trends.history(&first.spaces[0]).stuck.len(), 1);
    assert_eq!(trends.history(&other.spaces[0]), History::default());
    trends.observe(&other);
    assert_eq!(trends.spaces.len(), 1);
    assert_eq!(trends.history(&first.spaces[0]), History::default());
    trends.observe(&Evidence::default());
    assert_eq!(trends, Trends::default());
}

proptest! {
    /// Check that no more is remembered than the latest picture has, and that only what it has is accused.
    #[test]
    fn no_memory_of_the_gone(pictures in proptest::collection::vec(
        (0..20_000_000_000_u64, proptest::collection::btree_map(0..5_u32, (0..400_u32, 0..3_u32), 0..5), any::<bool>()), 0..12,
    )) {
        let mut trend = Trend::default();
        let mut latest = Vec::new();
        for (at, contexts, torn) in pictures {
            let contexts: Vec<Kioctx> =
                contexts.into_iter().map(|(nth, (in_flight, tail))| busy(nth, in_flight, tail)).collect();
            let mut word = word(contexts, at);
            word.torn = torn;
            trend.observe(&word, &[]);
            if !torn {
                latest = word.contexts.iter().map(key).collect();
            }
        }
        prop_assert!(trend.contexts.iter().map(|(key, _)| key).eq(latest.iter()));
        let history = trend.history();
        prop_assert!(history.stuck.keys().chain(&history.leaked).all(|key| latest.contains(key)));
    }
}

/// Check that where the kernel does not tell whether any completed, or whether a context was used, nothing is called stuck or leaked.
#[test]
fn what_is_not_known() {
    let history = |lost: &[Fact], busy: bool| {
        let mut trends = Trends::default();
        for (at, count) in [(1, 1), (2, 2), (3, 3), (1 + STUCK_AFTER, 4)] {
            let facts: Vec<Kioctx> = (0..count).map(|n| kioctx(AT + u64::from(n) * 0x10000, n)).collect();
            let mut it = evidence(vec![look(Manner::Running, &facts)]);
            if busy {
                spoil(&mut it, |fact| (fact.reqs_available, fact.percpu_refs) = (Some(380), Some(3)));
            }
            it.spaces[0].looks[0].before.as_mut().unwrap().begun_at.0 = at;
            lose(&mut it, lost);
            trends.observe(&it);
            if at > 3 {
                return trends.history(&it.spaces[0]);
            }
        }
        History::default()
    };
    assert_eq!((history(&[], true).stuck.len(), history(&[], false).leaked.len()), (1, 3));
    for lost in [&[Fact::Tail][..], &[Fact::CompletedEvents]] {
        assert_eq!((history(lost, true).stuck.len(), history(lost, false).leaked.len()), (0, 0), "{lost:?}");
    }
    let refs_alone = [Fact::PercpuAvailable];
    assert_eq!((history(&refs_alone, true).stuck.len(), history(&refs_alone, false).leaked.len()), (1, 3));
}
