//! Instants as text, always UTC: logs of several hosts are read side by side.

use jiff::Timestamp;

/// `2026-01-31T12:00:00.000000001Z`: always nine digits of a second, so that texts sort as times do.
pub(crate) fn full(unix_ns: u64) -> String {
    format!("{:.9}", timestamp(unix_ns))
}

/// `12:00:00.000001Z`: for one who looks on.
pub(crate) fn of_day(unix_ns: u64) -> String {
    format!("{}Z", timestamp(unix_ns).strftime("%H:%M:%S.%6f"))
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
            (951_868_799_999_999_999, "2000-02-29T23:59:59.999999999Z", "23:59:59.999999Z"),
            (4_107_542_400_000_000_000, "2100-03-01T00:00:00.000000000Z", "00:00:00.000000Z"),
            (1_769_860_800_000_000_001, "2026-01-31T12:00:00.000000001Z", "12:00:00.000000Z"),
            (1_709_210_096_120_000_000, "2024-02-29T12:34:56.120000000Z", "12:34:56.120000Z"),
            (u64::MAX, "2554-07-21T23:34:33.709551615Z", "23:34:33.709551Z"),
        ];
        for (unix_ns, long, short) in table {
            assert_eq!((&*full(unix_ns), &*of_day(unix_ns)), (long, short));
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
