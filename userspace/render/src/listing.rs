//! What `list` shows: the rows that the filter left, and the host's numbers.

use aioinspect_model::finding::Finding;
use aioinspect_model::picture::{ContextView, GhostView, Picture, SystemView};

use crate::fields::Field;

/// A row of a table of `list`.
pub(crate) trait Listed {
    /// Appends what it has in a column.
    fn write(&self, column: Field, text: &mut String);
    /// Its findings, the worst of which colours it.
    fn findings(&self) -> &[Finding];
}

/// What `list` shows; whoever filters takes contexts out.
#[derive(Clone, Debug)]
pub struct List<'a> {
    /// The footer's numbers: of the host, whatever is filtered.
    pub system: &'a SystemView,
    /// The contexts to be shown, a row each.
    pub contexts: Vec<&'a ContextView>,
    /// Rings without a context.
    pub ghosts: Vec<&'a GhostView>,
}

impl<'a> From<&'a Picture> for List<'a> {
    fn from(picture: &'a Picture) -> Self {
        Self {
            system: &picture.system,
            contexts: picture.contexts.iter().collect(),
            ghosts: picture.ghosts.iter().collect(),
        }
    }
}
