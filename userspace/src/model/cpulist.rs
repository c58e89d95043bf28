//! Lists of CPUs as sysfs prints them: `0-3,8,10-11` (lib/vsprintf.c:bitmap_list_string).

use std::ops::RangeInclusive;

/// The most CPUs any kernel can be built for is 8,192; more than this is not a list of CPUs.
const LIMIT: u32 = 1 << 16;

/// Why a text is not a list of CPUs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CpuListError {
    /// A part that is neither `N` nor `N-M`, or not above the part before it.
    #[error("cpu list has a bad part {part:?}")]
    Part {
        /// The part.
        part: String,
    },
    /// No CPU at all.
    #[error("cpu list is empty")]
    Empty,
}

/// A set of CPUs, never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuList {
    ranges: Vec<RangeInclusive<u32>>,
}

impl CpuList {
    /// Reads the text of a file such as `/sys/devices/system/cpu/possible`.
    pub fn parse(text: &str) -> Result<Self, CpuListError> {
        let mut ranges: Vec<RangeInclusive<u32>> = Vec::new();
        for part in text.trim_ascii().split(',').filter(|part| !part.is_empty()) {
            let bad = || CpuListError::Part { part: part.chars().take(32).collect() };
            let number = |text: &str| -> Option<u32> {
                let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                text.parse().ok().filter(|n| digits && *n < LIMIT)
            };
            let (low, high) = part.split_once('-').unwrap_or((part, part));
            let (low, high) = number(low).zip(number(high)).ok_or_else(bad)?;
            if low > high || ranges.last().is_some_and(|before| *before.end() >= low) {
                return Err(bad());
            }
            ranges.push(low..=high);
        }
        if ranges.is_empty() { Err(CpuListError::Empty) } else { Ok(Self { ranges }) }
    }

    /// How many there are: for the possible ones, `num_possible_cpus()`.
    pub fn count(&self) -> u32 {
        self.ranges.iter().map(|range| range.end() - range.start() + 1).sum()
    }

    /// The highest number plus one: for the possible ones, `nr_cpu_ids`.
    pub fn ids(&self) -> u32 {
        self.ranges.last().map_or(0, |range| range.end() + 1)
    }

    /// The numbers, rising.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.ranges.iter().cloned().flatten()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Check single numbers, ranges and holes.
    #[test]
    fn lists() {
        let list = CpuList::parse("0-3,8,10-11\n").unwrap();
        assert_eq!(list.iter().collect::<Vec<_>>(), [0, 1, 2, 3, 8, 10, 11]);
        assert_eq!((list.count(), list.ids()), (7, 12));
        assert_eq!(CpuList::parse("0").unwrap().count(), 1);
    }

    /// Check what is no list.
    #[test]
    fn bad_lists() {
        assert_eq!(CpuList::parse("\n"), Err(CpuListError::Empty));
        for bad in
            ["x", "3-1", "0-", "-1", "0,0", "1-3,2", "+1", "99999999999", "0-4294967295", "0-65536", "1 2"]
        {
            assert!(matches!(CpuList::parse(bad), Err(CpuListError::Part { .. })), "{bad}");
        }
    }

    proptest! {
        /// Check that any set survives being printed, and that no text makes the parser panic.
        #[test]
        fn round_trip(set in proptest::collection::btree_set(0_u32..9000, 1..40), text in ".{0,30}") {
            let printed = set.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
            let list = CpuList::parse(&printed).unwrap();
            prop_assert!(list.iter().eq(set.iter().copied()));
            prop_assert_eq!(usize::try_from(list.count()).unwrap(), set.len());
            let _ = CpuList::parse(&text);
        }
    }
}
