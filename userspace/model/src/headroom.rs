//! How many slots of the host are free, and who has the rest reserved.

use crate::event::Holder;
use crate::holders::holders;
use crate::picture::{Picture, SystemView};

/// Room for more contexts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headroom<'a> {
    /// The host's sums.
    pub system: &'a SystemView,
    /// `aio-max-nr - aio-nr`: negative where the limit was lowered below what is reserved.
    pub free: i64,
    /// How many slots are asked for, and whether they are there.
    pub need: Option<(u64, Answer)>,
    /// Everybody who has slots reserved, most first.
    pub holders: Vec<Holder>,
}

impl Headroom<'_> {
    /// How many slots a holder has reserved; `None` where max_reqs is not known of every context: a holder would seem to
    /// have less than it has.
    pub fn reserved(&self, holder: &Holder) -> Option<u64> {
        self.system.attributed.map(|_| holder.slots)
    }
}

/// Whether there are enough slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// As many slots are free as are needed.
    Enough,
    /// Not now.
    NotNow,
    /// Not under this limit, whoever gives slots back: fs/aio.c:ioctx_alloc refuses what alone exceeds aio-max-nr.
    Never,
}

/// A limit to advise where no slot is free: the kernel's default at least, twice of what is reserved, and never less than there is;
/// in steps of the default.
pub fn advised_limit(aio_nr: u64, aio_max_nr: u64) -> u64 {
    /// fs/aio.c:aio_max_nr
    const DEFAULT: u64 = 65_536;
    let wanted = aio_nr.saturating_mul(2).max(aio_max_nr).max(DEFAULT);
    wanted.checked_next_multiple_of(DEFAULT).unwrap_or(u64::MAX)
}

/// `aio-max-nr - aio-nr`, as far as it goes: either number may have 64 bits.
pub fn free(reserved: u64, limit: u64) -> i64 {
    let free = i128::from(limit) - i128::from(reserved);
    i64::try_from(free).unwrap_or(if free < 0 { i64::MIN } else { i64::MAX })
}

/// Whether so many slots are free.
pub fn answer(need: u64, reserved: u64, limit: u64) -> Answer {
    match reserved.checked_add(need) {
        // fs/aio.c:ioctx_alloc asks the same: aio_nr + max_reqs > aio_max_nr.
        Some(sum) if sum <= limit || need == 0 => Answer::Enough,
        Some(_) | None if need > limit => Answer::Never,
        Some(_) | None => Answer::NotNow,
    }
}

/// How many slots a picture of the host has free, and who has the rest.
pub fn headroom(picture: &Picture, need: Option<u64>) -> Headroom<'_> {
    let system = &picture.system;
    let (reserved, limit) = (system.aio_nr, system.aio_max_nr);
    let mut of = Headroom {
        system,
        free: free(reserved, limit),
        need: need.map(|need| (need, answer(need, reserved, limit))),
        holders: Vec::new(),
    };
    let mut holders = holders(picture);
    // Without the number of slots, whoever has many contexts is worth a look first.
    holders.sort_by_key(|holder| std::cmp::Reverse((of.reserved(holder), holder.contexts)));
    of.holders = holders;
    of
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::evidence::{AddressSpace, CensusSource, Evidence, Manner, Process};
    use crate::reconcile::reconcile;
    use crate::specimen::{AT, evidence, kioctx, look};
    use crate::units::{MmId, Pid};

    /// Check the answer at its borders, with a limit below what is used, and with none.
    #[test]
    fn answers() {
        let table = [
            (1, 65535, 65536, Answer::Enough),
            (1, 65536, 65536, Answer::NotNow),
            (65536, 0, 65536, Answer::Enough),
            (65536, 1, 65536, Answer::NotNow),
            (65537, 0, 65536, Answer::Never),
            (1, 70000, 65536, Answer::NotNow),
            (1, 0, 0, Answer::Never),
            (0, 70000, 65536, Answer::Enough),
            (u64::MAX, 1, u64::MAX, Answer::NotNow),
            (u64::MAX, 0, u64::MAX, Answer::Enough),
            (u64::MAX, u64::MAX, 0, Answer::Never),
        ];
        for (need, used, limit, expected) in table {
            assert_eq!(answer(need, used, limit), expected, "{need} of {limit}, {used} used");
        }
        assert_eq!((free(256, 65536), free(70000, 65536)), (65280, -4464));
        assert_eq!((free(0, u64::MAX), free(u64::MAX, 0)), (i64::MAX, i64::MIN));
    }

    /// Check the advice at its borders: never less than what is reserved or than the limit there is.
    #[test]
    fn advice() {
        let table = [
            (0, 0, 65_536),
            (20_000, 0, 65_536),
            (40_000, 39_000, 131_072),
            (65_536, 65_536, 131_072),
            (65_537, 65_536, 196_608),
            (10, 1_048_576, 1_048_576),
            (u64::MAX, 0, u64::MAX),
            (u64::MAX / 2, u64::MAX - 7, u64::MAX),
        ];
        for (used, limit, expected) in table {
            assert_eq!(advised_limit(used, limit), expected, "{used} of {limit}");
        }
    }

    /// Three processes: 100 with two contexts of 128 slots, 101 with one of them, 102 with three.
    fn three() -> Evidence {
        let mut it = Evidence { spaces: Vec::new(), ..evidence(Vec::new()) };
        for (mm, contexts) in [(0_u32, 2), (1, 1), (2, 3)] {
            let facts: Vec<_> = (0..contexts).map(|nth| kioctx(AT + u64::from(nth) * 0x10000, nth)).collect();
            it.spaces.push(AddressSpace {
                mm: MmId(mm),
                processes: vec![Process { pid: Pid(100 + mm), ..Process::default() }],
                looks: vec![look(Manner::Running, &facts)],
                image: None,
                traced: None,
                not_looked_at: None,
            });
        }
        it
    }

    fn holders_of(evidence: &Evidence) -> Vec<(u32, usize, Option<u64>)> {
        let picture = reconcile(evidence);
        let of = headroom(&picture, Some(1));
        assert_eq!(of.need, Some((1, Answer::Enough)));
        of.holders.iter().map(|holder| (holder.pid.0, holder.contexts, of.reserved(holder))).collect()
    }

    /// Check who comes first, with the kernel's word and without.
    #[test]
    fn largest_first() {
        let mut it = three();
        assert_eq!(holders_of(&it), [(102, 3, Some(384)), (100, 2, Some(256)), (101, 1, Some(128))]);
        it.source = CensusSource::Proc;
        assert_eq!(holders_of(&it), [(102, 3, None), (100, 2, None), (101, 1, None)]);
    }

    proptest! {
        /// Check that enough is what the number says, for all numbers that a kernel can have.
        #[test]
        fn enough_is_free(need in 1..u64::from(u32::MAX), used in 0..u64::from(u32::MAX), limit in 0..u64::from(u32::MAX)) {
            let enough = free(used, limit) >= i64::try_from(need).unwrap();
            prop_assert_eq!(answer(need, used, limit) == Answer::Enough, enough);
            prop_assert_eq!(answer(need, 0, limit) == Answer::Never, answer(need, used, limit) == Answer::Never);
        }

        /// Check that under the advised limit something is free, whatever the host has now.
        #[test]
        fn advice_frees(used in 0..u64::MAX / 2, limit: u64) {
            let advised = advised_limit(used, limit);
            prop_assert!(advised >= limit && advised >= used.saturating_mul(2) && advised >= 65_536);
        }
    }
}
