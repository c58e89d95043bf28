//! What must be found, from the truth alone.

use std::collections::BTreeSet;

use aioinspect_kernel::host::system;
use aioinspect_model::finding::Finding;
use aioinspect_tests::fixture::forks_copy_rings;
use aioinspect_tests::truth::{ContextTruth, StrandTruth, Truth};

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
    pub strand: Option<Strand>,
}

/// Where io_submit fails, and what is out of its reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strand {
    pub handle: u32,
    /// Has no credit.
    pub from: u32,
    /// Has so many.
    pub to: u32,
    pub credits: u32,
}

/// One context that is in no table any more, as every output must have it, and who waits for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dying {
    pub pid: u32,
    pub id: u64,
    pub max_reqs: u32,
    pub nr_events: u32,
    pub in_flight: u32,
    pub findings: BTreeSet<Finding>,
    pub tid: u32,
    /// As in the truth: destroy, exit or exec.
    pub how: String,
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

/// The contexts that are dying, of a fixture and of its children, by process and id.
pub fn dying(truth: &Truth) -> Vec<Dying> {
    let shown = *sharing(truth).first().unwrap();
    let mut all: Vec<Dying> = truth
        .dying
        .iter()
        .map(|one| Dying {
            pid: if one.pid == truth.pid { shown } else { one.pid },
            id: one.id,
            max_reqs: one.max_reqs,
            nr_events: one.nr_events,
            in_flight: one.in_flight,
            findings: match one.how.as_str() {
                "destroy" => BTreeSet::from([Finding::Dying]),
                "exit" | "exec" => BTreeSet::from([Finding::Dying, Finding::Exiting]),
                other => panic!("{other:?}: {one:?}"),
            },
            tid: one.tid,
            how: one.how.clone(),
        })
        .collect();
    all.sort();
    all
}

/// Whether a child of the fixture waits in exit or exec: it has no memory, or one that is new.
pub fn is_ending(truth: &Truth, pid: u32) -> bool {
    truth.dying.iter().any(|one| one.pid == pid && one.how != "destroy")
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
        strand: strand(of),
    }
}

/// All entries that no request has are the second CPU's, but for those that belong to no CPU: credits go to and fro in batches
/// (fs/aio.c:__get_reqs_available, put_reqs_available), so the latter are what was left over by batches in the beginning, and less than one
/// batch, since the first CPU found none.
fn strand(of: &ContextTruth) -> Option<Strand> {
    let StrandTruth { from, to } = of.strand?;
    let usable = of.nr_events - 1;
    let batch = (usable / (4 * system::facts().unwrap().possible_cpus)).max(1);
    Some(Strand { handle: of.handle, from, to, credits: usable - of.in_flight - usable % batch })
}

fn findings(truth: &Truth, of: &ContextTruth, readable: bool) -> BTreeSet<Finding> {
    let begins = !of.pages.starts_with('x');
    let whole = of.pages.chars().all(|page| of.pages.starts_with(page));
    let inherited = forks_copy_rings()
        && truth.children.iter().flat_map(|child| &child.ghosts).any(|ghost| ghost.handle == of.handle);
    let credits = strand(of).map(|strand| strand.credits);
    [
        (credits.is_some_and(|credits| credits > 0), Finding::StrandedCredits),
        (credits == Some(0), Finding::RingFull),
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

/// What stands against a dump of a process, by context.
pub fn reasons(truth: &Truth, pid: u32) -> BTreeSet<(u64, Finding)> {
    let own = contexts(truth).into_iter().filter(|_| pid == truth.pid);
    let own =
        own.flat_map(|context| refusing(&context).into_iter().map(move |finding| (context.id, finding)));
    let of = truth.dying.iter().filter(|one| one.pid == pid);
    // Of a process that ends, that is the one reason: the rest follows.
    let of = of.map(|one| (one.id, if one.how == "destroy" { Finding::Dying } else { Finding::Exiting }));
    own.chain(of).collect()
}

/// What of a context stands against a dump, as DESIGN.md lists it.
fn refusing(context: &Context) -> BTreeSet<Finding> {
    let harmless = [Finding::SharedRing, Finding::StrandedCredits, Finding::RingFull];
    context.findings.iter().copied().filter(|finding| !harmless.contains(finding)).collect()
}
