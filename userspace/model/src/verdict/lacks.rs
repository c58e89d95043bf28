//! What this kernel does not tell of a context or its process, although a dump rests on it.

use crate::evidence::{CensusSource, Evidence};
use crate::kioctx::Kioctx;
use crate::known::{self, CREDITS, Fact, REFERENCES, RING_LEN};
use crate::picture::ContextView;
use crate::reconcile::facts_of;
use crate::units::Pid;
use crate::verdict::{Policy, Reason};

const REMEDY: &str = "accept what is not proven with dump --unverified";

/// A number that is not known, and what it costs to do without.
pub(super) struct Lack {
    what: String,
    /// What the user leaves open who accepts that; `None`: it cannot be done without.
    open: Option<&'static str>,
}

/// What is not known of a context that the kernel named; `None`: the kernel did not name it.
pub(super) fn of_context(evidence: &Evidence, pid: Pid, context: &ContextView) -> Option<Vec<Lack>> {
    match evidence.source {
        CensusSource::Bpf => {}
        CensusSource::Proc => return None,
    }
    let facts = || facts_of(evidence, pid, context);
    let mut lacks = Vec::new();
    let mut lack = |what: &str, of: &[Fact], open| {
        // A number that no member holds is one that is out of range.
        let why = known::why(&evidence.lacks, of);
        let why = why.unwrap_or_else(|| "the number in the kernel is out of range".to_owned());
        lacks.push(Lack { what: format!("{what}: {why}"), open });
    };
    if context.in_flight.is_none() && !facts().any(Kioctx::tells_in_flight) {
        let of = [&CREDITS[..], &REFERENCES].concat();
        lack("requests in flight are not known", &of, Some("requests in flight: a restore loses them"));
    }
    if context.unreaped.is_none() && facts().any(|fact| !fact.tells_unreaped()) {
        let of = [Fact::Tail, Fact::NrEvents, Fact::CompletedEvents];
        let open = "completions that nobody reaped: nothing but the ring itself vouches for head and tail";
        lack("completions that nobody reaped are not known", &of, Some(open));
    }
    if context.ring_len.is_none() {
        lack("the length of its ring is not known", &RING_LEN, None);
    }
    Some(lacks)
}

/// What an image needs of the process beside its contexts, and is not known.
pub(super) fn of_image(evidence: &Evidence, policy: Policy) -> Vec<Lack> {
    let needed = [
        (Fact::Brk, "the end of the heap (brk)", "brk: the image has the end of the heap as it is mapped"),
        (Fact::Dumpable, "whether it is dumpable", "dumpable: the image has what nearly every process is"),
    ];
    let lacks = needed.into_iter().filter(|_| policy.image).filter_map(|(fact, what, open)| {
        let why = known::why(&evidence.lacks, &[fact])?;
        Some(Lack { what: format!("{what}, which the image needs, is not known: {why}"), open: Some(open) })
    });
    lacks.collect()
}

/// What stands against a dump; what the user accepts is added to `accepted`, each thing once.
pub(super) fn weighed(
    lacks: impl IntoIterator<Item = Lack>,
    policy: Policy,
    accepted: &mut Vec<&'static str>,
) -> Vec<Reason> {
    let mut reasons = Vec::new();
    for Lack { what, open } in lacks {
        match open {
            Some(open) if policy.unverified => {
                if !accepted.contains(&open) {
                    accepted.push(open);
                }
            }
            Some(_) => reasons.push(Reason { is_lack: true, ..Reason::open(what, REMEDY) }),
            None => reasons.push(Reason { is_lack: true, ..Reason::open(what, "") }),
        }
    }
    reasons
}
