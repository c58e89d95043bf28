//! Contexts summed by process, or by owner: who has the slots reserved.

use std::borrow::Cow;

use aioinspect_model::finding::Finding;
use aioinspect_model::groups::{self, Group, GroupKey, groups};
use aioinspect_model::owner_sums::Sums;
use aioinspect_model::picture::ContextView;

use crate::fields::rank::Rank;
use crate::fields::{Field, Summed};
use crate::groups::{share_text, sum_text};
use crate::owner_name::owner_name;
use crate::screen::row::{Row, aged};
use crate::screen::theme::{Theme, Tone};
use crate::screen::tone::tone;

/// By what the upper table sums contexts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Grouping {
    /// A row for each process.
    #[default]
    Processes,
    /// A row for each owner.
    Owners,
}

impl Grouping {
    /// The same where contexts are summed.
    pub(super) fn by(self) -> groups::Grouping {
        match self {
            Grouping::Processes => groups::Grouping::Process,
            Grouping::Owners => groups::Grouping::Owner,
        }
    }
}

/// The contexts of one process or owner, or of all.
#[derive(Clone, Debug, PartialEq, Default)]
pub(super) struct Process {
    /// Which; `None`: all of them.
    pub key: Option<GroupKey>,
    /// One of its contexts, by its place in the picture: it knows the names.
    pub example: usize,
    sums: Sums,
    worst: Option<Finding>,
}

/// Sums contexts, given by their places: first all of them, then those of each process or owner, the largest first.
pub(super) fn sum(contexts: &[ContextView], places: &[usize], grouping: Grouping) -> Vec<Process> {
    let groups = groups(contexts, places.iter().copied(), grouping.by());
    let mut all = Process::default();
    for group in &groups {
        all.sums.merge(&group.sums);
        all.worst = Finding::worst(all.worst.into_iter().chain(group.worst));
    }
    let process = |group: Group| {
        let Group { key, example, sums, worst, .. } = group;
        Process { key: Some(key), example, sums, worst }
    };
    std::iter::once(all).chain(groups.into_iter().map(process)).collect()
}

/// A row of the processes or owners: a sum, and one of its contexts for the names.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProcessRow<'a> {
    /// The process, and what its contexts come to.
    pub process: &'a Process,
    /// One of its contexts; `None` for the row of all.
    pub example: Option<&'a ContextView>,
    /// Whether it stands among owners.
    pub grouping: Grouping,
    /// fs.aio-max-nr.
    pub limit: u64,
}

impl ProcessRow<'_> {
    /// What it is called above the table of its contexts; `None`: it is all of them.
    pub(super) fn name(&self, theme: Theme) -> Option<String> {
        let example = self.example?;
        Some(match self.grouping {
            Grouping::Processes => format!("{} {}", example.pid, theme.name(&example.comm)),
            Grouping::Owners => theme.text(&owner_name(example)).into_owned(),
        })
    }
}

