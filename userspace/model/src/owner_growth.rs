//! Growth of owners' slots over hours and days, used or not: since when, how fast, and when the host's limit is reached.
//!
//! The rule. Time is cut into windows of one length, and of each window the least number of slots is kept that the owner had in it. An
//! owner grows when
//! 1. that number rose from window to window, in the last five of them each time;
//! 2. in the last of them it had more at some time than it ever had before they began;
//! 3. it has not rested since for longer than a window, or, if that is more, for twice as long as it ever did between two rises.
//!
//! So a service that starts rises once or twice and rests; what is taken and given back falls to where it was in each window, or, where
//! that takes long, comes back to what it had before. Five windows are the time that is asked for, and the same is asked of windows 6, 36
//! and 216 times as long: with half an hour, of three hours, of 18, and of four days and a half, so that one context more a day is found
//! as well.
//!
//! Where this kernel does not tell slots, contexts are counted. An owner without any is forgotten: what comes back begins anew. Time is
//! that of CLOCK_MONOTONIC, which stands still while the host is suspended and is never set.

mod level;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::event::Holder;
use crate::owner_growth::level::Level;
use crate::units::{Instant, Pid};

/// An owner grows when it did for this long, in nanoseconds, if nobody asks for another time.
pub const GROWS_AFTER: u64 = 1_800_000_000_000;
/// Windows in that time.
pub(crate) const WINDOWS: u32 = 5;
/// Kinds of windows, each longer than the one before by [`LONGER`].
const LEVELS: usize = 4;
const LONGER: u64 = 6;
/// Owners that are remembered: those of the most slots.
const MOST_OWNERS: usize = 1000;
/// Looks in the shortest of these times: twelve a window.
const LOOKS: u64 = 60;
/// An owner that grows on is told again after this long at the latest, in nanoseconds.
const TOLD_AGAIN: u64 = 86_400_000_000_000;

/// What an owner had at a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Sample {
    /// When, on CLOCK_MONOTONIC.
    pub at: Instant,
    /// The same for the reader, nanoseconds since 1970, as that clock was then.
    pub unix_ns: u64,
    /// Sum of max_reqs; 0 where it is not known.
    pub slots: u64,
    /// Number of contexts.
    pub contexts: u64,
}

impl Sample {
    /// What is compared: slots, or contexts where slots are not known.
    fn number(self) -> u64 {
        if self.slots > 0 { self.slots } else { self.contexts }
    }
}

/// How fast something grows: so many in so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Rate {
    /// How many more.
    pub more: u64,
    /// In how many nanoseconds.
    pub ns: u64,
}

impl Rate {
    /// In an hour; 0 where no time has passed.
    pub fn per_hour(self) -> f64 {
        self.per_second() * 3600.0
    }

    fn per_second(self) -> f64 {
        if self.ns == 0 {
            return 0.0;
        }
        // So many slots no host has: the most that is lost is below a slot.
        Duration::from_nanos(self.more).as_secs_f64() / Duration::from_nanos(self.ns).as_secs_f64() * 1e9
    }
}

/// An owner that grows.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Growing {
    /// It, as it is now.
    pub owner: Holder,
    /// The look since which it grows, and what it had then.
    pub since: Sample,
    /// For how long that is, in nanoseconds.
    pub for_ns: u64,
    /// How fast, of late: of slots, or of contexts where slots are not known.
    pub rate: Rate,
    /// When at this rate of it and of all others that grow no slot is free any more, in nanoseconds; `None`: not known, or beyond any
    /// number of years.
    pub limit_in_ns: Option<u64>,
}

impl Growing {
    /// How many slots more it has; 0 where slots are not known.
    pub fn more_slots(&self) -> u64 {
        self.owner.slots.saturating_sub(self.since.slots)
    }

    /// Whether that is the owner that grows, as another look found it.
    pub fn is_of(&self, owner: &Holder) -> bool {
        Key::of(&self.owner) == Key::of(owner)
    }

    /// How many contexts more it has.
    pub fn more_contexts(&self) -> u64 {
        count(&self.owner).saturating_sub(self.since.contexts)
    }
}

fn count(owner: &Holder) -> u64 {
    u64::try_from(owner.contexts).unwrap_or(u64::MAX)
}

/// What tells owners apart over time: the part that names it and the name; the process where nothing does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    part: &'static str,
    name: String,
    pid: Pid,
}

impl Key {
    pub(crate) fn of(owner: &Holder) -> Self {
        match owner.owner.named_by() {
            Some((part, name)) => Self { part, name: name.to_owned(), pid: Pid(0) },
            None => Self { part: "", name: String::new(), pid: owner.pid },
        }
    }
}

/// What is remembered of an owner.
#[derive(Clone, Debug, Default)]
struct Known {
    owner: Holder,
    levels: [Level; LEVELS],
    /// Not to be told before; `None`: it never was.
    quiet_until: Option<Instant>,
}

