use proptest::prelude::*;

use super::*;

/// A whole number of minutes.
const NOON: u64 = 1_769_860_800 * SECOND;
/// Cells at most: those of the fine hour and of the minute that is not over yet, and those of the rest; one more at each end.
const MOST_CELLS: usize = 360 + 6 + 300 + 2;

fn holders(all: &[(&str, u64)]) -> Holders {
    Holders::new(all.iter().map(|(name, slots)| ((*name).to_owned(), *slots)))
}

fn reserved(columns: &[Column]) -> Vec<Option<u64>> {
    columns.iter().map(|column| column.moment.as_ref().map(|moment| moment.reserved)).collect()
}

/// Check that the fullest moment stands for a cell, with its own owners, and that failures are added up.
#[test]
fn the_fullest_moment() {
    let mut history = History::default();
    history.look(NOON, 100, 1000, Some(holders(&[("a", 100)])));
    history.look(NOON + 3 * SECOND, 900, 1000, Some(holders(&[("a", 100), ("b", 800)])));
    history.look(NOON + 6 * SECOND, 50, 2000, Some(holders(&[("a", 50)])));
    history.failed(NOON + SECOND);
    history.failed(NOON + 9 * SECOND);
    history.failed(NOON + 10 * SECOND);
    let cells: Vec<&Cell> = history.cells().collect();
    assert_eq!(
        cells.iter().map(|cell| (cell.from_ns, cell.failures)).collect::<Vec<_>>(),
        [(NOON, 2), (NOON + FINE_NS, 1)]
    );
    let moment = cells[0].moment.as_ref().unwrap();
    assert_eq!((moment.reserved, moment.limit), (900, 1000));
    assert_eq!(moment.holders.as_ref().unwrap().owners().collect::<Vec<_>>(), [("b", 800), ("a", 100)]);
    assert_eq!(cells[1].moment, None);
}

/// Check that a fuller moment at which nobody looked takes no owner away, and that what came with it is nobody's.
#[test]
fn fuller_than_looked_at() {
    let mut history = History::default();
    let told = |history: &History| {
        let moment = history.cells().last().unwrap().moment.clone().unwrap();
        let of = |name| moment.holders.as_ref().map(|holders| holders.of(name));
        (moment.reserved, of("a"), moment.unattributed(), moment.unknown)
    };
    history.observe(NOON, 90, 1000);
    assert_eq!(told(&history), (90, None, None, 90));
    history.look(NOON, 100, 1000, Some(holders(&[("a", 80)])));
    assert_eq!(told(&history), (100, Some(80), Some(20), 0));
    history.observe(NOON + SECOND, 900, 1000);
    assert_eq!(told(&history), (900, Some(80), Some(20), 800));
    history.look(NOON + 2 * SECOND, 850, 1000, Some(holders(&[("a", 840)])));
    assert_eq!(told(&history), (900, Some(840), Some(10), 50));
    history.look(NOON + 3 * SECOND, 50, 1000, Some(holders(&[("a", 50)])));
    assert_eq!(told(&history), (900, Some(840), Some(10), 50));
    history.look(NOON + 4 * SECOND, 900, 1000, Some(holders(&[("a", 900)])));
    assert_eq!(told(&history), (900, Some(900), Some(0), 0));
}

/// Check that what is now is not what was the most in the last cell, and is forgotten after a while.
#[test]
fn now() {
    let mut history = History::default();
    history.look(NOON, 900, 1000, Some(holders(&[("a", 900)])));
    history.look(NOON + SECOND, 100, 1000, Some(holders(&[("a", 100)])));
    let now = |history: &History, second: u64| {
        let moment = history.now(NOON + second * SECOND, 20 * SECOND)?;
        Some((moment.reserved, moment.holders.as_ref().map(|holders| holders.of("a"))))
    };
    assert_eq!(now(&history, 1), Some((100, Some(100))));
    assert_eq!(
        (now(&history, 21), now(&history, 22), now(&history, 0)),
        (Some((100, Some(100))), None, None)
    );
    // Nobody looked yet.
    history.observe(NOON + 11 * SECOND, 50, 1000);
    assert_eq!(now(&history, 11), Some((50, None)));
    history.look(NOON + 12 * SECOND, 40, 1000, Some(holders(&[("a", 40)])));
    assert_eq!(now(&history, 12), Some((40, Some(40))));
    assert_eq!(History::default().now(NOON, SECOND), None);
}