impl Row for ProcessRow<'_> {
    fn rank(&self, field: Field) -> Rank<'_> {
        let Some(example) = self.example else { return Rank::Unknown };
        match field.row().summed {
            Summed::Common => field.of(example).rank(),
            Summed::Sum(read) | Summed::Share(read) => {
                read(&self.process.sums).value().map_or(Rank::Unknown, Rank::Number)
            }
            Summed::Count(read) => Rank::Number(read(&self.process.sums)),
            Summed::Worst => Rank::of_worst(self.process.worst),
            Summed::Greatest(_) | Summed::Never => Rank::Unknown,
        }
    }

    fn cell(&self, field: Field, theme: Theme) -> Cow<'_, str> {
        let Process { sums, worst, .. } = self.process;
        match (self.grouping, field, self.example) {
            (Grouping::Owners, Field::Owner, Some(example)) => {
                return Cow::Owned(theme.text(&owner_name(example)).into_owned());
            }
            (Grouping::Owners, Field::Owner, None) => return "all".into(),
            _ => {}
        }
        match (field.row().summed, self.example) {
            (Summed::Common, Some(example)) => Cow::Owned(example.cell(field, theme).into_owned()),
            (Summed::Common, None) => if field == Field::Pid { "all" } else { "" }.into(),
            (Summed::Sum(read), _) => sum_text(read(sums)).into(),
            (Summed::Count(read), _) => read(sums).to_string().into(),
            (Summed::Worst, _) => aged(worst.map_or("-", Finding::code), sums.oldest_dying_ns).into(),
            (Summed::Share(read), _) => share_text(read(sums), self.limit).into(),
            (Summed::Greatest(_) | Summed::Never, _) => "-".into(),
        }
    }

    fn tone(&self, field: Field) -> Tone {
        match field.row().summed {
            Summed::Worst => tone(self.process.worst),
            Summed::Sum(read) if field.row().stands_out && read(&self.process.sums).value() > Some(0) => {
                Tone::Strong
            }
            Summed::Common
            | Summed::Sum(_)
            | Summed::Count(_)
            | Summed::Share(_)
            | Summed::Greatest(_)
            | Summed::Never => Tone::Plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::specimen::{context, host};

    fn cell(process: &Process, field: Field) -> String {
        let theme = Theme { color: false, ascii: true };
        let grouping = Grouping::Processes;
        ProcessRow { process, example: None, grouping, limit: 65_536 }.cell(field, theme).into_owned()
    }

    /// Check the sums, the worst finding, and that processes are told apart by their start.
    #[test]
    fn sums() {
        let picture = host();
        let places: Vec<usize> = (0..picture.contexts.len()).collect();
        let rows = sum(&picture.contexts, &places, Grouping::Processes);
        let all = [Field::Contexts, Field::MaxReqs, Field::InFlight, Field::Worst];
        assert_eq!(all.map(|field| cell(&rows[0], field)), ["5", "4256", "4255+", "ring-full"]);
        assert_eq!(rows.iter().map(|row| row.sums.contexts).collect::<Vec<_>>(), [5, 2, 1, 2]);
        assert_eq!(cell(&rows[2], Field::InFlight), "-");

        // What is dying costs no slot, but its requests are in flight, and its age is shown.
        let dying = ContextView {
            findings: vec![Finding::Dying],
            dying_ns: Some(125_000_000_000),
            max_reqs: Some(16),
            in_flight: Some(4),
            ..context(1, 1)
        };
        let rows = sum(&[dying, context(1, 2)], &[0, 1], Grouping::Processes);
        assert_eq!(cell(&rows[1], Field::Contexts), "1");
        assert_eq!(cell(&rows[1], Field::MaxReqs), context(1, 2).max_reqs.unwrap().to_string());
        assert_eq!(cell(&rows[1], Field::InFlight), (4 + context(1, 2).in_flight.unwrap()).to_string());
        assert_eq!(cell(&rows[1], Field::Worst), "dying 2 min 5 s");

        let again = ContextView { start_ticks: 99, ..context(1, 1) };
        assert_eq!(sum(&[context(1, 1), again], &[0, 1], Grouping::Processes).len(), 3);
        assert_eq!(sum(&[], &[0, 1], Grouping::Owners), [Process::default()]);
    }
    /// Check that an owner's row has the sums, share and worst finding of all its processes, and knows its contexts.
    #[test]
    fn owners() {
        let mut picture = host();
        picture.contexts[4].owner = picture.contexts[0].owner.clone();
        let places: Vec<usize> = (0..picture.contexts.len()).collect();
        let rows = sum(&picture.contexts, &places, Grouping::Owners);
        let theme = Theme { color: false, ascii: true };
        let said = |at: usize| {
            let process = &rows[at];
            let example = process.key.as_ref().map(|_| &picture.contexts[process.example]);
            let row = ProcessRow { process, example, grouping: Grouping::Owners, limit: 65_536 };
            let fields =
                [Field::Owner, Field::Processes, Field::Contexts, Field::MaxReqs, Field::Share, Field::Worst];
            fields.map(|field| row.cell(field, theme).into_owned())
        };
        assert_eq!(said(0), ["all", "3", "5", "4256", "6.4%", "ring-full"]);
        assert_eq!(said(1), ["mariadb.service", "2", "3", "4224", "6.4%", "ring-full"]);
        assert_eq!(said(2)[1..], ["1", "2", "32", "<0.1%", "idle-leak"]);
        let of = |at: usize| {
            let key = rows[at].key.as_ref().unwrap();
            picture.contexts.iter().filter(|context| key.has(Grouping::Owners.by(), context)).count()
        };
        assert_eq!([of(1), of(2)], [3, 2]);
        // What nothing names stands for itself.
        picture.contexts[4].owner = std::sync::Arc::default();
        let rows = sum(&picture.contexts, &places, Grouping::Owners);
        assert_eq!(rows.len(), 4);
        assert!(rows.iter().any(|row| {
            row.key.as_ref().is_some_and(|key| key.has(Grouping::Owners.by(), &picture.contexts[4]))
        }));
    }
}
