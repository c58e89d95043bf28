//! Whether a process can be dumped: the verdict of `dump` and `check`.
//!
//! An image must promise nothing that a restore would lose, so a context is accepted only when each thing that could be
//! lost is known to be absent. What is not known refuses like what is wrong.

mod lacks;

use crate::evidence::{CensusSource, Evidence, Manner};
use crate::finding::Finding;
use crate::kioctx::Kioctx;
use crate::known;
use crate::picture::{ContextView, GhostView, Picture, Proof, SpaceView};
use crate::reconcile::facts_of;
use crate::units::Pid;

/// What the user allows, and wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// `--allow-unreaped`: completions in the ring are kept in it, and restored with it.
    pub allow_unreaped: bool,
    /// `--unverified`: do without the kernel's word where there is none.
    pub unverified: bool,
    /// Whether an image is to be written: it needs more than the contexts.
    pub image: bool,
}

/// Whether a process can be dumped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DumpVerdict {
    /// Every context is idle.
    Idle {
        /// Indices into `Picture::contexts`: what the image may name.
        contexts: Vec<usize>,
        /// What the user accepted without proof; empty unless `Policy::unverified` was needed.
        unproven: Vec<&'static str>,
    },
    /// Something is pending, wrong, or not known.
    Refused {
        /// What; never empty.
        reasons: Vec<Reason>,
    },
    /// The process ran while we looked, so nothing read of it is final.
    Busy {
        /// What was seen all the same: with a request in flight there is no point in freezing it.
        seen: Vec<Reason>,
    },
    /// The evidence does not know this process.
    NoSuchProcess,
}

impl DumpVerdict {
    /// Whether nothing but the kernel stands against it: another look would say the same.
    pub fn is_for_lack(&self) -> bool {
        match self {
            DumpVerdict::Refused { reasons } => reasons.iter().all(|reason| reason.is_lack),
            DumpVerdict::Idle { .. } | DumpVerdict::Busy { .. } | DumpVerdict::NoSuchProcess => false,
        }
    }
}

/// One thing that stands against a dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Index into `Picture::contexts`; `None`: it concerns the whole process.
    pub context: Option<usize>,
    /// What kind of thing; `None`: nothing is wrong, but nothing is proven either.
    pub finding: Option<Finding>,
    /// What is pending or wrong.
    pub what: String,
    /// What the user can do; empty if nothing helps.
    pub remedy: &'static str,
    /// Whether it is only that this kernel does not tell a number.
    pub is_lack: bool,
}

impl Reason {
    /// Nothing is wrong that was seen.
    pub(super) fn open(what: String, remedy: &'static str) -> Self {
        Self { context: None, finding: None, what, remedy, is_lack: false }
    }

    /// A finding refuses it.
    fn of(finding: Finding, what: String) -> Self {
        Self { finding: Some(finding), ..Self::open(what, finding.remedy().unwrap_or_default()) }
    }
}

/// Judges the process `pid`.
pub fn judge_dump(evidence: &Evidence, picture: &Picture, pid: Pid, policy: &Policy) -> DumpVerdict {
    let Some(space) = space_of(picture, pid) else { return DumpVerdict::NoSuchProcess };
    let mut reasons = Vec::new();
    let mut accepted = Vec::new();
    for index in &space.contexts {
        if let Some(context) = picture.contexts.get(*index) {
            let found = reasons_of(evidence, pid, context, *policy);
            let lacks = lacks::of_context(evidence, pid, context).filter(|_| found.is_empty());
            let lacks = lacks::weighed(lacks.into_iter().flatten(), *policy, &mut accepted);
            let found = found.into_iter().chain(lacks);
            reasons.extend(found.map(|reason| Reason { context: Some(*index), ..reason }));
        }
    }
    // Reasons are in the order of the contexts, those of the whole process first.
    let whole = lacks::weighed(lacks::of_image(evidence, *policy), *policy, &mut accepted);
    reasons.splice(0..0, whole);
    let without_kernel = evidence.source == CensusSource::Proc;
    // Who waits in the kernel does not run, and what is waited for is known whatever else is not.
    let waits = reasons.iter().any(|reason| reason.finding.is_some_and(Finding::is_dying));
    match space.proof {
        Proof::Consistent => {}
        Proof::Busy | Proof::Unproven if waits => {}
        Proof::Busy => return DumpVerdict::Busy { seen: reasons },
        Proof::Unproven if without_kernel && policy.unverified => {}
        Proof::Unproven => reasons.insert(0, unproven(evidence)),
    }
    if !reasons.is_empty() {
        return DumpVerdict::Refused { reasons };
    }
    let unproven = if without_kernel { self::accepted(space) } else { accepted };
    DumpVerdict::Idle { contexts: space.contexts.clone(), unproven }
}

