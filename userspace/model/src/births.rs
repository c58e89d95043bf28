//! When the contexts of a picture were made, by the map of a watch that looks at the whole host.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::evidence::TracedContext;
use crate::picture::{Origin, Picture};
use crate::units::{ContextId, Instant, Pid};

/// What a watch knows, and what turns its instants into times.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Births {
    /// The contexts of its map, each with the address that it had when it was made.
    pub contexts: Vec<(ContextId, TracedContext)>,
    /// When the watch began, nanoseconds since 1970.
    pub since_unix_ns: u64,
    /// When the picture was taken.
    pub taken: Instant,
    /// The same, nanoseconds since 1970.
    pub taken_unix_ns: u64,
}

/// Tells each context of the picture where it comes from, as far as exactly one entry of the map can be meant.
///
/// An entry is known by the process and the address, both of which may be used again: two entries of one name, two contexts of one name, and
/// an entry of another size say nothing.
pub fn add_origins(picture: &mut Picture, births: &Births) {
    let mut known: HashMap<(Pid, ContextId), Option<&TracedContext>> = HashMap::new();
    for (context, traced) in &births.contexts {
        match known.entry((traced.pid, *context)) {
            Entry::Vacant(place) => drop(place.insert(Some(traced))),
            Entry::Occupied(mut place) => drop(place.insert(None)),
        }
    }
    for space in &picture.spaces {
        for (place, index) in space.contexts.iter().enumerate() {
            let Some(id) = picture.contexts.get(*index).map(|view| view.context) else { continue };
            // Those of a space follow one another by their ids.
            let beside = [place.checked_sub(1), place.checked_add(1)].into_iter().flatten();
            let is_alone = beside
                .filter_map(|place| picture.contexts.get(*space.contexts.get(place)?))
                .all(|other| other.context != id);
            let Some(view) = picture.contexts.get_mut(*index).filter(|view| is_alone && !view.is_dying())
            else {
                continue;
            };
            // Any of the processes that share the memory may have made it.
            let mut found = space.pids.iter().filter_map(|pid| *known.get(&(*pid, id))?);
            if let (Some(traced), None) = (found.next(), found.next())
                && view.origin.is_none()
                && view.max_reqs.is_none_or(|max_reqs| max_reqs == traced.max_reqs)
            {
                view.origin = Some(births.origin(traced));
            }
        }
    }
}

impl Births {
    fn origin(&self, traced: &TracedContext) -> Origin {
        let Some(made) = traced.made else { return Origin::Found { since_unix_ns: self.since_unix_ns } };
        let age_ns = self.taken.0.saturating_sub(made.at.0);
        Origin::Made {
            unix_ns: self.taken_unix_ns.saturating_sub(age_ns),
            age_ns,
            pid: traced.pid,
            tid: made.tid,
            max_reqs: traced.max_reqs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Made, Manner};
    use crate::reconcile::reconcile;
    use crate::specimen::{AT, evidence, kioctx, look};
    use crate::units::Tid;

    fn traced(pid: u32, max_reqs: u32, made: Option<u64>) -> TracedContext {
        let made = made.map(|at| Made { at: Instant(at), tid: Tid(pid) });
        TracedContext { made, pid: Pid(pid), max_reqs, ..TracedContext::default() }
    }

    fn ages(contexts: Vec<(ContextId, TracedContext)>) -> Vec<Option<Origin>> {
        let facts = [kioctx(AT, 0), kioctx(AT + 0x10_0000, 1)];
        let mut picture = reconcile(&evidence(vec![look(Manner::Running, &facts)]));
        let births = Births { contexts, since_unix_ns: 5, taken: Instant(100), taken_unix_ns: 1000 };
        add_origins(&mut picture, &births);
        picture.contexts.into_iter().map(|view| view.origin).collect()
    }

    /// Check ages, and that what is not certainly the same context says nothing.
    #[test]
    fn who_is_meant() {
        let size = kioctx(AT, 0).max_reqs.unwrap();
        let (here, there) = (ContextId(AT), ContextId(AT + 0x10_0000));
        let made = Origin::Made { unix_ns: 930, age_ns: 70, pid: Pid(100), tid: Tid(100), max_reqs: size };
        let found = Origin::Found { since_unix_ns: 5 };
        let (known, met) = (traced(100, size, Some(30)), traced(100, size, None));
        assert_eq!(ages(vec![(here, known.clone()), (there, met)]), [Some(made), Some(found)]);
        assert_eq!(ages(vec![(here, known.clone()), (here, known.clone())]), [None, None]);
        assert_eq!(ages(vec![(here, traced(100, size + 1, Some(30)))]), [None, None]);
        assert_eq!(ages(vec![(here, traced(7, size, Some(30)))]), [None, None]);
        assert_eq!(ages(Vec::new()), [None, None]);
    }
}
