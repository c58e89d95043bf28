//! The contexts that are in no table any more, against the truth of a fixture.

use std::time::Duration;

use aioinspect_model::evidence::{Doing, Evidence, Wait};
use aioinspect_model::picture::ContextView;
use aioinspect_model::units::Pid;
use aioinspect_tests::truth::Truth;

use crate::compare::Differs;
use crate::expected::{self, Dying};

/// No sequence takes as long: an age beyond it is wrong.
const OLDEST: Duration = Duration::from_secs(300);

/// What was found of one fixture and its children: every context has a line of its own, and there is no other line.
///
/// Its rings are mapped until the end, and that leads to those of a process in exit or exec.
pub fn contexts(evidence: &Evidence, views: &[&ContextView], truth: &Truth) -> Result<(), Differs> {
    let wanted = expected::dying(truth);
    let mut found: Vec<Dying> = views.iter().map(|view| of_view(evidence, view)).collect();
    found.sort();
    if found == wanted {
        return Ok(());
    }
    let details: Vec<_> = views.iter().map(|view| &view.details).collect();
    let text = format!("dying {found:x?}\n not {wanted:x?}\n {details:?}");
    // A completion half-way is still in flight.
    let is_late = |(found, wanted): (&Dying, &Dying)| {
        found.in_flight >= wanted.in_flight
            && Dying { in_flight: wanted.in_flight, ..found.clone() } == *wanted
    };
    let late = found.len() == wanted.len() && found.iter().zip(&wanted).all(is_late);
    Err(if late { Differs::MaySettle(text) } else { Differs::Wrong(text) })
}

/// A view, and who waits by the evidence behind it; what is not known is a number that no truth has.
fn of_view(evidence: &Evidence, view: &ContextView) -> Dying {
    let wait = waits(evidence, view.pid).find(|wait| {
        wait.contexts.iter().any(|one| one.user_id == view.context && one.max_reqs == view.max_reqs)
    });
    let how = match wait.map(|wait| wait.doing) {
        Some(Doing::Destroy) => "destroy",
        Some(Doing::Exit) => "exit",
        Some(Doing::Exec) => "exec",
        Some(Doing::LastUse) => "last use",
        None => "not known",
    };
    // Where nobody tells the time there would be none.
    let aged = view.dying_ns.is_some_and(|ns| Duration::from_nanos(ns) < OLDEST);
    Dying {
        pid: view.pid.0,
        id: view.context.0,
        max_reqs: view.max_reqs.unwrap_or(u32::MAX),
        nr_events: view.nr_events.unwrap_or(u32::MAX),
        in_flight: view.in_flight.unwrap_or(u32::MAX),
        findings: view.findings.iter().copied().collect(),
        tid: wait.map_or(u32::MAX, |wait| wait.tid.0),
        how: if aged { how.to_owned() } else { format!("{how}, for {:?}", view.dying_ns) },
    }
}

/// Those of one address space.
fn waits(evidence: &Evidence, pid: Pid) -> impl Iterator<Item = &Wait> {
    let spaces = evidence.spaces.iter();
    let of = spaces.filter(move |space| space.processes.iter().any(|process| process.pid == pid));
    let looks = of.filter_map(|space| space.looks.last());
    looks.filter_map(|look| look.after.as_ref().or(look.before.as_ref())).flat_map(|word| &word.waits)
}
