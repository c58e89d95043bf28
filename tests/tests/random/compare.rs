//! One census against the truth of several fixtures.

use std::collections::BTreeSet;

use aioinspect_model::evidence::Evidence;
use aioinspect_model::kioctx::{RefState, Told};
use aioinspect_model::picture::{ContextView, Picture};
use aioinspect_model::reconcile::facts_of;
use aioinspect_model::units::Pid;
use aioinspect_tests::truth::Truth;

use crate::expected::{self, Context, Ghost};
use crate::{dying, stranded};

/// How a census differs from the truth.
#[derive(Debug, PartialEq, Eq)]
pub enum Differs {
    /// In a number that a kernel worker may still be about to put right.
    ///
    /// The request of a poll on an eventfd gives its reference back after it has signalled its completion, and other programs
    /// of this host come and go between the census and aio-nr.
    MaySettle(String),
    /// In anything else.
    Wrong(String),
}

/// What was found of one fixture.
pub fn fixture(evidence: &Evidence, picture: &Picture, truth: &Truth) -> Result<(), Differs> {
    let pids = expected::pids(truth);
    let all = picture.contexts.iter().filter(|view| pids.contains(&view.pid.0));
    let (gone, views): (Vec<&ContextView>, Vec<&ContextView>) = all.partition(|view| view.is_dying());
    dying::contexts(evidence, &gone, truth)?;
    let wanted = expected::contexts(truth);
    if views.len() != wanted.len() {
        let ids: Vec<String> = views.iter().map(|view| view.context.to_string()).collect();
        return Err(Differs::Wrong(format!("{} contexts, not {}: {ids:?}", views.len(), wanted.len())));
    }
    for (view, wanted) in views.iter().zip(&wanted) {
        context(evidence, view, wanted)?;
    }
    let mut ghosts: Vec<Ghost> = picture
        .ghosts
        .iter()
        .filter(|ghost| pids.contains(&ghost.pid.0))
        .map(|ghost| Ghost { pid: ghost.pid.0, address: ghost.address.0, ring_len: ghost.ring_len })
        .collect();
    ghosts.sort();
    let wanted = expected::ghosts(truth);
    if ghosts != wanted {
        return Err(Differs::Wrong(format!("ghosts {ghosts:x?}, not {wanted:x?}")));
    }
    processes(picture, truth)
}

/// Those that share the memory are one address space.
fn processes(picture: &Picture, truth: &Truth) -> Result<(), Differs> {
    if truth.contexts.is_empty() {
        return Ok(());
    }
    let found = picture.spaces.iter().find(|space| space.pids.contains(&Pid(truth.pid)));
    let found: Vec<u32> = found.map(|space| space.pids.iter().map(|pid| pid.0).collect()).unwrap_or_default();
    let wanted = expected::sharing(truth);
    if found == wanted {
        Ok(())
    } else {
        Err(Differs::Wrong(format!("one memory of {found:?}, not {wanted:?}")))
    }
}

fn context(evidence: &Evidence, view: &ContextView, wanted: &Context) -> Result<(), Differs> {
    let found = Context {
        pid: view.pid.0,
        id: view.context.0,
        max_reqs: view.max_reqs.unwrap_or(u32::MAX),
        nr_events: view.nr_events.unwrap_or(u32::MAX),
        in_flight: view.in_flight.unwrap_or(u32::MAX),
        unreaped: view.unreaped,
        tail: view.tail.unwrap_or(u32::MAX),
        ring_len: view.ring_len.unwrap_or(u64::MAX),
        mapped: view.mapped == Some(true),
        findings: view.findings.iter().copied().collect::<BTreeSet<_>>(),
        strand: wanted.strand.filter(|strand| stranded::is_told(view.outlook.as_ref(), strand)),
    };
    if found != *wanted {
        let text = format!("{found:x?}\n not {wanted:x?}\n {:?} {:?}", view.details, view.outlook);
        // A completion half-way is still in flight; everything else is final.
        let but_for_in_flight = Context {
            in_flight: wanted.in_flight,
            findings: wanted.findings.clone(),
            strand: wanted.strand,
            ..found.clone()
        };
        let may_settle = but_for_in_flight == *wanted && found.in_flight > wanted.in_flight;
        return Err(if may_settle { Differs::MaySettle(text) } else { Differs::Wrong(text) });
    }
    let facts: Vec<_> = facts_of(evidence, view.pid, view).collect();
    let [fact] = facts.as_slice() else {
        return Err(Differs::Wrong(format!("{} kernel records of context {:#x}", facts.len(), wanted.id)));
    };
    if fact.dead != Some(false) || fact.ref_state != Some(RefState::PerCpu) {
        return Err(Differs::Wrong(format!("a living context is {fact:?}")));
    }
    match fact.in_flight_by_refs() {
        Told::Is(by_refs) if by_refs == wanted.in_flight => Ok(()),
        by_refs => Err(Differs::MaySettle(format!(
            "{by_refs:?} in flight by the references, not {}: {fact:x?}",
            wanted.in_flight
        ))),
    }
}

/// Whether the sum over all contexts of the host is aio-nr.
pub fn sum(picture: &Picture, truths: &[&Truth]) -> Result<(), Differs> {
    let ours: u64 = truths.iter().map(|truth| truth.aio_nr).sum();
    let (attributed, aio_nr) = (picture.system.attributed, picture.system.aio_nr);
    if attributed == Some(aio_nr) && aio_nr >= ours {
        return Ok(());
    }
    Err(Differs::MaySettle(format!("aio-nr {aio_nr}, found {attributed:?}, of it ours {ours}")))
}
