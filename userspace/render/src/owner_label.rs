//! An owner in a word or two.

use std::borrow::Cow;

use crate::escape::escaped;
use aioinspect_model::picture::Owner;

/// Characters of a container's id that tell it from others, as `docker ps` shows it.
const CONTAINER: usize = 12;

/// The container, or else the pod, or else the unit; empty for none of them.
pub fn owner_label(owner: &Owner) -> Cow<'_, str> {
    let Owner { container, pod, unit, .. } = owner;
    match (container.is_empty(), pod.is_empty()) {
        (false, _) => Cow::Owned(escaped(container.as_bytes()).chars().take(CONTAINER).collect()),
        (true, false) => escaped(pod.as_bytes()),
        (true, true) => escaped(unit.as_bytes()),
    }
}
