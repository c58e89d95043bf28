//! What an owner is called where owners are told apart: in the page's table and its plot, on the screen, in the history.

use std::borrow::Cow;

use aioinspect_model::groups::{Grouping, groups};
use aioinspect_model::history::Holders;
use aioinspect_model::picture::{ContextView, Picture};

use crate::escape::escaped;

/// `nginx.service`, whole, as the column OWNER has it; of a process that nothing names, `mysqld[1234]`. One harmless line.
pub fn owner_name(context: &ContextView) -> Cow<'_, str> {
    match context.owner.workload() {
        "" => Cow::Owned(format!("{}[{}]", escaped(&context.comm), context.pid)),
        name => escaped(name.as_bytes()),
    }
}

/// Who reserves how many slots in a picture, for the history; `None` where that is not known of every context.
pub fn holders(picture: &Picture) -> Option<Holders> {
    let contexts = &picture.contexts;
    let mut named: Vec<(String, u64)> = Vec::new();
    for owner in groups(contexts, 0..contexts.len(), Grouping::Owner) {
        let Some(example) = contexts.get(owner.example) else { continue };
        let reserved = owner.sums.reserved.value().filter(|_| !owner.sums.reserved.has_gaps())?;
        named.push((owner_name(example).into_owned(), reserved));
    }
    // A pod and a unit may be called the same: the history knows owners by their names alone.
    named.sort();
    named.dedup_by(|later, first| {
        let same = later.0 == first.0;
        if same {
            first.1 = first.1.saturating_add(later.1);
        }
        same
    });
    Some(Holders::new(named))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::specimen::host;
    use aioinspect_model::picture::Owner;

    /// Check the names, that an owner is one whatever its processes are, and that no slot is lost.
    #[test]
    fn names() {
        let mut picture = host();
        let all = holders(&picture).unwrap();
        let container = "4f5e6d7c8b9a".repeat(5);
        assert_eq!(
            all.owners().collect::<Vec<_>>(),
            [("mariadb.service", 4096), ("größe 名前[31016]", 128), (container.as_str(), 32)]
        );
        assert_eq!(all.sum(), 4256);
        // A pod of the same name as the unit.
        let pod = Owner { pod: "mariadb.service".into(), ..Owner::default() };
        picture.contexts[4].owner = pod.into();
        assert_eq!(holders(&picture).unwrap().of("mariadb.service"), 4224);
        // What is not known is not 0.
        picture.contexts[0].max_reqs = None;
        assert_eq!(holders(&picture), None);
        picture.contexts.clear();
        assert_eq!(holders(&picture), Some(Holders::default()));
    }
}
