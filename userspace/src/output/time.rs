//! Instants as text, always UTC: logs of several hosts are read side by side.

use jiff::Timestamp;

/// `2026-01-31T12:00:00.000000001Z`: always nine digits of a second, so that texts sort as times do.
pub fn full(unix_ns: u64) -> String {
    format!("{:.9}", timestamp(unix_ns))
}

/// `12:00:00.000001Z`: for one who looks on.
pub fn of_day(unix_ns: u64) -> String {
    format!("{}Z", timestamp(unix_ns).strftime("%H:%M:%S.%6f"))
}

/// `12 s`, `2 min 5 s`, `3 h 5 min`: how long something has gone on, cut off and not rounded. page.js does the same.
pub fn age(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match (minutes, hours) {
        (0, _) => format!("{seconds} s"),
        (_, 0) => format!("{minutes} min {} s", seconds % 60),
        (_, _) => format!("{hours} h {} min", minutes % 60),
    }
}

fn timestamp(unix_ns: u64) -> Timestamp {
    // u64 ends in the year 2554, Timestamp in 9999.
    Timestamp::from_nanosecond(i128::from(unix_ns)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Check times whose text is known, both ends of the range among them.
    #[test]
    fn known() {
        let table = [
            (0, "1970-01-01T00:00:00.000000000Z", "00:00:00.000000Z"),
            (1_769_860_800_000_000_001, "2026-01-31T12:00:00.000000001Z", "12:00:00.000000Z"),
            (1_709_210_096_120_000_000, "2024-02-29T12:34:56.120000000Z", "12:34:56.120000Z"),
            (u64::MAX, "2554-07-21T23:34:33.709551615Z", "23:34:33.709551Z"),
        ];
        for (unix_ns, long, short) in table {
            assert_eq!((&*full(unix_ns), &*of_day(unix_ns)), (long, short));
        }
    }

    /// Check ages at the borders of their units.
    #[test]
    fn ages() {
        let table = [(0, "0 s"), (59, "59 s"), (60, "1 min 0 s"), (3599, "59 min 59 s"), (3600, "1 h 0 min")];
        for (seconds, text) in table {
            assert_eq!(age(seconds * 1_000_000_000 + 999_999_999), text);
        }
    }

    proptest! {
        /// Check that texts sort as times do, and have one length.
        #[test]
        fn sorts(a: u64, b: u64) {
            prop_assert_eq!(full(a).cmp(&full(b)), a.cmp(&b));
            prop_assert_eq!((full(a).len(), of_day(a).len()), (30, 16));
        }
    }
}
