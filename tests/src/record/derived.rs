//! States that no process can be brought into on demand: each is a recorded one with the edit that is named here.

use aioinspect_model::evidence::{Evidence, KernelWord, Look};
use aioinspect_model::kioctx::Kioctx;
use aioinspect_model::known::{Fact, Known};
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
        context.percpu_refs = context.percpu_refs.map(|refs| refs.saturating_sub(1));
    }
    evidence
}

/// io_destroy has begun: `dead` is set.
pub fn dying(mut evidence: Evidence) -> Evidence {
    for context in words(&mut evidence).flat_map(|word| &mut word.contexts) {
        context.dead = Some(true);
    }
    evidence
}

/// io_destroy on a kernel that does not show what is on a stack: who waits is known, and what it was called with.
pub fn only_the_call(mut evidence: Evidence) -> Evidence {
    for wait in words(&mut evidence).flat_map(|word| &mut word.waits) {
        wait.contexts.clear();
        wait.left = None;
    }
    evidence
}

/// Three contexts are waited for, and one of them is found: the others lie elsewhere in memory.
pub fn one_of_three(mut evidence: Evidence) -> Evidence {
    for wait in words(&mut evidence).flat_map(|word| &mut word.waits) {
        wait.contexts.truncate(1);
        wait.left = Some(3);
    }
    evidence
}

/// A kernel whose `struct kioctx` has no `tail`.
pub fn no_tail(mut evidence: Evidence) -> Evidence {
    contexts(&mut evidence).for_each(|context| context.tail = None);
    lacks(evidence, &[(Fact::Tail, "this kernel's struct kioctx has no member tail")])
}

/// A kernel whose `struct kioctx` has no `max_reqs`.
pub fn no_max_reqs(mut evidence: Evidence) -> Evidence {
    contexts(&mut evidence).for_each(|context| context.max_reqs = None);
    lacks(evidence, &[(Fact::MaxReqs, "this kernel's struct kioctx has no member max_reqs")])
}

/// A kernel whose `struct kioctx_cpu` has no `reqs_available`: the references alone tell what is in flight.
pub fn no_credits(mut evidence: Evidence) -> Evidence {
    contexts(&mut evidence).for_each(|context| context.percpu_available = None);
    let why = "this kernel's struct kioctx_cpu has no member reqs_available";
    lacks(evidence, &[(Fact::PercpuAvailable, why)])
}

/// A kernel on which the memory of a possible CPU cannot be found: neither witness tells what is in flight.
pub fn no_cpu(mut evidence: Evidence) -> Evidence {
    contexts(&mut evidence)
        .for_each(|context| (context.percpu_available, context.percpu_refs) = (None, None));
    let why = "CPU 1 is offline, and this kernel does not show where its memory is";
    lacks(evidence, &[(Fact::PercpuAvailable, why), (Fact::PercpuRefs, why)])
}

/// A kernel whose `struct task_struct` has no `on_cpu`: who may run is not seen to have slept.
pub fn no_on_cpu(mut evidence: Evidence) -> Evidence {
    words(&mut evidence).flat_map(|word| &mut word.tasks).for_each(|task| task.on_cpu = None);
    lacks(evidence, &[(Fact::OnCpu, "this kernel's struct task_struct has no member on_cpu")])
}

/// A kernel whose `struct mm_struct` has no `brk`.
pub fn no_brk(mut evidence: Evidence) -> Evidence {
    words(&mut evidence).for_each(|word| word.mm.brk = None);
    lacks(evidence, &[(Fact::Brk, "this kernel's struct mm_struct has no member brk")])
}

/// A host on which nobody has a context.
pub fn nobody(mut evidence: Evidence) -> Evidence {
    evidence.spaces.clear();
    evidence
}

fn lacks(mut evidence: Evidence, why: &[(Fact, &str)]) -> Evidence {
    let mut known = Known::all();
    for (fact, why) in why {
        known.lose(*fact, *why);
    }
    evidence.lacks = known.lacks().to_vec();
    evidence
}

fn contexts(evidence: &mut Evidence) -> impl Iterator<Item = &mut Kioctx> {
    words(evidence).flat_map(|word| &mut word.contexts)
}

fn words(evidence: &mut Evidence) -> impl Iterator<Item = &mut KernelWord> {
    let looks = evidence.spaces.iter_mut().flat_map(|space| &mut space.looks);
    looks.flat_map(|look| look.before.iter_mut().chain(look.after.iter_mut()))
}
