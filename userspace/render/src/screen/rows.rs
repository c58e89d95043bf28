//! The rows of both tables: filtered, summed and sorted once for each picture, not for each frame.

use std::sync::LazyLock;

use aioinspect_model::groups::GroupKey;
use aioinspect_model::owner_sums::ProcessKey;
use aioinspect_model::picture::{ContextView, Picture};
use aioinspect_model::units::{ContextId, Pid};

use crate::fields::order::Order;
use crate::fields::{Field, View};
use crate::screen::canvas::width;
use crate::screen::processes::{self, Grouping, Process, ProcessRow};
use crate::screen::row::Row;
use crate::screen::search::Search;
use crate::screen::theme::Theme;

/// The columns of the processes, as they stand.
pub(super) static OF_PROCESSES: LazyLock<Vec<Field>> = LazyLock::new(|| Field::on(View::Processes).collect());

/// The columns of the contexts, as they stand.
pub(super) static OF_CONTEXTS: LazyLock<Vec<Field>> = LazyLock::new(|| Field::on(View::Contexts).collect());

/// The columns of the owners, as they stand.
pub(super) static OF_OWNERS: LazyLock<Vec<Field>> = LazyLock::new(|| Field::on(View::Owners).collect());

/// The columns of the upper table.
pub(super) fn columns_of(grouping: Grouping) -> &'static [Field] {
    match grouping {
        Grouping::Processes => &OF_PROCESSES,
        Grouping::Owners => &OF_OWNERS,
    }
}

/// One context: its process, and its id there.
pub(super) type ContextKey = (ProcessKey, ContextId);

/// The key of a context.
pub(super) fn key_of(context: &ContextView) -> ContextKey {
    ((context.pid, context.start_ticks), context.context)
}

/// Rows by their places in a picture.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// The row of all, then each process, or each owner, sorted.
    pub processes: Vec<Process>,
    /// What those rows are.
    pub grouping: Grouping,
    /// Contexts of the selected process or owner, sorted.
    pub contexts: Vec<usize>,
    /// Contexts in the picture that are not of processes left out from the start.
    pub known: usize,
    /// What the columns of the processes need.
    pub process_needs: Needs,
    /// What the columns of the contexts need.
    pub context_needs: Needs,
    /// Contexts that pass the search, by PID and id.
    matching: Vec<usize>,
}

impl Rows {
    /// Makes them anew. `only`: processes, by the PIDs under which they are shown; empty: all.
    pub(super) fn sift(
        &mut self,
        picture: &Picture,
        only: &[Pid],
        search: &Search,
        order: Order,
        theme: Theme,
    ) {
        let wanted = |context: &ContextView| only.is_empty() || only.contains(&context.pid);
        let known: Vec<(usize, &ContextView)> =
            picture.contexts.iter().enumerate().filter(|(_, context)| wanted(context)).collect();
        self.known = known.len();
        let matching = known.into_iter().filter(|(_, context)| search.matches(context));
        self.matching = matching.map(|(place, _)| place).collect();
        self.processes = processes::sum(&picture.contexts, &self.matching, self.grouping);
        let rows = self.processes.iter().map(|process| row(picture, process, self.grouping));
        self.process_needs = Needs::of(columns_of(self.grouping), rows, theme);
        self.sort_processes(picture, order);
    }

    /// Sorts the processes anew; the row of all stays first.
    pub(super) fn sort_processes(&mut self, picture: &Picture, order: Order) {
        let grouping = self.grouping;
        let Some((_, processes)) = self.processes.split_first_mut() else { return };
        processes.sort_by(|one, other| {
            let (one_row, other_row) = (row(picture, one, grouping), row(picture, other, grouping));
            order
                .compare(one_row.rank(order.field), other_row.rank(order.field))
                .then_with(|| one.key.cmp(&other.key))
        });
    }

    /// Chooses the contexts of one process or owner, or all, and sorts them.
    pub(super) fn choose(&mut self, picture: &Picture, group: Option<&GroupKey>, order: Order, theme: Theme) {
        let of = |place: &usize| picture.contexts.get(*place);
        let by = self.grouping.by();
        let is_of = |context: &ContextView| group.is_none_or(|group| group.has(by, context));
        self.contexts = self.matching.iter().copied().filter(|place| of(place).is_some_and(is_of)).collect();
        self.context_needs = Needs::of(&OF_CONTEXTS, self.contexts.iter().filter_map(of), theme);
        self.contexts.sort_by(|one, other| match (of(one), of(other)) {
            (Some(one), Some(other)) => order
                .compare(one.rank(order.field), other.rank(order.field))
                .then_with(|| key_of(one).cmp(&key_of(other))),
            (one, other) => one.is_none().cmp(&other.is_none()),
        });
    }

    /// The context of a row.
    pub(super) fn context<'p>(&self, picture: &'p Picture, row: usize) -> Option<&'p ContextView> {
        picture.contexts.get(*self.contexts.get(row)?)
    }

    /// The process of a row.
    pub(super) fn process<'a>(&'a self, picture: &'a Picture, at: usize) -> Option<ProcessRow<'a>> {
        self.processes.get(at).map(|process| row(picture, process, self.grouping))
    }
}

fn row<'a>(picture: &'a Picture, process: &'a Process, grouping: Grouping) -> ProcessRow<'a> {
    let example = process.key.as_ref().and_then(|_| picture.contexts.get(process.example));
    ProcessRow { process, example, grouping, limit: picture.system.aio_max_nr }
}

/// What the widest cell of each column needs.
#[derive(Debug, Default)]
pub(super) struct Needs(Vec<(Field, usize)>);

impl Needs {
    /// Looks at every row once.
    fn of<R: Row>(fields: &[Field], rows: impl Iterator<Item = R>, theme: Theme) -> Self {
        let mut needs: Vec<(Field, usize)> = fields.iter().map(|field| (*field, 0)).collect();
        for row in rows {
            for (field, widest) in &mut needs {
                *widest = (*widest).max(width(&row.cell(*field, theme)));
            }
        }
        Needs(needs)
    }

    /// Columns that a column needs.
    pub(super) fn get(&self, field: Field) -> usize {
        self.0.iter().find(|(of, _)| *of == field).map_or(0, |(_, widest)| *widest)
    }
}
