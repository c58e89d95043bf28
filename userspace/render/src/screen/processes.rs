//! Contexts summed by process: who has the slots reserved.

use std::borrow::Cow;

use aioinspect_model::finding::Finding;
use aioinspect_model::owner_sums::{ProcessKey, ProcessSums, Sums, by_process};
use aioinspect_model::picture::ContextView;

use crate::fields::rank::Rank;
use crate::fields::{Field, Summed};
use crate::groups::sum_text;
use crate::screen::row::{Row, aged};
use crate::screen::theme::{Theme, Tone};
use crate::screen::tone::tone;

/// The contexts of one process, or of all.
#[derive(Clone, Debug, PartialEq, Default)]
pub(super) struct Process {
    /// Which process; `None`: all of them.
    pub key: Option<ProcessKey>,
    /// One of its contexts, by its place in the picture: it knows the names.
    pub example: usize,
    sums: Sums,
    worst: Option<Finding>,
}

/// Sums contexts, given by their places: first all of them, then those of each process, by PID.
pub(super) fn sum(contexts: &[ContextView], places: &[usize]) -> Vec<Process> {
    let process =
        |of: ProcessSums| Process { key: Some(of.process), example: of.example, sums: of.sums, worst: None };
    let mut all = Process::default();
    let mut processes: Vec<Process> =
        by_process(contexts, places.iter().copied()).into_iter().map(process).collect();
    for process in &processes {
        all.sums.merge(&process.sums);
    }
    for context in places.iter().filter_map(|place| contexts.get(*place)) {
        let found = Finding::worst(context.findings.iter().copied());
        let key = Some((context.pid, context.start_ticks));
        let of = processes.binary_search_by_key(&key, |process| process.key).ok();
        for process in of.and_then(|at| processes.get_mut(at)).into_iter().chain([&mut all]) {
            process.worst = Finding::worst(process.worst.into_iter().chain(found));
        }
    }
    processes.insert(0, all);
    processes
}

/// A row of the processes: a sum, and one of its contexts for the names.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProcessRow<'a> {
    /// The process, and what its contexts come to.
    pub process: &'a Process,
    /// One of its contexts; `None` for the row of all.
    pub example: Option<&'a ContextView>,
}

impl Row for ProcessRow<'_> {
    fn rank(&self, field: Field) -> Rank<'_> {
        let Some(example) = self.example else { return Rank::Unknown };
        match field.row().summed {
            Summed::Common => field.of(example).rank(),
            Summed::Sum(read) => read(&self.process.sums).value().map_or(Rank::Unknown, Rank::Number),
            Summed::Count(read) => Rank::Number(read(&self.process.sums)),
            Summed::Worst => Rank::of_worst(self.process.worst),
            Summed::Share(_) | Summed::Greatest(_) | Summed::Never => Rank::Unknown,
        }
    }

    fn cell(&self, field: Field, theme: Theme) -> Cow<'_, str> {
        let Process { sums, worst, .. } = self.process;
        match (field.row().summed, self.example) {
            (Summed::Common, Some(example)) => Cow::Owned(example.cell(field, theme).into_owned()),
            (Summed::Common, None) => if field == Field::Pid { "all" } else { "" }.into(),
            (Summed::Sum(read), _) => sum_text(read(sums)).into(),
            (Summed::Count(read), _) => read(sums).to_string().into(),
            (Summed::Worst, _) => aged(worst.map_or("-", Finding::code), sums.oldest_dying_ns).into(),
            (Summed::Share(_) | Summed::Greatest(_) | Summed::Never, _) => "-".into(),
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
        ProcessRow { process, example: None }.cell(field, theme).into_owned()
    }

    /// Check the sums, the worst finding, and that processes are told apart by their start.
    #[test]
    fn sums() {
        let picture = host();
        let places: Vec<usize> = (0..picture.contexts.len()).collect();
        let rows = sum(&picture.contexts, &places);
        let all = [Field::Contexts, Field::MaxReqs, Field::InFlight, Field::Worst];
        assert_eq!(all.map(|field| cell(&rows[0], field)), ["5", "4256", "4255+", "ring-full"]);
        assert_eq!(rows.iter().map(|row| row.sums.contexts).collect::<Vec<_>>(), [5, 2, 2, 1]);
        assert_eq!(cell(&rows[3], Field::InFlight), "-");

        // What is dying costs no slot, but its requests are in flight, and its age is shown.
        let dying = ContextView {
            findings: vec![Finding::Dying],
            dying_ns: Some(125_000_000_000),
            max_reqs: Some(16),
            in_flight: Some(4),
            ..context(1, 1)
        };
        let rows = sum(&[dying, context(1, 2)], &[0, 1]);
        assert_eq!(cell(&rows[1], Field::Contexts), "1");
        assert_eq!(cell(&rows[1], Field::MaxReqs), context(1, 2).max_reqs.unwrap().to_string());
        assert_eq!(cell(&rows[1], Field::InFlight), (4 + context(1, 2).in_flight.unwrap()).to_string());
        assert_eq!(cell(&rows[1], Field::Worst), "dying 2 min 5 s");

        let again = ContextView { start_ticks: 99, ..context(1, 1) };
        assert_eq!(sum(&[context(1, 1), again], &[0, 1]).len(), 3);
        assert_eq!(sum(&[], &[0, 1]), [Process::default()]);
    }
}
