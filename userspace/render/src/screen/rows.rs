//! The rows of both tables: filtered, summed and sorted once for each picture, not for each frame.

use aioinspect_model::picture::{ContextView, Picture};
use aioinspect_model::units::{ContextId, Pid};

use crate::screen::canvas::width;
use crate::screen::field::{Field, OF_CONTEXTS, OF_OWNERS, Order, Row};
use crate::screen::look::Look;
use crate::screen::owners::{self, Owner, OwnerKey, OwnerRow};
use crate::screen::search::Search;

/// One context: its process, and its id there.
pub type ContextKey = (OwnerKey, ContextId);

/// The key of a context.
pub fn key_of(context: &ContextView) -> ContextKey {
    ((context.pid, context.start_ticks), context.context)
}

/// Rows by their places in a picture.
#[derive(Debug, Default)]
pub struct Rows {
    /// The row of all, then each owner, sorted.
    pub owners: Vec<Owner>,
    /// Contexts of the selected owner, sorted.
    pub contexts: Vec<usize>,
    /// Contexts in the picture that are not of processes left out from the start.
    pub known: usize,
    /// What the columns of the owners need.
    pub owner_needs: Needs,
    /// What the columns of the contexts need.
    pub context_needs: Needs,
    /// Contexts that pass the search, by PID and id.
    matching: Vec<usize>,
}

impl Rows {
    /// Makes them anew. `only`: processes, by the PIDs under which they are shown; empty: all.
    pub fn sift(&mut self, picture: &Picture, only: &[Pid], search: &Search, order: Order, look: Look) {
        let wanted = |context: &ContextView| only.is_empty() || only.contains(&context.pid);
        let known: Vec<(usize, &ContextView)> =
            picture.contexts.iter().enumerate().filter(|(_, context)| wanted(context)).collect();
        self.known = known.len();
        let matching = known.into_iter().filter(|(_, context)| search.matches(context));
        self.matching = matching.map(|(place, _)| place).collect();
        let (all, owners) = owners::sum(&picture.contexts, &self.matching);
        self.owners = owners;
        self.owners.insert(0, all);
        let rows = self.owners.iter().map(|owner| row(picture, owner));
        self.owner_needs = Needs::of(&OF_OWNERS, rows, look);
        self.sort_owners(picture, order);
    }

    /// Sorts the owners anew; the row of all stays first.
    pub fn sort_owners(&mut self, picture: &Picture, order: Order) {
        let Some((_, owners)) = self.owners.split_first_mut() else { return };
        owners.sort_by(|one, other| {
            let (one_row, other_row) = (row(picture, one), row(picture, other));
            order.compare(&one_row, &other_row).then_with(|| one.key.cmp(&other.key))
        });
    }

    /// Chooses the contexts of one owner, or all, and sorts them.
    pub fn choose(&mut self, picture: &Picture, owner: Option<OwnerKey>, order: Order, look: Look) {
        let of = |place: &usize| picture.contexts.get(*place);
        let is_of = |context: &ContextView| owner.is_none_or(|owner| key_of(context).0 == owner);
        self.contexts = self.matching.iter().copied().filter(|place| of(place).is_some_and(is_of)).collect();
        self.context_needs = Needs::of(&OF_CONTEXTS, self.contexts.iter().filter_map(of), look);
        self.contexts.sort_by(|one, other| match (of(one), of(other)) {
            (Some(one), Some(other)) => {
                order.compare(one, other).then_with(|| key_of(one).cmp(&key_of(other)))
            }
            (one, other) => one.is_none().cmp(&other.is_none()),
        });
    }

    /// The context of a row.
    pub fn context<'p>(&self, picture: &'p Picture, row: usize) -> Option<&'p ContextView> {
        picture.contexts.get(*self.contexts.get(row)?)
    }

    /// The owner of a row.
    pub fn owner<'a>(&'a self, picture: &'a Picture, at: usize) -> Option<OwnerRow<'a>> {
        self.owners.get(at).map(|owner| row(picture, owner))
    }
}

fn row<'a>(picture: &'a Picture, owner: &'a Owner) -> OwnerRow<'a> {
    let example = owner.key.and_then(|_| picture.contexts.get(owner.example));
    OwnerRow { owner, example }
}

/// What the widest cell of each column needs.
#[derive(Debug, Default)]
pub struct Needs(Vec<(Field, usize)>);

impl Needs {
    /// Looks at every row once.
    fn of<R: Row>(fields: &[Field], rows: impl Iterator<Item = R>, look: Look) -> Self {
        let mut needs: Vec<(Field, usize)> = fields.iter().map(|field| (*field, 0)).collect();
        for row in rows {
            for (field, widest) in &mut needs {
                *widest = (*widest).max(width(&row.cell(*field, look)));
            }
        }
        Needs(needs)
    }

    /// Columns that a column needs.
    pub fn get(&self, field: Field) -> usize {
        self.0.iter().find(|(of, _)| *of == field).map_or(0, |(_, widest)| *widest)
    }
}
