//! Rings in all positions, and of all sizes.

use proptest::prelude::*;

use crate::screen::ring::*;
use crate::screen::specimen::context;

fn ring(entries: u32, head: Option<u32>, tail: Option<u32>, done: Option<u32>, flight: Option<u32>) -> Ring {
    let view = ContextView {
        nr_events: Some(entries),
        head,
        tail,
        unreaped: done,
        in_flight: flight,
        ..context(1, 0x1000)
    };
    Ring::of(&view).unwrap()
}

fn text(band: &Band) -> String {
    let sign = |entry: &Entry| match entry {
        Entry::Done => '#',
        Entry::Flight => '=',
        Entry::Free => '.',
        Entry::Unknown => '?',
    };
    band.cells.iter().map(sign).collect()
}

/// Check a entry a cell: head before tail, after it, and equal to it.
#[test]
fn each_entry() {
    let drawn = |head, tail, done, flight| {
        let band = ring(8, Some(head), Some(tail), Some(done), Some(flight)).band(80);
        assert_eq!(band.entries_a_cell, 1);
        (text(&band), band.head.unwrap(), band.tail.unwrap())
    };
    assert_eq!(drawn(1, 4, 3, 2), (".###==..".to_owned(), 1, 4));
    assert_eq!(drawn(6, 1, 3, 2), ("#==...##".to_owned(), 6, 1));
    assert_eq!(drawn(7, 7, 0, 3), ("==.....=".to_owned(), 7, 7));
    assert_eq!(drawn(0, 0, 0, 0), ("........".to_owned(), 0, 0));
    assert_eq!(drawn(0, 7, 7, 0), ("#######.".to_owned(), 0, 7));
}

/// Check that what is not known is drawn as such, and what is known beside it.
#[test]
fn unknown() {
    let drawn = |head, tail, done, flight| {
        let band = ring(8, head, tail, done, flight).band(8);
        (text(&band), band.head, band.tail)
    };
    // Without head the rest of the ring may hold anything.
    assert_eq!(drawn(None, Some(2), None, Some(2)), ("??==????".to_owned(), None, Some(2)));
    // Without BPF nothing is known of requests in flight.
    assert_eq!(drawn(Some(1), Some(3), Some(2), None), ("?##?????".to_owned(), Some(1), Some(3)));
    assert_eq!(drawn(None, None, None, None), ("????????".to_owned(), None, None));
    // A head outside of the ring is no place in it.
    assert_eq!(drawn(Some(8), Some(3), None, Some(0)), ("????????".to_owned(), None, Some(3)));
    assert_eq!(drawn(Some(9), Some(u32::MAX), Some(3), Some(2)), ("????????".to_owned(), None, None));
}

/// Check that a cell of many entries shows what most of them hold, and that one among thousands is seen.
#[test]
fn many_entries_a_cell() {
    let drawn = |done, flight, width| {
        let tail = done;
        text(&ring(4000, Some(0), Some(tail), Some(done), Some(flight)).band(width))
    };
    assert_eq!(drawn(2000, 1000, 8), "####==..");
    assert_eq!(drawn(0, 1, 8), "=.......");
    assert_eq!(drawn(1, 0, 8), "#.......");
    assert_eq!(drawn(1, 1, 8), "#=......");
    assert_eq!(drawn(3999, 0, 8), "########");
    assert_eq!(drawn(3000, 1, 8), "######=.");
    assert_eq!(ring(4223, Some(0), Some(0), Some(0), Some(0)).band(70).entries_a_cell, 61);
}

/// Check that a context without a ring has none drawn.
#[test]
fn no_ring() {
    assert_eq!(Ring::of(&ContextView { nr_events: None, ..context(1, 1) }), None);
    assert_eq!(Ring::of(&ContextView { nr_events: Some(0), ..context(1, 1) }), None);
}

proptest! {
    /// Check that nothing that is there is hidden in two cells or more, and that a entry a cell is counted exactly.
    #[test]
    fn any_ring(entries in 1_u32..5000, head: u32, tail: u32, flight in 0_u32..6000, width in 0_usize..300) {
        let (head, tail) = (head % entries, tail % entries);
        let done = (tail + entries - head) % entries;
        let band = ring(entries, Some(head), Some(tail), Some(done), Some(flight)).band(width);
        prop_assert_eq!(band.cells.len(), width.min(entries as usize));
        if width >= 2 && entries >= 2 {
            prop_assert_eq!(band.cells.contains(&Entry::Done), done > 0);
            prop_assert_eq!(band.cells.contains(&Entry::Flight), flight > 0);
        }
        if width >= entries as usize {
            let count = |wanted| band.cells.iter().filter(|entry| **entry == wanted).count();
            prop_assert_eq!(count(Entry::Done), done as usize);
            prop_assert_eq!(count(Entry::Flight), flight.min(entries - done) as usize);
            prop_assert_eq!((band.head, band.tail), (Some(head as usize), Some(tail as usize)));
        }
    }

    /// Check that no claim of a process makes it fail.
    #[test]
    fn hostile(entries: u32, head: Option<u32>, tail: Option<u32>, done: Option<u32>, flight: Option<u32>, width in 0_usize..100) {
        let view = ContextView { nr_events: Some(entries), head, tail, unreaped: done, in_flight: flight, ..context(1, 1) };
        if let Some(ring) = Ring::of(&view) {
            prop_assert!(ring.band(width).cells.len() <= width);
        }
    }
}
