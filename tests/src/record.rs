//! Captures: evidence of real fixture processes in every odd state, recorded once and replayed by the golden suite.
//!
//! `record-captures` makes each state of [`RECIPES`] with an `aio-fixture`, lets the library read it as `check`, `dump` or
//! `list` would, and keeps the evidence only if the judge says of it what the recipe expects. What is then changed is
//! written down in [`neutral`] and, for the few states that no process can be brought into on demand, in [`derived`].
//! tests/captures/README.md says how to record again.

pub mod derived;
mod machine;
pub mod neutral;
mod recipes;
mod scene;
mod states;

use std::fs;
use std::path::Path;

use aioinspect_formats::evidence_to_bytes;
use aioinspect_model::evidence::Evidence;
use aioinspect_model::finding::Finding;
use aioinspect_model::reconcile::reconcile;
use aioinspect_model::verdict::{Policy, judge_dump};
use aioinspect_render::verdict::word;
use anyhow::{Context, bail};

pub use machine::Machine;
pub use recipes::RECIPES;
pub use scene::Scene;

/// How often a state is made anew because what was read of it is not what was meant: a fixture that was not yet asleep.
const TRIES: u32 = 20;

/// What a recipe makes.
pub type Made = anyhow::Result<Evidence>;

/// How one capture is made.
#[derive(Clone, Copy, Debug)]
pub struct Recipe {
    /// Its file is `NAME.evidence`.
    pub name: &'static str,
    /// The state, in a few words.
    pub about: &'static str,
    /// Makes it and reads it.
    pub make: fn(&mut Scene) -> Made,
    /// What the judge must say of it.
    pub expect: Expect,
    /// On what it is made.
    pub on: Machine,
}

/// What the judge must say of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expect {
    /// The word of `check -J`; `host` for evidence of the whole host, which has none.
    pub verdict: &'static str,
    /// The findings of all contexts; `ghost-ring` if there is a ghost.
    pub findings: &'static [Finding],
}

/// What the judge says of an evidence: the verdict's word, and every finding once, in the list's order.
pub fn said(evidence: &Evidence) -> (&'static str, Vec<Finding>) {
    let picture = reconcile(evidence);
    let verdict =
        evidence.target.map_or("host", |pid| word(&judge_dump(evidence, &picture, pid, &Policy::default())));
    let mut findings: Vec<Finding> =
        picture.contexts.iter().flat_map(|context| context.findings.iter().copied()).collect();
    if !picture.ghosts.is_empty() {
        findings.push(Finding::GhostRing);
    }
    findings.sort_unstable();
    findings.dedup();
    (verdict, findings)
}

/// Makes the state until it is read as expected, and writes `NAME.evidence`.
pub fn record(recipe: &Recipe, into: &Path) -> anyhow::Result<()> {
    let expected = (recipe.expect.verdict, recipe.expect.findings.to_vec());
    let mut last = None;
    for _ in 0..TRIES {
        let mut scene = Scene::new()?;
        let evidence = (recipe.make)(&mut scene).with_context(|| recipe.name.to_owned())?;
        let evidence = neutral::neutral(evidence, &mut scene)?;
        let got = said(&evidence);
        if got == expected {
            let path = into.join(format!("{}.evidence", recipe.name));
            let bytes = evidence_to_bytes(&evidence)?;
            return fs::write(&path, bytes).with_context(|| path.display().to_string());
        }
        last = Some(got);
    }
    bail!("{}: expected {expected:?}, and in {TRIES} tries got {last:?} at last", recipe.name)
}
