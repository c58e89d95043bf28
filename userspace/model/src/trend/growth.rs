//! Whether the contexts of an address space only grow.
//!
//! The rule. Counted are the pictures in which there were more contexts than in the one before, since the last picture
//! before the growth began; where a context disappeared or any was ever used, all of it begins anew. It is a leak when
//! 1. they are at least [`ENOUGH_STEPS`], or all there can be in fewer pictures;
//! 2. the last of them came at least [`IDLE_LEAK_AFTER`] after the beginning: a pool that is filled at the start does not take so long;
//! 3. the process has not rested since for longer than it had grown: who filled a pool slowly is let go soon.
//!
//! Who rested for longer than it had grown, and for [`SETTLED_AFTER`], has its pool: what it makes later is counted anew.

use crate::units::Instant;

/// A process leaks contexts when they only grew and stayed unused for this long, in nanoseconds.
pub const IDLE_LEAK_AFTER: u64 = 5_000_000_000;
/// A process that grew no further for this long, in nanoseconds, may have all it wants.
pub const SETTLED_AFTER: u64 = 60_000_000_000;
/// Pictures with growth that make a leak.
const ENOUGH_STEPS: u32 = 3;

/// The number of contexts over time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Growth {
    /// Pictures so far.
    pictures: u32,
    /// The last picture before the first that counts.
    base: Instant,
    base_count: usize,
    /// How many pictures count.
    steps: u32,
    /// The latest that counts; `base` if there is none.
    last_step: Instant,
    /// The latest of all.
    now: Instant,
    count: usize,
}

impl Growth {
    /// Adds a picture. `only_grew`: no context disappeared since the one before, and none was ever used.
    pub(super) fn observe(&mut self, now: Instant, count: usize, only_grew: bool) {
        let is_step = count > self.count;
        self.pictures = self.pictures.saturating_add(1);
        (self.now, self.count) = (now, count);
        if self.pictures == 1
            || !only_grew
            || (self.steps == 0 && !is_step)
            || (!is_step && self.is_settled())
        {
            (self.base, self.base_count, self.steps, self.last_step) = (now, count, 0, now);
        } else if is_step {
            self.steps = self.steps.saturating_add(1);
            self.last_step = now;
        }
    }

    /// Whether it is a leak by now.
    pub(super) fn leaks(&self) -> bool {
        let needed = ENOUGH_STEPS.min(self.pictures.saturating_sub(1)).max(1);
        self.steps >= needed && self.grew_for() >= IDLE_LEAK_AFTER && self.rested_for() <= self.grew_for()
    }

    /// Number of contexts before the growth began.
    pub(super) fn base_count(&self) -> usize {
        self.base_count
    }

    fn is_settled(&self) -> bool {
        self.steps >= ENOUGH_STEPS && self.rested_for() > self.grew_for().max(SETTLED_AFTER)
    }

    fn grew_for(&self) -> u64 {
        self.last_step.0.saturating_sub(self.base.0)
    }

    fn rested_for(&self) -> u64 {
        self.now.0.saturating_sub(self.last_step.0)
    }
}
