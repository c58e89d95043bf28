//! Sets of CPUs, as the kernel lists them: `0-3,8`.

use std::fmt;

/// A set of CPUs: ranges in ascending order with a gap between each two. Empty by default.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct CpuSet(Vec<CpuRange>);

/// CPUs that follow one another, `first` up to and with `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuRange {
    /// Number of the first CPU, as the kernel counts them, from 0.
    pub first: u32,
    /// The last, not less than the first.
    pub last: u32,
}

impl CpuSet {
    /// The set that a list such as `0-3,8` names (lib/bitmap-str.c:bitmap_parselist without strides), ascending, as the kernel prints it. A
    /// line feed at its end is allowed; `None`: it is no such list.
    pub fn parse(text: &str) -> Option<Self> {
        let range = |range: &str| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            Some(CpuRange { first: first.parse().ok()?, last: last.parse().ok()? })
        };
        Self::of_ranges(text.trim().split(',').map(range).collect::<Option<Vec<_>>>()?)
    }

    /// The set of these ranges; `None` where they are not ascending, or one ends before it begins.
    pub fn of_ranges(ranges: impl IntoIterator<Item = CpuRange>) -> Option<Self> {
        let mut set = Self::default();
        for range in ranges {
            let CpuRange { first, last } = range;
            if last < first || last == u32::MAX || set.0.last().is_some_and(|before| first <= before.last) {
                return None;
            }
            match set.0.last_mut() {
                Some(before) if before.last.checked_add(1) == Some(first) => before.last = last,
                Some(_) | None => set.0.push(range),
            }
        }
        Some(set)
    }

    /// The CPUs from 0 on, so many.
    pub fn first(count: u32) -> Self {
        Self(count.checked_sub(1).map(|last| CpuRange { first: 0, last }).into_iter().collect())
    }

    /// The ranges in ascending order; between each two there is a gap.
    pub fn ranges(&self) -> &[CpuRange] {
        &self.0
    }

    /// How many CPUs it has.
    pub fn count(&self) -> u32 {
        let of = |range: &CpuRange| range.last.saturating_sub(range.first).saturating_add(1);
        self.0.iter().map(of).fold(0, u32::saturating_add)
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether that CPU is one of them.
    pub fn contains(&self, cpu: u32) -> bool {
        let place = self.0.partition_point(|range| range.last < cpu);
        self.0.get(place).is_some_and(|range| range.first <= cpu)
    }

    /// Those that are not among `cpus`, which ascend.
    #[must_use]
    pub fn without(&self, cpus: impl IntoIterator<Item = u32>) -> Self {
        let mut left = Vec::with_capacity(self.0.len());
        let mut ranges = self.0.iter().copied();
        let mut rest = ranges.next();
        for cpu in cpus {
            while let Some(range) = rest.filter(|range| range.last < cpu) {
                left.push(range);
                rest = ranges.next();
            }
            let Some(CpuRange { first, last }) = rest else { break };
            if cpu < first {
                continue;
            }
            left.extend(cpu.checked_sub(1).filter(|end| *end >= first).map(|last| CpuRange { first, last }));
            rest = match cpu.checked_add(1) {
                Some(first) if first <= last => Some(CpuRange { first, last }),
                Some(_) | None => ranges.next(),
            };
        }
        left.extend(rest.into_iter().chain(ranges));
        Self(left)
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, CpuRange { first, last }) in self.0.iter().enumerate() {
            f.write_str(if place == 0 { "" } else { "," })?;
            write!(f, "{first}")?;
            if first != last {
                write!(f, "-{last}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    fn set(text: &str) -> CpuSet {
        CpuSet::parse(text).unwrap()
    }

    /// Check lists as kernels print them, and that others are refused.
    #[test]
    fn lists() {
        for (list, count) in [("0", 1), ("0-1\n", 2), ("0-3,8", 5), ("0,2,4-5", 4), ("0-8191", 8192)] {
            assert_eq!(set(list).count(), count, "{list}");
            assert_eq!(set(list).to_string(), list.trim());
        }
        assert_eq!(set("0,1,2-3").to_string(), "0-3");
        for list in ["", "a", "3-1", "0-", "0,0", "0-3,2", "0-4294967295", "-1", "1,,2"] {
            assert_eq!(CpuSet::parse(list), None, "{list}");
        }
    }

    /// Check what is left at the ends, in the midst and of nothing.
    #[test]
    fn left() {
        let left = |text: &str, cpus: &[u32]| set(text).without(cpus.iter().copied()).to_string();
        assert_eq!(left("0-3,8", &[]), "0-3,8");
        assert_eq!(left("0-3,8", &[0, 2, 5, 8, 9]), "1,3");
        assert_eq!(left("0-8191", &[1]), "0,2-8191");
        assert_eq!(left("7", &[7]), "");
        assert!(set("7").without([7]).is_empty() && CpuSet::first(0).is_empty());
        assert_eq!(CpuSet::first(3).to_string(), "0-2");
    }

    proptest! {
        /// Check that any text is a set or refused, never a panic, and that a set reads back as it is written.
        #[test]
        fn any_text(text in "[0-9,-]{0,40}") {
            if let Some(set) = CpuSet::parse(&text) {
                prop_assert_eq!(CpuSet::parse(&set.to_string()), Some(set));
            }
        }

        /// Check sets against the standard library's.
        #[test]
        fn as_a_set(
            cpus in proptest::collection::btree_set(0_u32..40, 1..40),
            taken in proptest::collection::btree_set(0_u32..42, 0..40),
        ) {
            let list: Vec<String> = cpus.iter().map(u32::to_string).collect();
            let set = set(&list.join(","));
            prop_assert_eq!(set.count() as usize, cpus.len());
            let left = set.without(taken.iter().copied());
            let expected: BTreeSet<u32> = cpus.difference(&taken).copied().collect();
            prop_assert_eq!((0..42).filter(|cpu| left.contains(*cpu)).collect::<BTreeSet<u32>>(), expected);
            prop_assert!(left.ranges().windows(2).all(|pair| pair[0].last + 1 < pair[1].first));
        }
    }
}
