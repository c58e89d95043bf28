//! Tests of `owner_growth.rs`.

use proptest::prelude::*;

use super::*;
use crate::picture::Owner;

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
/// As often as a watch looks.
const EVERY: u64 = 30 * SECOND;

fn unit(name: &str, contexts: u64, slots: u64) -> Holder {
    let owner = Owner { unit: name.into(), ..Owner::default() };
    let contexts = usize::try_from(contexts).unwrap();
    Holder { pid: Pid(7), comm: b"x".to_vec(), owner, processes: 1, contexts, slots }
}

fn fold() -> OwnerGrowth {
    OwnerGrowth::after(Duration::from_nanos(GROWS_AFTER))
}

/// One owner with contexts of 10 slots, over so long a time; when it was seen to grow.
fn seen_to_grow(hours: u64, contexts: impl Fn(u64) -> u64) -> Vec<(u64, Growing)> {
    let mut fold = fold();
    let mut seen = Vec::new();
    for at in (0..hours * HOUR).step_by(usize::try_from(EVERY).unwrap()) {
        let count = contexts(at);
        fold.observe(Instant(5 + at), at, &[unit("a.service", count, count * 10)], 60_000);
        seen.extend(fold.growing().into_iter().map(|growing| (at, growing)));
    }
    seen
}

/// Check that a context more every ten minutes is seen after the time that is asked for, with since when, how fast and until when.
#[test]
fn a_slow_leak() {
    let seen = seen_to_grow(10, |at| 100 + at / (10 * MINUTE));
    let (first, growing) = seen.first().unwrap();
    assert!((3 * HOUR..4 * HOUR).contains(first), "windows of six minutes rise not each time: {first}");
    assert_eq!((growing.since.contexts, growing.since.unix_ns), (100, 0));
    assert!(growing.more_slots() >= 180 && growing.more_contexts() >= 18, "{growing:?}");
    let rate = growing.rate.per_hour();
    assert!((54.0..66.0).contains(&rate), "{rate} slots an hour are 60");
    let limit = growing.limit_in_ns.unwrap() / HOUR;
    assert!((900..1100).contains(&limit), "{limit} hours are 1000");
}

/// Check that one context more a day is seen within a week, and one a minute within the hour, and at once not any more when it ends.
#[test]
fn slower_and_faster() {
    let day = seen_to_grow(24 * 8, |at| 5 + at / (20 * HOUR));
    assert!(day.first().is_some_and(|(at, _)| *at < 7 * 24 * HOUR), "{:?}", day.first());
    let fast = seen_to_grow(4, |at| 5 + at.min(2 * HOUR) / MINUTE);
    let (first, last) = (fast.first().unwrap(), fast.last().unwrap());
    assert!(first.0 <= 36 * MINUTE && first.1.since.contexts == 5, "{first:?}");
    assert!((590.0..610.0).contains(&first.1.rate.per_hour()), "{first:?}");
    assert!(last.0 <= 2 * HOUR + 15 * MINUTE, "it goes on to be said for {last:?}");
}

/// Check that a start is no growth, be it at once, in steps, or late, and that a start before a slow growth does not spoil its rate.
#[test]
fn a_start() {
    assert_eq!(seen_to_grow(24, |at| if at < 2 * HOUR { 1 } else { 5000 }), []);
    assert_eq!(seen_to_grow(24, |at| 1 + 100 * (at / MINUTE).min(18)), []);
    let seen = seen_to_grow(24, |at| if at < 3 * MINUTE { 1 } else { 5000 + at / MINUTE });
    let rate = seen.first().unwrap().1.rate.per_hour();
    assert!((590.0..610.0).contains(&rate), "{rate}");
}

/// Check that what takes and gives back for hours is told of once at most, while nobody can know that it will give back.
#[test]
fn a_long_sawtooth() {
    let tooth = 3 * HOUR;
    let seen = seen_to_grow(48, |at| 10 + (at % tooth) / MINUTE);
    assert!(seen.iter().all(|(at, _)| *at < tooth + 15 * MINUTE), "{:?}", seen.last());
    assert!(!seen.is_empty());
}

/// Check that what ends and returns begins anew, also where it returns larger each time.
#[test]
fn ends_and_returns() {
    let mut fold = fold();
    for round in 0..200_u64 {
        let at = round * 7 * MINUTE;
        let owners = [unit("a.service", 10 + round, 100 + round * 10)];
        fold.observe(Instant(at), at, &owners, 60_000);
        fold.observe(Instant(at + MINUTE), at, &[], 60_000);
        assert_eq!(fold.growing(), []);
    }
}