/// Check that the last look says whose slots they are while their number does not change, and not for ever.
#[test]
fn who_did_not_change() {
    let mut history = History::default();
    assert!(history.wants_look(NOON, 7, 10 * SECOND, 60 * SECOND));
    history.look(NOON, 7, 9, Some(holders(&[("a", 7)])));
    let mut known = |seconds: u64, slots: u64| {
        history.observe(NOON + seconds * SECOND, slots, 9);
        let last = history.cells().last().unwrap();
        last.moment.as_ref().unwrap().holders.is_some()
    };
    assert_eq!(
        [known(10, 7), known(20, 8), known(30, 7), known(120, 7), known(130, 7)],
        [true, false, true, true, false]
    );
    let wants =
        |seconds: u64, slots| history.wants_look(NOON + seconds * SECOND, slots, 10 * SECOND, 60 * SECOND);
    assert_eq!([wants(59, 7), wants(60, 7), wants(9, 8), wants(10, 8)], [false, true, false, true]);
    // A look that told nothing is not tried again at once, and what was known before is not taken for it.
    history.look(NOON + 140 * SECOND, 7, 9, None);
    history.observe(NOON + 150 * SECOND, 7, 9);
    assert!(!history.wants_look(NOON + 150 * SECOND, 7, 10 * SECOND, 60 * SECOND));
    assert_eq!(history.cells().last().unwrap().moment.as_ref().unwrap().unknown, 7);
}

/// Check that the largest owners are told apart, and that nothing of the rest is lost.
#[test]
fn the_largest() {
    let many = Holders::new((0..50_u64).map(|n| (format!("o{n}"), n)));
    assert_eq!(many.owners().count(), MOST_OWNERS);
    assert_eq!(many.owners().next(), Some(("o49", 49)));
    assert_eq!((many.sum(), many.of("o49"), many.of("o1")), ((0..50).sum(), 49, 0));
    let long = Holders::new([("x".repeat(LONGEST_NAME + 1), 5), ("a".to_owned(), 1)]);
    assert_eq!((long.owners().collect::<Vec<_>>(), long.others()), (vec![("a", 1)], 5));
}

/// Check columns: of cells, of what is held for a while, of a gap, and of failures that fall into it.
#[test]
fn columns() {
    let mut history = History::default();
    for (second, slots) in [(0, 1), (10, 5), (20, 2), (100, 9)] {
        history.observe(NOON + second * SECOND, slots, 100);
    }
    history.failed(NOON + 70 * SECOND);
    let of = |step: u64, count, hold: u64| {
        history.columns(NOON + 119 * SECOND, step * SECOND, count, hold * SECOND)
    };
    let by_ten = of(10, 13, 0);
    let wanted = [None, Some(1), Some(5), Some(2), None, None, None, None, None, None, None, Some(9), None];
    assert_eq!(reserved(&by_ten), wanted);
    assert_eq!(by_ten.iter().map(|column| column.failures).collect::<Vec<_>>()[8], 1);
    assert_eq!(reserved(&of(10, 12, 20))[2..7], [Some(2), Some(2), Some(2), None, None]);
    // What is held takes no more place than there is, and makes nothing fuller.
    assert_eq!(reserved(&of(30, 4, 0)), [Some(5), None, None, Some(9)]);
    assert_eq!(reserved(&of(30, 4, 3600)), [Some(5), Some(2), Some(2), Some(9)]);
    assert_eq!(reserved(&of(60, 2, 0)), [Some(5), Some(9)]);
    assert_eq!(of(60, 0, 0), []);
    // A cell that is longer than a column fills all that it covers; its failures are counted once.
    let by_second = of(5, 24, 0);
    assert_eq!(reserved(&by_second)[..7], [Some(1), Some(1), Some(5), Some(5), Some(2), Some(2), None]);
    assert_eq!(by_second.iter().map(|column| column.failures).sum::<u64>(), 1);
}

