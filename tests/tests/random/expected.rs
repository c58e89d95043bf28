//! What must be found, from the truth alone.

use std::collections::BTreeSet;

use aioinspect::model::finding::Finding;
use aioinspect_tests::fixture::forks_copy_rings;
use aioinspect_tests::truth::{ContextTruth, Truth};

/// One context as every output must have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    pub pid: u32,
    pub id: u64,
    pub max_reqs: u32,
    pub nr_events: u32,
    pub in_flight: u32,
    pub unreaped: Option<u32>,
    pub tail: u32,
    pub ring_len: u64,
    pub mapped: bool,
    pub findings: BTreeSet<Finding>,
}

/// One ring without a context.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ghost {
    pub pid: u32,
    pub address: u64,
    pub ring_len: u64,
}

/// Every process of a fixture.
pub fn pids(truth: &Truth) -> Vec<u32> {
    std::iter::once(truth.pid).chain(truth.children.iter().map(|child| child.pid)).collect()
}

/// The PIDs of those that share the fixture's memory; the lowest is shown.
pub fn sharing(truth: &Truth) -> Vec<u32> {
    let siblings = truth.children.iter().filter(|child| child.kind == "vm").map(|child| child.pid);
    let mut pids: Vec<u32> = std::iter::once(truth.pid).chain(siblings).collect();
    pids.sort_unstable();
    pids
}

/// The contexts of a fixture, by id.
pub fn contexts(truth: &Truth) -> Vec<Context> {
    let pid = *sharing(truth).first().unwrap();
    let mut contexts: Vec<Context> = truth.contexts.iter().map(|one| context(truth, one, pid)).collect();
    contexts.sort_by_key(|context| context.id);
    contexts
}

/// The ghosts of a fixture's children.
pub fn ghosts(truth: &Truth) -> Vec<Ghost> {
    if !forks_copy_rings() {
        return Vec::new();
    }
    let mut ghosts: Vec<Ghost> = truth
        .children
        .iter()
        .flat_map(|child| {
            child.ghosts.iter().map(|ghost| Ghost {
                pid: child.pid,
                address: ghost.address,
                ring_len: ghost.ring_len,
            })
        })
        .collect();
    ghosts.sort();
    ghosts
}

fn context(truth: &Truth, of: &ContextTruth, pid: u32) -> Context {
    let readable = of.pages.starts_with(['w', 'r']);
    Context {
        pid,
        id: of.id,
        max_reqs: of.max_reqs,
        nr_events: of.nr_events,
        in_flight: of.in_flight,
        unreaped: readable.then_some(of.unreaped),
        tail: of.tail,
        ring_len: of.ring_len,
        mapped: !of.pages.starts_with('x'),
        findings: findings(truth, of, readable),
    }
}

fn findings(truth: &Truth, of: &ContextTruth, readable: bool) -> BTreeSet<Finding> {
    let begins = !of.pages.starts_with('x');
    let whole = of.pages.chars().all(|page| of.pages.starts_with(page));
    let inherited = forks_copy_rings()
        && truth.children.iter().flat_map(|child| &child.ghosts).any(|ghost| ghost.handle == of.handle);
    [
        (of.in_flight > 0, Finding::InFlight),
        (readable && of.unreaped > 0, Finding::Unreaped),
        (!begins, Finding::UnmappedRing),
        (of.pages.starts_with('-'), Finding::UnreadableRing),
        (!whole, Finding::SplitMapping),
        (begins && of.pages.contains(['r', '-']), Finding::ProtectionChanged),
        (begins && inherited, Finding::SharedRing),
    ]
    .into_iter()
    .filter_map(|(holds, finding)| holds.then_some(finding))
    .collect()
}

/// What of a context stands against a dump, as DESIGN.md lists it.
pub fn refusing(context: &Context) -> BTreeSet<Finding> {
    let harmless = [Finding::SharedRing];
    context.findings.iter().copied().filter(|finding| !harmless.contains(finding)).collect()
}