/// Check that a clock that goes back, and a time without looks, make nothing of nothing.
#[test]
fn time() {
    let mut fold = fold();
    for at in [100 * HOUR, HOUR, 2 * HOUR, 100 * HOUR, 100 * HOUR, 500 * HOUR, u64::MAX] {
        fold.observe(Instant(at), 0, &[unit("a.service", 1, at / HOUR)], 1);
        assert_eq!(fold.growing(), []);
    }
}

/// Check that growth is told when it begins and then seldom, and that all that grow are one sum towards the limit.
#[test]
fn told() {
    let mut fold = fold();
    let mut told = Vec::new();
    for at in (0..72 * HOUR).step_by(usize::try_from(EVERY).unwrap()) {
        let count = 10 + at / MINUTE;
        let owners = [unit("a.service", count, count * 10), unit("b.service", count, count * 20)];
        fold.observe(Instant(at), at, &owners, 1800);
        told.extend(fold.news().into_iter().map(|growing| (at, growing)));
    }
    let of_b: Vec<u64> =
        told.iter().filter(|(_, one)| one.owner.owner.unit == "b.service").map(|(at, _)| at / HOUR).collect();
    assert_eq!(of_b, [0, 1, 2, 4, 8, 16, 32, 56], "hours");
    // 30 a minute, and 1800 free.
    let (_, first) = told.first().unwrap();
    assert_eq!(first.owner.owner.unit, "b.service");
    let minutes = first.limit_in_ns.unwrap() / MINUTE;
    assert!((59..=61).contains(&minutes), "{minutes}");
}

/// Check that contexts are counted where slots are not known, and that then nothing is said of the limit.
#[test]
fn without_slots() {
    let mut fold = fold();
    for at in (0..HOUR).step_by(usize::try_from(EVERY).unwrap()) {
        fold.observe(Instant(at), at, &[unit("a.service", 10 + at / MINUTE, 0)], 1000);
    }
    let growing = fold.growing();
    assert_eq!(growing.len(), 1);
    assert_eq!((growing[0].limit_in_ns, growing[0].more_slots()), (None, 0));
    assert!((59.0..61.0).contains(&growing[0].rate.per_hour()), "{growing:?}");
}

/// Check that no more owners are kept than may be, and those without a name by their process.
#[test]
fn bounded() {
    let mut fold = fold();
    let owners: Vec<Holder> =
        (0..5000).map(|nth| Holder { pid: Pid(nth), owner: Owner::default(), ..unit("", 1, 1) }).collect();
    fold.observe(Instant(1), 1, &owners, 0);
    assert_eq!(fold.owners.len(), MOST_OWNERS);
    let levels = fold.owners.values().flat_map(|known| &known.levels);
    assert_eq!(levels.count(), MOST_OWNERS * LEVELS);
}

proptest! {
    /// Check that whatever it is fed it does not panic, keeps little, and says nothing that the numbers do not.
    #[test]
    fn any_looks(looks in proptest::collection::vec((any::<u64>(), 0_u64..9, any::<u64>(), any::<i64>()), 0..80), after in 0_u64..1_000) {
        let mut fold = OwnerGrowth::after(Duration::from_nanos(after));
        for (at, contexts, slots, free) in looks {
            fold.observe(Instant(at), at, &[unit("a.service", contexts, slots), unit("b.service", 1, 1)], free);
            prop_assert!(fold.news().len() <= 2);
            for one in fold.growing() {
                prop_assert!(one.rate.per_hour().is_finite() && one.owner.owner.unit == "a.service");
            }
        }
    }

    /// Check that what stays, and what is taken and given back within half an hour, never grows.
    #[test]
    fn constant_and_sawtooth(base in 1_u64..5000, height in 0_u64..5000, period in 1_u64..24) {
        let seen = seen_to_grow(24, |at| base + height * (at % (period * MINUTE)) / (period * MINUTE));
        prop_assert_eq!(seen.first(), None);
    }

    /// Check that what grows evenly is found as soon as it should be, with the right rate, and until it ends.
    #[test]
    fn linear(base in 1_u64..5000, per_hour in 60_u64..5000) {
        let seen = seen_to_grow(3, |at| base + per_hour * (at / SECOND) / 3600);
        let (first, growing) = seen.first().unwrap();
        prop_assert!(*first <= 31 * MINUTE, "{}", first);
        // Ten slots a context.
        let (is, should) = (growing.rate.per_hour(), f64::from(u32::try_from(per_hour * 10).unwrap()));
        prop_assert!((is - should).abs() <= should * 0.12, "{} is not {}", is, should);
        prop_assert_eq!(seen.last().unwrap().0, 3 * HOUR - EVERY);
        prop_assert_eq!(growing.since.contexts, base);
    }
}