/// Check that a clock that is set back takes what is in the future with it.
#[test]
fn set_back() {
    let mut history = History::default();
    for second in [0, 100, 200] {
        history.look(NOON + second * SECOND, second, 100, Some(Holders::default()));
    }
    history.observe(NOON + 105 * SECOND, 1, 100);
    assert_eq!(history.cells().map(|cell| (cell.from_ns - NOON) / SECOND).collect::<Vec<_>>(), [0, 100]);
    assert!(history.wants_look(NOON, 1, u64::MAX, u64::MAX));
}

/// Check a day of samples: what is kept, how fine, and that a peak of a moment stays where it was.
#[test]
fn a_day() {
    let mut history = History::default();
    for second in (0..86_400).step_by(5) {
        let slots = if second == 86_400 - 5 * 3600 { 999 } else { second / 3600 };
        history.observe(NOON + second * SECOND, slots, 1000);
    }
    let cells: Vec<&Cell> = history.cells().collect();
    assert!(cells.len() <= MOST_CELLS, "{}", cells.len());
    assert_eq!(cells.iter().filter(|cell| cell.step_ns == FINE_NS).count() / 10, 36);
    assert!(cells.windows(2).all(|pair| pair[0].end_ns() == pair[1].from_ns), "a gap");
    let peak = cells.iter().find(|cell| cell.moment.as_ref().unwrap().reserved == 999).unwrap();
    assert_eq!((peak.from_ns - NOON) / SECOND, 86_400 - 5 * 3600);
    let all = history.columns(NOON + 86_399 * SECOND, 180 * SECOND, 120, 0);
    assert!(all.iter().all(|column| column.moment.is_some()));
    assert_eq!(all.iter().filter_map(|column| column.moment.as_ref()).map(|of| of.reserved).max(), Some(999));
}

proptest! {
    /// Check that it stays bounded and in order whatever comes, that no failure of the time that is kept is lost, and that
    /// columns neither lose nor invent one.
    #[test]
    fn bounded(samples in proptest::collection::vec((0_u64..90, 0_u64..100, 0_u8..3), 1..1500), back in 0_u64..30_000) {
        let mut history = History::default();
        let (mut now, mut failed, mut peak) = (NOON, Vec::new(), Vec::new());
        for (seconds, slots, kind) in samples {
            now += seconds * SECOND;
            if kind == 0 {
                // A failure is told a little late.
                let at = now - 2 * SECOND;
                history.failed(at);
                failed.push(at);
            } else {
                if kind == 1 {
                    history.look(now, slots, 100, Some(holders(&[("a", slots)])));
                } else {
                    history.observe(now, slots, 100);
                }
                peak.push((now, slots));
            }
        }
        let cells: Vec<&Cell> = history.cells().collect();
        prop_assert!(cells.len() <= MOST_CELLS);
        prop_assert!(cells.windows(2).all(|pair| pair[0].end_ns() <= pair[1].from_ns));
        let since = history.since_ns().unwrap();
        let kept: u64 = cells.iter().map(|cell| cell.failures).sum();
        prop_assert_eq!(kept, failed.iter().filter(|at| **at >= since).count() as u64);
        let highest = cells.iter().filter_map(|cell| Some(cell.moment.as_ref()?.reserved)).max();
        prop_assert_eq!(highest, peak.iter().filter(|(at, _)| *at >= since).map(|(_, slots)| *slots).max());
        for step in [10, 30, 60, 180, 600] {
            let columns = history.columns(now, step * SECOND, 4000, 0);
            prop_assert_eq!(columns.iter().map(|column| column.failures).sum::<u64>(), kept);
            prop_assert_eq!(reserved(&columns).into_iter().flatten().max(), highest);
        }
        let earlier = now.saturating_sub(back * SECOND);
        history.observe(earlier, 1, 100);
        prop_assert!(history.cells().all(|cell| cell.from_ns <= earlier));
    }

    /// Check that no time and no number makes it panic.
    #[test]
    fn any_time(samples in proptest::collection::vec((any::<u64>(), any::<u64>(), any::<u64>()), 0..50), now: u64, step: u64, hold: u64) {
        let mut history = History::default();
        for (at, slots, limit) in samples {
            history.look(at, slots, limit, Some(holders(&[("a", slots), ("b", limit)])));
            history.failed(limit);
        }
        let columns = history.columns(now, step, 100, hold);
        prop_assert_eq!(columns.len(), 100);
    }
}
