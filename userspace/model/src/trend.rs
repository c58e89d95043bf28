//! What only several pictures show, kept as a fold: requests that never complete, contexts that are never used.
//!
//! A picture is added and forgotten, so a watch of days needs no more memory than the contexts of the last one.

mod growth;

use std::collections::{BTreeMap, BTreeSet};

use crate::evidence::{AddressSpace, Evidence, KernelWord, RingMapping};
use crate::judged::judged_word;
use crate::kioctx::{Kioctx, Told};
use crate::units::{ContextId, Instant, Pid};

use crate::trend::growth::Growth;
pub use crate::trend::growth::{IDLE_LEAK_AFTER, SETTLED_AFTER};

/// Requests in flight are called stuck when none completed for this long, in nanoseconds.
pub const STUCK_AFTER: u64 = 5_000_000_000;

/// A context's name across pictures; two can have one id when a live ring was unmapped and its address used again.
pub type Key = (ContextId, u32);

/// The key of a context.
pub fn key(context: &Kioctx) -> Key {
    (context.user_id, context.table_index)
}

/// What the earlier pictures add to the last one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Contexts with requests in flight of which none completed, and for how many nanoseconds.
    pub stuck: BTreeMap<Key, u64>,
    /// Idle contexts of a process that only makes new ones.
    pub leaked: BTreeSet<Key>,
    /// Number of contexts before the growth began, and now.
    pub grown: (usize, usize),
}

/// One address space over time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trend {
    /// In the order of keys: a thousand small ones are made anew at each picture, and a list costs less than a tree.
    contexts: Vec<(Key, Known)>,
    growth: Growth,
    /// The latest picture.
    last: Instant,
}

/// What is remembered of a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    /// Inode of its ring, where its mapping was seen: tells it from a later one at the same address.
    inode: Option<u64>,
    /// Whether the latest picture was the first with it.
    is_new: bool,
    /// The requests that do not complete; `None` with none in flight, or where their number cannot be told.
    pending: Option<Pending>,
}

/// Requests in flight of which none has completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pending {
    /// The oldest picture since which that is so.
    since: Instant,
    in_flight: u32,
    tail: u32,
    completed_events: u32,
}

impl Trend {
    /// Adds a picture: the kernel's word, and the ring mappings that were read with it.
    ///
    /// A torn word says nothing of what disappeared, so it is passed over.
    pub fn observe(&mut self, word: &KernelWord, rings: &[RingMapping]) {
        if word.torn {
            return;
        }
        if word.contexts.is_empty() {
            *self = Trend::default();
            return;
        }
        let now = word.begun_at;
        let mut inodes: Vec<(u64, u64)> =
            rings.iter().filter(|ring| ring.offset == 0).map(|ring| (ring.start, ring.inode)).collect();
        inodes.sort_unstable();
        let mut is_used = false;
        let mut kept = 0_usize;
        let mut contexts = Vec::with_capacity(word.contexts.len());
        for context in &word.contexts {
            let inode = found(&inodes, &context.user_id.0).copied();
            let was = found(&self.contexts, &key(context)).filter(|was| same_ring(was.inode, inode));
            kept = kept.saturating_add(usize::from(was.is_some()));
            is_used |= !is_unused(context);
            let pending = pending(context, now, was.and_then(|was| was.pending));
            contexts.push((key(context), Known { inode, is_new: was.is_none(), pending }));
        }
        contexts.sort_unstable_by_key(|(key, _)| *key);
        self.growth.observe(now, contexts.len(), kept == self.contexts.len() && !is_used);
        self.contexts = contexts;
        self.last = now;
    }

    /// What the pictures so far add to the latest.
    pub fn history(&self) -> History {
        let age = |pending: &Pending| self.last.0.saturating_sub(pending.since.0);
        let stuck = self.contexts.iter().filter_map(|(key, known)| {
            let age = known.pending.as_ref().map(age)?;
            (age >= STUCK_AFTER).then_some((*key, age))
        });
        let leaks = self.growth.leaks();
        let old = self.contexts.iter().filter(|(_, known)| leaks && !known.is_new);
        History {
            stuck: stuck.collect(),
            leaked: old.map(|(key, _)| *key).collect(),
            grown: (self.growth.base_count(), self.contexts.len()),
        }
    }
}

/// What stands beside a key in a list that is in their order.
fn found<'a, K: Ord, V>(list: &'a [(K, V)], key: &K) -> Option<&'a V> {
    let place = list.binary_search_by(|(known, _)| known.cmp(key)).ok()?;
    list.get(place).map(|(_, value)| value)
}

/// Two inodes that are both known must agree: each io_setup makes a file of its own.
fn same_ring(one: Option<u64>, other: Option<u64>) -> bool {
    one.zip(other).is_none_or(|(one, other)| one == other)
}

/// Never a request: none in flight, no ring entry ever filled. Where that is not known it may have been used.
fn is_unused(context: &Kioctx) -> bool {
    context.in_flight() == Told::Is(0) && context.tail == Some(0) && context.completed_events == Some(0)
}

/// The same requests as before, perhaps with more submitted since; or those of now, seen for the first time.
fn pending(context: &Kioctx, now: Instant, was: Option<Pending>) -> Option<Pending> {
    let in_flight = context.in_flight().number().filter(|in_flight| *in_flight > 0)?;
    let (tail, completed_events) = (context.tail?, context.completed_events?);
    // Without a completion in_flight does not fall, tail stays, and completed_events can only fall (reaped entries are given back).
    let none_completed = |was: &Pending| {
        in_flight >= was.in_flight && tail == was.tail && completed_events <= was.completed_events
    };
    let since = was.filter(none_completed).map_or(now, |was| was.since);
    Some(Pending { since, in_flight, tail, completed_events })
}

/// An address space across pictures, where its ordinal in an evidence means nothing: its lowest process, and when that started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SpaceKey {
    pid: Pid,
    start_ticks: u64,
}

/// Every address space of the host over time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trends {
    spaces: BTreeMap<SpaceKey, Trend>,
}

impl Trends {
    /// Adds the last look at each address space, and forgets those that the evidence does not have.
    pub fn observe(&mut self, evidence: &Evidence) {
        let mut earlier = std::mem::take(&mut self.spaces);
        for space in &evidence.spaces {
            let Some(key) = space_key(space).filter(|key| !self.spaces.contains_key(key)) else { continue };
            let mut trend = earlier.remove(&key).unwrap_or_default();
            if let Some(look) = space.looks.last()
                && let Some(word) = judged_word(look)
            {
                trend.observe(word, &look.mappings);
            }
            self.spaces.insert(key, trend);
        }
    }

    /// What the pictures so far add to the latest of this address space; nothing if it was never observed.
    pub fn history(&self, space: &AddressSpace) -> History {
        space_key(space).and_then(|key| self.spaces.get(&key)).map(Trend::history).unwrap_or_default()
    }
}

fn space_key(space: &AddressSpace) -> Option<SpaceKey> {
    let lowest = space.processes.iter().min_by_key(|process| process.pid)?;
    Some(SpaceKey { pid: lowest.pid, start_ticks: lowest.start_ticks })
}

#[cfg(test)]
mod tests;