/// The owners of the host over time. A look is added and forgotten.
#[derive(Clone, Debug)]
pub struct OwnerGrowth {
    after_ns: u64,
    began: Option<Instant>,
    last: Instant,
    owners: BTreeMap<Key, Known>,
    /// `aio-max-nr - aio-nr` at the last look.
    free: i64,
}

impl OwnerGrowth {
    /// Nothing yet. `after`: for how long an owner must have grown.
    pub fn after(after: Duration) -> Self {
        let after_ns = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX).max(u64::from(WINDOWS));
        Self { after_ns, began: None, last: Instant(0), owners: BTreeMap::new(), free: 0 }
    }

    /// How often it wants a look, in nanoseconds: few in a window would make what comes and goes look like growth.
    pub fn look_every_ns(&self) -> u64 {
        (self.after_ns / LOOKS).max(1)
    }

    /// Adds a look at all owners, the largest first; `free`: how many slots were free. One that is older than the last is passed over.
    pub fn observe(&mut self, at: Instant, unix_ns: u64, owners: &[Holder], free: i64) {
        if at < self.last {
            return;
        }
        let began = *self.began.get_or_insert(at);
        let passed = at.0.saturating_sub(began.0);
        let mut earlier = std::mem::take(&mut self.owners);
        for owner in owners.iter().filter(|owner| owner.contexts > 0).take(MOST_OWNERS) {
            let key = Key::of(owner);
            let mut known = earlier.remove(&key).unwrap_or_default();
            let sample = Sample { at, unix_ns, slots: owner.slots, contexts: count(owner) };
            for (level, length) in known.levels.iter_mut().zip(self.lengths()) {
                level.add(passed.checked_div(length).unwrap_or(0), sample);
            }
            known.owner = owner.clone();
            self.owners.insert(key, known);
        }
        (self.last, self.free) = (at, free);
    }

    /// The owners that grow, the fastest first.
    pub fn growing(&self) -> Vec<Growing> {
        let mut growing: Vec<Growing> = self.owners.values().filter_map(|known| self.grows(known)).collect();
        let limit = limit_in_ns(&growing, self.free);
        for one in &mut growing {
            one.limit_in_ns = limit.filter(|_| one.owner.slots > 0);
        }
        growing.sort_by(|a, b| b.rate.per_hour().total_cmp(&a.rate.per_hour()));
        growing
    }

    /// Those that are to be told now: once when they begin to be so, then each time that they have grown for twice as long, and once a day.
    pub fn news(&mut self) -> Vec<Growing> {
        let mut growing = self.growing();
        let (last, after) = (self.last, self.after_ns);
        growing.retain(|one| {
            let Some(known) = self.owners.get_mut(&Key::of(&one.owner)) else { return false };
            if known.quiet_until.is_some_and(|until| last < until) {
                return false;
            }
            let quiet = one.for_ns.clamp(after.min(TOLD_AGAIN), TOLD_AGAIN);
            known.quiet_until = Some(Instant(last.0.saturating_add(quiet)));
            true
        });
        growing
    }

    /// How long windows are, in nanoseconds, the shortest first.
    fn lengths(&self) -> impl Iterator<Item = u64> + use<> {
        let shortest = (self.after_ns / u64::from(WINDOWS)).max(1);
        std::iter::successors(Some(shortest), |length| Some(length.saturating_mul(LONGER)))
    }

    fn grows(&self, known: &Known) -> Option<Growing> {
        let mut rate = None;
        let mut since: Option<Sample> = None;
        // The shortest windows know best how fast it is now, the longest since when.
        for (level, length) in known.levels.iter().zip(self.lengths()) {
            if let Some(run) = level.grows(length) {
                rate.get_or_insert(run.rate);
                since = Some(since.filter(|earlier| earlier.at <= run.since.at).unwrap_or(run.since));
            }
        }
        let since = since?;
        let for_ns = self.last.0.saturating_sub(since.at.0);
        Some(Growing { owner: known.owner.clone(), since, for_ns, rate: rate?, limit_in_ns: None })
    }
}

/// When all that is free is taken, if all of them go on as they do.
fn limit_in_ns(growing: &[Growing], free: i64) -> Option<u64> {
    let of_slots = growing.iter().filter(|one| one.owner.slots > 0);
    let per_second: f64 = of_slots.map(|one| one.rate.per_second()).sum();
    let Ok(free) = u64::try_from(free) else { return Some(0) };
    let seconds = Duration::from_nanos(free).as_secs_f64() * 1e9 / per_second;
    let time = Duration::try_from_secs_f64(seconds).ok()?;
    u64::try_from(time.as_nanos()).ok()
}

#[cfg(test)]
mod tests;
