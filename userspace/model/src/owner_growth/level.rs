//! One owner in windows of one length: what is kept of them, and whether it grows by them.

use std::collections::VecDeque;

use crate::owner_growth::{Rate, Sample, WINDOWS};
use crate::units::Instant;

/// A window, as far as it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    /// Its number since the beginning.
    number: u64,
    /// The look with the least in it.
    least: Sample,
    /// The most in it.
    most: u64,
}

/// The last windows of an owner: bounded, whatever time passes.
#[derive(Clone, Debug, Default)]
pub(super) struct Level {
    open: Option<Window>,
    /// The least of each of the last [`WINDOWS`] windows in which it rose; with the one before the first rise, unless that is too long ago.
    least: VecDeque<Sample>,
    /// The first of them all, however long ago.
    since: Sample,
    /// How many windows there were since, that one among them.
    windows: u32,
    /// The most that it ever had until the end of that one.
    ceiling: u64,
    /// The most that it had in the last window.
    last_most: u64,
    /// The most that it ever had until the last window ended.
    most: u64,
    /// The most that it had since, and when it had that first.
    peak: u64,
    peak_at: Instant,
    /// The longest time from one such peak to the next.
    pause_ns: u64,
    /// The latest look.
    now: Sample,
}

/// How it grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Since when, and what there was.
    pub(super) since: Sample,
    /// How fast.
    pub(super) rate: Rate,
}

impl Level {
    /// Adds a look that lies in the window of that number. A window without a look is passed over.
    pub(super) fn add(&mut self, number: u64, sample: Sample) {
        let value = sample.number();
        self.now = sample;
        if let Some(open) = self.open.as_mut().filter(|open| open.number == number) {
            if value < open.least.number() {
                open.least = sample;
            }
            open.most = open.most.max(value);
            return self.reach(sample);
        }
        if let Some(ended) = self.open.replace(Window { number, least: sample, most: value }) {
            self.close(ended);
        }
        self.reach(sample);
    }

    fn reach(&mut self, sample: Sample) {
        if sample.number() > self.peak {
            self.pause_ns = self.pause_ns.max(sample.at.0.saturating_sub(self.peak_at.0));
            (self.peak, self.peak_at) = (sample.number(), sample.at);
        }
    }

    fn close(&mut self, ended: Window) {
        (self.most, self.last_most) = (self.most.max(ended.most), ended.most);
        if self.least.back().is_none_or(|before| ended.least.number() <= before.number()) {
            self.least.clear();
            (self.since, self.windows, self.ceiling) = (ended.least, 0, self.most);
            (self.peak, self.peak_at, self.pause_ns) = (self.most, self.now.at, 0);
        }
        if u32::try_from(self.least.len()).unwrap_or(u32::MAX) >= WINDOWS {
            self.least.pop_front();
        }
        self.least.push_back(ended.least);
        self.windows = self.windows.saturating_add(1);
    }

    /// How it grows; `None`: it does not. `window_ns`: how long a window is.
    pub(super) fn grows(&self, window_ns: u64) -> Option<Run> {
        if self.windows < WINDOWS || self.last_most <= self.ceiling {
            return None;
        }
        let rested = self.now.at.0.saturating_sub(self.peak_at.0);
        if rested > self.pause_ns.saturating_mul(2).max(window_ns) {
            return None;
        }
        // In the first window it may just have started: that says nothing of how it goes on.
        let first = self.least.get(usize::from(self.windows == WINDOWS))?;
        let last = self.least.back()?;
        // It has given back already, which its window will show when it ends.
        if self.open.is_some_and(|open| open.least.number() < last.number()) {
            return None;
        }
        let rate = Rate {
            more: last.number().saturating_sub(first.number()),
            ns: last.at.0.saturating_sub(first.at.0),
        };
        Some(Run { since: self.since, rate })
    }
}
