//! What the looks of one evidence show together.

use super::super::trend::{History, Trend};
use super::super::witness::Look;
use super::proof::judged_word;

/// Compares all looks. Empty without the kernel's word in each of them, or if they span too short a time.
pub fn of(looks: &[Look]) -> History {
    let mut trend = Trend::default();
    for look in looks {
        let Some(word) = judged_word(look) else { return History::default() };
        trend.observe(word, &look.mappings);
    }
    trend.history()
}
