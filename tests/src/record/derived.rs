//! States that no process can be brought into on demand: each is a recorded one with the edit that is named here.

use aioinspect::model::witness::{Evidence, KernelWord, Look};
use anyhow::{Context, bail};

/// The looks of several evidences of one process as those of one, as `check --wait` keeps them.
///
/// `--wait` ends at the first idle look, so it never sees an idle process twice; whoever watches does.
pub fn joined(evidences: Vec<Evidence>) -> anyhow::Result<Evidence> {
    let mut looks: Vec<Look> = Vec::new();
    let mut last = None;
    for mut evidence in evidences {
        let [space] = evidence.spaces.as_mut_slice() else { bail!("not one address space") };
        looks.append(&mut space.looks);
        last = Some(evidence);
    }
    let mut evidence = last.context("no evidence")?;
    for space in &mut evidence.spaces {
        space.looks = std::mem::take(&mut looks);
    }
    Ok(evidence)
}

/// A census that met a task which left the address space meanwhile: `torn` is set.
pub fn torn(mut evidence: Evidence) -> Evidence {
    words(&mut evidence).for_each(|word| word.torn = true);
    evidence
}

/// The two counts of requests in flight disagree in a process that slept: one reference fewer than the credits say.
pub fn one_reference_lost(mut evidence: Evidence) -> Evidence {
    for context in words(&mut evidence).flat_map(|word| &mut word.contexts) {
        context.percpu_refs = context.percpu_refs.saturating_sub(1);
    }
    evidence
}

/// io_destroy has begun: `dead` is set.
pub fn dying(mut evidence: Evidence) -> Evidence {
    for context in words(&mut evidence).flat_map(|word| &mut word.contexts) {
        context.dead = true;
    }
    evidence
}

/// A host on which nobody has a context.
pub fn nobody(mut evidence: Evidence) -> Evidence {
    evidence.spaces.clear();
    evidence
}

fn words(evidence: &mut Evidence) -> impl Iterator<Item = &mut KernelWord> {
    let looks = evidence.spaces.iter_mut().flat_map(|space| &mut space.looks);
    looks.flat_map(|look| look.before.iter_mut().chain(look.after.iter_mut()))
}
