//! The contexts that are in no table any more, against the truth of a fixture.

use std::collections::BTreeSet;
use std::time::Duration;

use aioinspect::model::picture::ContextView;
use aioinspect::model::units::{ContextId, Pid};
use aioinspect::model::witness::{Doing, Evidence, Wait};
use aioinspect_tests::truth::Truth;

use crate::compare::Differs;
use crate::expected::{self, Dying};

/// No sequence takes as long: an age beyond it is wrong.
const OLDEST: Duration = Duration::from_secs(300);

/// What was found of one fixture and its children.
///
/// Of several contexts that one exit or exec waits for, at least one has a line of its own, and one line stands for those that have none: nothing
/// in the kernel leads to them. Each io_destroy is told with its context.
pub fn contexts(evidence: &Evidence, views: &[&ContextView], truth: &Truth) -> Result<(), Differs> {
    let wanted = expected::dying(truth);
    let (rests, named): (Vec<&ContextView>, Vec<&ContextView>) =
        views.iter().partition(|view| view.context == ContextId::UNKNOWN);
    let mut missing = wanted.clone();
    for view in &named {
        let found = of_view(evidence, view);
        if let Some(at) = missing.iter().position(|one| *one == found) {
            missing.remove(at);
            continue;
        }
        let text = format!("dying {found:x?}\n not one of {missing:x?}\n {:?}", view.details);
        // A completion half-way is still in flight.
        let is_late = |one: &Dying| {
            found.in_flight > one.in_flight && Dying { in_flight: one.in_flight, ..found.clone() } == *one
        };
        let late = missing.iter().any(is_late);
        return Err(if late { Differs::MaySettle(text) } else { Differs::Wrong(text) });
    }
    let pids: BTreeSet<u32> = missing.iter().map(|one| one.pid).collect();
    let mut wanted_rests = BTreeSet::new();
    for pid in pids {
        let of: Vec<&Dying> = missing.iter().filter(|one| one.pid == pid).collect();
        let any_named = named.iter().any(|view| view.pid.0 == pid);
        if !any_named || of.iter().any(|one| one.how == "destroy") {
            return Err(Differs::Wrong(format!("dying and not named: {of:x?}")));
        }
        wanted_rests.insert((pid, rest(&of, pid)));
    }
    let found_rests: BTreeSet<(u32, String)> = rests
        .iter()
        .flat_map(|view| view.details.iter().map(|(_, says)| (view.pid.0, stripped(says))))
        .collect();
    let nothing = rests.iter().all(|view| {
        (view.max_reqs, view.nr_events, view.in_flight) == (None, None, None) && view.dying_ns.is_some()
    });
    if nothing && found_rests == wanted_rests && rests.len() == wanted_rests.len() {
        return Ok(());
    }
    Err(Differs::Wrong(format!("for the others: {found_rests:?}, not {wanted_rests:?}")))
}

/// The sentence for those of a process that cannot be named, without its age.
fn rest(of: &[&Dying], pid: u32) -> String {
    let how = of.first().map_or("", |one| one.how.as_str());
    let count = match of.len() {
        1 => "1 context that cannot be named has".to_owned(),
        count => format!("{count} contexts that cannot be named have"),
    };
    format!("{count} requests left; process {pid} waits in {how}")
}

fn stripped(says: &str) -> String {
    says.rsplit_once(" for ").map_or(says, |(says, _)| says).to_owned()
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