/// The address space that a process lives in.
pub fn space_of(picture: &Picture, pid: Pid) -> Option<&SpaceView> {
    picture.spaces.iter().find(|space| space.pids.contains(&pid))
}

/// The rings without a context of an address space: to be named, never to be dumped.
pub fn ghosts_of<'a>(
    picture: &'a Picture,
    space: &SpaceView,
) -> impl Iterator<Item = &'a GhostView> + use<'a> {
    let shown_under = space.pids.first().copied();
    picture.ghosts.iter().filter(move |ghost| Some(ghost.pid) == shown_under)
}

/// What must be known of a dump but does not stand against it: index of the context, and a sentence.
pub fn warnings_of<'a>(
    picture: &'a Picture,
    space: &'a SpaceView,
) -> impl Iterator<Item = (usize, Finding, &'a str)> {
    space.contexts.iter().filter_map(|index| Some((*index, picture.contexts.get(*index)?))).flat_map(
        |(index, context)| {
            let warns = context.details.iter().filter(|(finding, _)| finding.remedy().is_none());
            warns.map(move |(finding, detail)| (index, *finding, detail.as_str()))
        },
    )
}

/// What stands against one context: its findings, and then everything that no finding vouches for.
fn reasons_of(evidence: &Evidence, pid: Pid, context: &ContextView, policy: Policy) -> Vec<Reason> {
    let mut reasons: Vec<Reason> = Vec::new();
    for finding in context.findings.iter().copied() {
        let kept = finding == Finding::Unreaped && policy.allow_unreaped;
        // What its process does says it all.
        let told = finding == Finding::Dying && context.findings.contains(&Finding::Exiting);
        if finding.remedy().is_some() && !kept && !told {
            reasons.push(Reason::of(finding, context.in_words(finding)));
        }
    }
    if reasons.is_empty() {
        let what = unvouched(evidence, pid, context, policy);
        reasons.extend(what.map(|what| Reason::of(Finding::Unsettled, what.to_owned())));
    }
    reasons
}

/// The conditions themselves, asked of the numbers and not of the findings: a finding that was forgotten passes nothing. What this kernel
/// does not tell is [`lacks::of_context`]'s to say.
fn unvouched(evidence: &Evidence, pid: Pid, context: &ContextView, policy: Policy) -> Option<&'static str> {
    let facts = || facts_of(evidence, pid, context);
    match evidence.source {
        CensusSource::Proc => {}
        CensusSource::Bpf => {
            let known = facts().next().is_some();
            let idle = facts().all(Kioctx::is_idle) && context.in_flight == Some(0);
            let told = facts().any(Kioctx::tells_in_flight);
            if !known || (told && !idle) {
                return Some("requests in flight are not known to be none");
            }
        }
    }
    if context.mapped != Some(true) {
        return Some("its mapping was not read");
    }
    match context.unreaped {
        Some(0) => None,
        Some(_) if policy.allow_unreaped => None,
        Some(_) => Some("completions are not reaped"),
        // The header was read, and it is the kernel's part of the number that is missing.
        None if context.head.is_some() && facts().any(|fact| !fact.tells_unreaped()) => None,
        None => Some("its ring header was not read"),
    }
}

fn unproven(evidence: &Evidence) -> Reason {
    let (what, remedy) = match (evidence.source, known::why(&evidence.lacks, &known::SCHEDULER)) {
        (CensusSource::Proc, _) => (
            "the kernel was not asked: requests in flight are not known".to_owned(),
            "see doctor, or accept what is not proven with --unverified",
        ),
        (CensusSource::Bpf, Some(why)) => {
            (format!("whether it ran while we looked is not known: {why}"), "freeze it with --freeze ptrace")
        }
        (CensusSource::Bpf, None) => {
            ("one look at a running process proves nothing".to_owned(), "freeze it with --freeze ptrace")
        }
    };
    Reason::open(what, remedy)
}

/// What a verdict without the kernel's word leaves open.
fn accepted(space: &SpaceView) -> Vec<&'static str> {
    let mut open = vec![
        "requests in flight: a restore loses them",
        "which rings have a context: one inherited by fork looks the same and is restored as a context",
        "max_reqs: nr_req is an estimate, and the restored context may cost more of aio-max-nr",
        "magic, nr, head and tail: nothing but the ring itself vouches for them",
    ];
    match space.manner {
        Manner::Running => open.push("one state: the process ran while its rings were read"),
        Manner::Frozen | Manner::Held => {}
    }
    open
}

#[cfg(test)]
mod tests;
