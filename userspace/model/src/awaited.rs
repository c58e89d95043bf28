//! What a thread waits for: contexts that are in no table any more, and are gone once their requests are over.

use crate::evidence::Wait;
use crate::units::ContextId;

/// One context that a thread waits for, or those that cannot be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// Its id; [`ContextId::UNKNOWN`] where it cannot be named.
    pub context: ContextId,
    /// How many contexts this stands for; more than 1 only where they cannot be named, `None` where not even their number is known.
    pub contexts: Option<u32>,
    /// The argument of io_setup.
    pub max_reqs: Option<u32>,
    /// Requests that are left.
    pub in_flight: Option<u32>,
}

/// How many contexts a thread waits for beside those that were found; `None`: some, and their number is not known.
pub fn unnamed(wait: &Wait) -> Option<u32> {
    let found = u32::try_from(wait.contexts.len()).unwrap_or(u32::MAX);
    match wait.left {
        Some(left) => Some(left.saturating_sub(found)),
        None if found == 0 => None,
        None => Some(0),
    }
}

/// What a thread waits for: each context that was found, then those that cannot be named, if there are any.
pub fn awaited(wait: &Wait) -> impl Iterator<Item = Awaited> {
    let unnamed = unnamed(wait);
    let context = wait.id.unwrap_or(ContextId::UNKNOWN);
    let rest = Awaited { context, contexts: unnamed, max_reqs: None, in_flight: None };
    let named = wait.contexts.iter().map(|fact| Awaited {
        context: fact.user_id,
        contexts: Some(1),
        max_reqs: fact.max_reqs,
        in_flight: fact.left().number(),
    });
    named.chain(Some(rest).filter(|_| unnamed != Some(0)))
}
