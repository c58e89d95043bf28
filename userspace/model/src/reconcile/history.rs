//! What the looks of one evidence show together.

use crate::evidence::Look;
use crate::judged::judged_word;
use crate::trend::{History, Trend};

/// Compares all looks. Empty without the kernel's word in each of them, or if they span too short a time.
pub(super) fn of(looks: &[Look]) -> History {
    let mut trend = Trend::default();
    for look in looks {
        let Some(word) = judged_word(look) else { return History::default() };
        trend.observe(word, &look.mappings);
    }
    trend.history()
}
