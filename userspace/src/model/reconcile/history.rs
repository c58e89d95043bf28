//! What only several looks can show: requests that never complete, contexts that are never used.

use std::collections::{BTreeMap, BTreeSet};

use super::super::kioctx::Kioctx;
use super::super::units::{ContextId, Instant};
use super::super::witness::Look;
use super::proof::judged_word;

/// Requests in flight are called stuck when none completed for this long, in nanoseconds.
pub const STUCK_AFTER: u64 = 5_000_000_000;
/// A process leaks contexts when they only grew and stayed unused for this long, in nanoseconds.
pub const IDLE_LEAK_AFTER: u64 = 5_000_000_000;

/// A context's name across looks; two can have one id when a live ring was unmapped and its address used again.
pub type Key = (ContextId, u32);

/// What the earlier looks add to the last one.
#[derive(Debug, Default)]
pub struct History {
    /// Contexts with requests in flight of which none completed, and for how many nanoseconds.
    pub stuck: BTreeMap<Key, u64>,
    /// Idle contexts of a process that only makes new ones.
    pub leaked: BTreeSet<Key>,
    /// Number of contexts in the first look and in the last.
    pub grown: (usize, usize),
}

/// The key of a context.
pub fn key(context: &Kioctx) -> Key {
    (context.user_id, context.table_index)
}

/// Compares all looks. Empty without the kernel's word in each of them, or if they span too short a time.
pub fn compare(looks: &[Look]) -> History {
    let mut words = Vec::with_capacity(looks.len());
    for look in looks {
        let Some(word) = judged_word(look) else { return History::default() };
        words.push(word);
    }
    let (Some(first), Some(last)) = (words.first(), words.last()) else { return History::default() };
    let span = elapsed(first.begun_at, last.begun_at);
    if words.len() < 2 || span < STUCK_AFTER.min(IDLE_LEAK_AFTER) {
        return History::default();
    }
    let tables: Vec<BTreeMap<Key, &Kioctx>> = words
        .iter()
        .map(|word| word.contexts.iter().map(|context| (key(context), context)).collect())
        .collect();
    History {
        stuck: if span < STUCK_AFTER { BTreeMap::new() } else { stuck(&tables, span) },
        leaked: if span < IDLE_LEAK_AFTER { BTreeSet::new() } else { leaked(&tables) },
        grown: (first.contexts.len(), last.contexts.len()),
    }
}

fn elapsed(from: Instant, to: Instant) -> u64 {
    to.0.saturating_sub(from.0)
}

/// In flight in every look, never fewer, and not one slot of the ring filled.
fn stuck(tables: &[BTreeMap<Key, &Kioctx>], span: u64) -> BTreeMap<Key, u64> {
    let Some(first) = tables.first() else { return BTreeMap::new() };
    let stays = |key: &Key| {
        tables.windows(2).all(|pair| {
            let [earlier, later] = pair else { return false };
            let (Some(earlier), Some(later)) = (earlier.get(key), later.get(key)) else { return false };
            match (earlier.in_flight(), later.in_flight()) {
                (Some(was), Some(is)) => was > 0 && is >= was && earlier.tail == later.tail,
                (None, _) | (_, None) => false,
            }
        })
    };
    first.keys().filter(|key| stays(key)).map(|key| (*key, span)).collect()
}

/// More contexts at each look, and none of those that were there before the last look was ever used.
fn leaked(tables: &[BTreeMap<Key, &Kioctx>]) -> BTreeSet<Key> {
    let grows = tables.windows(2).all(|pair| match pair {
        [earlier, later] => later.len() > earlier.len(),
        _ => false,
    });
    let Some((last, earlier)) = tables.split_last() else { return BTreeSet::new() };
    let old: BTreeSet<Key> = earlier.iter().flat_map(BTreeMap::keys).copied().collect();
    let unused = |key: &Key| {
        last.get(key).is_some_and(|context| {
            context.in_flight() == Some(0) && context.tail == 0 && context.completed_events == 0
        })
    };
    if grows && old.iter().all(unused) { old } else { BTreeSet::new() }
}
