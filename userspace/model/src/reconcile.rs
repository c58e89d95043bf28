//! The judge: two witnesses in, one picture out.
//!
//! Pure and total. Whatever the evidence says, there is a picture; what cannot be known is `None`, and what the
//! witnesses disagree on is a finding of the context it concerns.

mod claims;
mod context;
mod dying;
mod full;
mod history;
mod mapping;
mod notes;
mod proof;
mod rings;
mod sharing;
mod space;
mod traced;
mod views;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::evidence::{AddressSpace, CensusSource, Evidence, KernelWord, Manner, Process};
use crate::judged::judged_word;
use crate::kioctx::Kioctx;
use crate::owner::owner;
use crate::picture::{About, ContextView, GhostView, Owner, Picture, Proof, SpaceView, SystemView};
use crate::trend::{History, Trends};
use crate::units::Pid;

/// Judges the last look at every address space; earlier looks only show what moved.
pub fn reconcile(evidence: &Evidence) -> Picture {
    judge(evidence, |space| history::of(&space.looks))
}

/// The same for one who looks again and again and keeps no looks: `trends` were handed this evidence too, and know what came before it.
pub fn reconcile_with(evidence: &Evidence, trends: &Trends) -> Picture {
    judge(evidence, |space| trends.history(space))
}

fn judge(evidence: &Evidence, history: impl Fn(&AddressSpace) -> History) -> Picture {
    let nobody = Process::default();
    let chosen = each_once(evidence, &nobody);
    let sharing = sharing::Sharing::new(chosen.iter().copied());
    let mut owners = Owners::default();
    let abouts = Abouts::default();
    let mut contexts: Vec<ContextView> = Vec::new();
    let mut places: Vec<usize> = Vec::new();
    let mut ghosts: Vec<GhostView> = Vec::new();
    let mut spaces: Vec<SpaceView> = Vec::with_capacity(chosen.len());
    for (place, (ordinal, facts, process)) in chosen.iter().enumerate() {
        let pids = pids(facts);
        let Some(look) = facts.looks.last() else {
            spaces.push(unseen(pids));
            continue;
        };
        let shown = space::Shown { process, owner: owners.of(process), about: abouts.of(process) };
        let space = space::judge(facts, shown, look, history(facts), *ordinal, &evidence.system, &sharing);
        let found = space.find(evidence.source);
        contexts.extend(found.contexts);
        places.resize(contexts.len(), place);
        ghosts.extend(found.ghosts);
        let (proof, manner, pause_ns) = (space.proof, look.manner, look.pause_ns);
        // Without the kernel's word nothing is proven, however well the process was held.
        let proof = match evidence.source {
            CensusSource::Bpf => proof,
            CensusSource::Proc => Proof::Unproven,
        };
        spaces.push(SpaceView { pids, proof, manner, contexts: Vec::new(), pause_ns });
    }
    // The census walks tasks by PID, so this is the rule.
    if !contexts.is_sorted_by_key(|context| (context.pid, context.context)) {
        let mut pairs: Vec<(usize, ContextView)> = places.into_iter().zip(contexts).collect();
        pairs.sort_by_key(|(_, context)| (context.pid, context.context));
        (places, contexts) = pairs.into_iter().unzip();
    }
    ghosts.sort_by_key(|ghost| (ghost.pid, ghost.address));
    for (index, place) in places.iter().enumerate() {
        if let Some(space) = spaces.get_mut(*place) {
            space.contexts.push(index);
        }
    }
    Picture { system: system(evidence, &contexts), contexts, ghosts, spaces }
}

/// The owners met so far: the processes of a host are in few control groups, and each text is read once.
#[derive(Default)]
struct Owners<'a> {
    known: HashMap<&'a [u8], Arc<Owner>>,
}

impl<'a> Owners<'a> {
    fn of(&mut self, process: &'a Process) -> Arc<Owner> {
        let text = process.cgroup.as_deref().unwrap_or_default();
        Arc::clone(self.known.entry(text).or_insert_with(|| Arc::new(owner(text))))
    }
}

/// What is said about processes; most evidence says nothing of any, and that is one.
#[derive(Default)]
struct Abouts {
    nothing: Arc<About>,
}

impl Abouts {
    fn of(&self, process: &Process) -> Arc<About> {
        let about = About::of(process);
        if about == *self.nothing { Arc::clone(&self.nothing) } else { Arc::new(about) }
    }
}

/// The facts behind a context of a picture: usually one, several where an address was used twice.
pub fn facts_of<'a>(
    evidence: &'a Evidence,
    pid: Pid,
    view: &'a ContextView,
) -> impl Iterator<Item = &'a Kioctx> + use<'a> {
    let space = evidence.spaces.iter().find(|space| space.processes.iter().any(|process| process.pid == pid));
    let word: Option<&KernelWord> = space.and_then(|space| space.looks.last()).and_then(judged_word);
    word.into_iter().flat_map(|word| &word.contexts).filter(move |fact| fact.user_id == view.context)
}

/// The address spaces in the evidence's order, each mm once, with the process it is shown under.
fn each_once<'a>(evidence: &'a Evidence, nobody: &'a Process) -> Vec<(usize, &'a AddressSpace, &'a Process)> {
    let mut seen = HashSet::with_capacity(evidence.spaces.len());
    let spaces = evidence.spaces.iter().enumerate().filter(|(_, space)| seen.insert(space.mm));
    spaces
        .map(|(ordinal, space)| {
            let lowest = space.processes.iter().min_by_key(|process| process.pid);
            (ordinal, space, lowest.unwrap_or(nobody))
        })
        .collect()
}

fn pids(space: &AddressSpace) -> Vec<Pid> {
    let mut pids: Vec<Pid> = space.processes.iter().map(|process| process.pid).collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}

fn unseen(pids: Vec<Pid>) -> SpaceView {
    SpaceView { pids, proof: Proof::Unproven, manner: Manner::Running, contexts: Vec::new(), pause_ns: 0 }
}

/// The footer. Of one process alone the sum is known, and what the rest of the host holds is not.
fn system(evidence: &Evidence, contexts: &[ContextView]) -> SystemView {
    let facts = &evidence.system;
    // One context that is not known makes the sum unknown.
    let sum = contexts
        .iter()
        .filter(|context| !context.is_dying())
        .try_fold(0_u64, |sum, context| context.max_reqs.map(|max_reqs| sum.saturating_add(max_reqs.into())));
    let attributed = match evidence.source {
        CensusSource::Bpf => sum,
        CensusSource::Proc => None,
    };
    let rest = attributed.filter(|_| evidence.target.is_none()).map(|sum| {
        let rest = i128::from(facts.aio_nr) - i128::from(sum);
        i64::try_from(rest).unwrap_or(if rest < 0 { i64::MIN } else { i64::MAX })
    });
    SystemView {
        aio_nr: facts.aio_nr,
        aio_max_nr: facts.aio_max_nr,
        attributed,
        unattributed: rest,
        possible_cpus: facts.possible_cpus,
        page_size: facts.page_size,
        source: evidence.source,
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod tests_arbitrary;

#[cfg(test)]
mod tests_lost;

#[cfg(test)]
mod tests_proof;
