//! How many slots of the host are free, and who has the rest reserved.

use crate::event::Holder;
use crate::groups::Grouping;
use crate::holders::holders;
use crate::nr_req::ring_len;
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
    /// Every process that has slots reserved, most first.
    pub holders: Vec<Holder>,
    /// The same by owner.
    pub owners: Vec<Holder>,
}

/// Who has as many slots as are short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freeing<'a> {
    /// Each of these owners has enough.
    AnyOf(&'a [Holder]),
    /// None has, but all of these together: the fewest.
    Together(&'a [Holder]),
}

impl Headroom<'_> {
    /// How many slots a holder has reserved; `None` where max_reqs is not known of every context: a holder would seem to
    /// have less than it has.
    pub fn reserved(&self, holder: &Holder) -> Option<u64> {
        self.system.attributed.map(|_| holder.slots)
    }

    /// By how many slots the host is short of what is needed: 0 if there are enough. `None` if nothing is asked for.
    pub fn short_by(&self) -> Option<u64> {
        Some(self.least_limit()?.saturating_sub(self.system.aio_max_nr)).map(|short| match self.need {
            Some((_, Answer::NotNow | Answer::Never)) => short,
            Some((_, Answer::Enough)) | None => 0,
        })
    }

    /// The least fs.aio-max-nr under which what is needed fits beside what is reserved now. `None` if nothing is asked for.
    pub fn least_limit(&self) -> Option<u64> {
        self.need.map(|(need, _)| self.system.aio_nr.saturating_add(need))
    }

    /// Bytes of the ring of one context of the size that is needed; `None` where one context cannot be so large.
    pub fn ring_bytes(&self) -> Option<u64> {
        let (need, _) = self.need?;
        ring_len(u32::try_from(need).ok()?, self.system.possible_cpus, self.system.page_size)
    }

    /// Which owners could give back what is short; `None` if nothing is short, if all of them have less, if that is not known, and
    /// where the limit alone is too low.
    pub fn freeing(&self) -> Option<Freeing<'_>> {
        let short = self.short_by().filter(|short| *short > 0)?;
        if matches!(self.need, Some((_, Answer::Never))) || self.system.attributed.is_none() {
            return None;
        }
        let alone = self.owners.iter().take_while(|owner| owner.slots >= short).count();
        if alone > 0 {
            return self.owners.get(..alone).map(Freeing::AnyOf);
        }
        let mut sum = 0_u64;
        let last = self.owners.iter().position(|owner| {
            sum = sum.saturating_add(owner.slots);
            sum >= short
        })?;
        self.owners.get(..=last).map(Freeing::Together)
    }

    /// How many more holders of the same size fit into what is free; `None` where its size is not known.
    pub fn more_fit(&self, holder: &Holder) -> Option<u64> {
        u64::try_from(self.free).unwrap_or(0).checked_div(self.reserved(holder)?)
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
        owners: Vec::new(),
    };
    // Without the number of slots, whoever has many contexts is worth a look first.
    let sorted = |mut holders: Vec<Holder>| {
        holders.sort_by_key(|holder| std::cmp::Reverse((of.reserved(holder), holder.contexts)));
        holders
    };
    let processes = sorted(holders(picture, Grouping::Process));
    let owners = sorted(holders(picture, Grouping::Owner));
    (of.holders, of.owners) = (processes, owners);
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

    /// What is said of a host of so many slots, where unit n has the nth number of them.
    fn asked<'a>(system: &'a SystemView, need: u64, slots: &[u64]) -> Headroom<'a> {
        let (reserved, limit) = (system.aio_nr, system.aio_max_nr);
        let owner = |(pid, slots): (u32, &u64)| Holder { pid: Pid(pid), slots: *slots, ..Holder::default() };
        Headroom {
            system,
            free: free(reserved, limit),
            need: Some((need, answer(need, reserved, limit))),
            holders: Vec::new(),
            owners: (1..).zip(slots).map(owner).collect(),
        }
    }

    /// Check what is short and to what the limit must go, who could free it, how many more fit, and the ring.
    #[test]
    fn what_to_do() {
        let system = reconcile(&three()).system;
        let system = SystemView { aio_nr: 64_000, attributed: Some(64_000), page_size: 4096, ..system };
        assert_eq!((system.aio_max_nr, system.possible_cpus), (65_536, 2));
        let of = asked(&system, 5000, &[60_000, 3464, 536]);
        assert_eq!((of.short_by(), of.least_limit()), (Some(3464), Some(69_000)));
        assert_eq!(of.ring_bytes(), Some(323_584));
        assert_eq!(of.freeing(), Some(Freeing::AnyOf(&of.owners[..2])));
        assert_eq!(of.owners.iter().map(|owner| of.more_fit(owner).unwrap()).collect::<Vec<_>>(), [0, 0, 2]);
        let of = asked(&system, 5000, &[3000, 400, 64, 64]);
        assert_eq!(of.freeing(), Some(Freeing::Together(&of.owners[..3])));
        assert_eq!(asked(&system, 5000, &[3000, 400]).freeing(), None);
        let of = asked(&system, 65_537, &[64_000]);
        assert_eq!((of.short_by(), of.least_limit(), of.freeing()), (Some(64_001), Some(129_537), None));
        let of = asked(&system, 1536, &[64_000]);
        assert_eq!((of.short_by(), of.least_limit(), of.freeing()), (Some(0), Some(65_536), None));
        assert_eq!(asked(&system, u64::MAX, &[]).ring_bytes(), None);
        // The limit was lowered: what is above it is short too.
        let over = SystemView { aio_nr: 70_000, ..system };
        let of = asked(&over, 1, &[70_000, 4465]);
        assert_eq!((of.short_by(), of.more_fit(&of.owners[1])), (Some(4465), Some(0)));
        assert_eq!(of.freeing(), Some(Freeing::AnyOf(&of.owners[..])));
        let unknown = SystemView { attributed: None, ..over };
        let of = asked(&unknown, 1, &[0]);
        assert_eq!((of.freeing(), of.more_fit(&of.owners[0]), of.short_by()), (None, None, Some(4465)));
    }

    proptest! {
        /// Check that under the least limit the need is met, and that less would not do.
        #[test]
        fn least_limit_is_enough(need in 1..u64::from(u32::MAX), used in 0..u64::from(u32::MAX), limit in 0..u64::from(u32::MAX)) {
            let view = reconcile(&three()).system;
            let system = SystemView { aio_nr: used, aio_max_nr: limit, ..view };
            let of = asked(&system, need, &[]);
            let least = of.least_limit().unwrap();
            prop_assert_eq!(answer(need, used, least), Answer::Enough);
            prop_assert!(answer(need, used, least - 1) != Answer::Enough);
            prop_assert_eq!(of.short_by().unwrap() == 0, answer(need, used, limit) == Answer::Enough);
        }

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
