//! The third witness: what a watch that was under way saw of the contexts being made.

use std::collections::BTreeMap;

use crate::evidence::{SystemFacts, TracedContext, TracedWord};
use crate::finding::Finding;
use crate::kioctx::Kioctx;
use crate::picture::Origin;
use crate::reconcile::notes::Notes;
use crate::units::Instant;

/// A watch's word on one address space, with what turns its instants into times.
pub(super) struct Traced<'a> {
    since: Instant,
    contexts: BTreeMap<u32, &'a TracedContext>,
    looked_at: Instant,
    looked_at_unix_ns: u64,
}

impl<'a> Traced<'a> {
    /// Of an address space that was looked at then. The wall clock is that of the first reading of the evidence.
    pub(super) fn new(word: &'a TracedWord, looked_at: Instant, system: &SystemFacts) -> Self {
        let contexts = word.contexts.iter().map(|context| (context.table_index, context)).collect();
        Self { since: word.since, contexts, looked_at, looked_at_unix_ns: system.taken_at_unix_ns }
    }

    /// Where a context comes from; what the watch says otherwise than the kernel is a finding.
    pub(super) fn origin(&self, fact: &Kioctx, notes: &mut Notes) -> Option<Origin> {
        let Some(context) = self.contexts.get(&fact.table_index) else {
            notes.say(Finding::TracedOtherwise, "the watch does not know this context");
            return None;
        };
        if let Some(is) = fact.max_reqs.filter(|is| *is != context.max_reqs) {
            let said = context.max_reqs;
            notes.say(
                Finding::TracedOtherwise,
                format!("max_reqs is {said} in the watch, {is} in the kernel"),
            );
        }
        Some(match context.made {
            Some(made) => Origin::Made {
                unix_ns: self.unix(made.at),
                age_ns: self.looked_at.0.saturating_sub(made.at.0),
                pid: context.pid,
                tid: made.tid,
                max_reqs: context.max_reqs,
            },
            None => Origin::Found { since_unix_ns: self.unix(self.since) },
        })
    }

    fn unix(&self, at: Instant) -> u64 {
        self.looked_at_unix_ns.saturating_sub(self.looked_at.0.saturating_sub(at.0))
    }
}
