//! One round: fixtures driven side by side, then one census of the host.

use std::collections::BTreeSet;
use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use aioinspect::model::finding::Finding;
use aioinspect::model::reconcile::reconcile;
use aioinspect::model::units::Pid;
use aioinspect::model::verdict::{DumpVerdict, Policy, judge_dump};
use aioinspect::sys::live::Live;
use aioinspect::sys::source::{Ask, Hold, Source};
use aioinspect::sys::system;
use aioinspect_tests::fixture::{Fixture, forks_copy_rings};
use aioinspect_tests::host::{HostLock, aio_max_nr, aio_nr};
use aioinspect_tests::random::{Plan, Prng, Step, apply};
use aioinspect_tests::truth::Truth;

use crate::compare::{self, Differs};
use crate::{expected, mappings};

/// What one fixture may hold, so that a round's fixtures fit beside each other below aio-max-nr.
const MAX_REQS: u32 = 3_000;
/// Whether dying contexts are drawn: only once `expected.rs` says what must be found of them.
const DYING: bool = false;
/// The most steps of a sequence.
const STEPS: u32 = 60;
/// A kernel worker that has not come to its turn after this long is lost.
const SETTLES_WITHIN: Duration = Duration::from_secs(10);
/// A thread of a fixture at rest that has not fallen asleep after this long is not at rest.
const ASLEEP_WITHIN: Duration = Duration::from_secs(20);

/// Some sequences, with seeds one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    pub seed: u64,
    pub count: u64,
    pub slow_reads: bool,
}

/// What was met and how often it had to be looked at again.
#[derive(Debug, Default)]
pub struct Tally {
    censuses: u32,
    again: u32,
    contexts: usize,
    in_flight: u64,
    unreaped: u64,
    ghosts: usize,
    siblings: usize,
    servers: usize,
    findings: BTreeSet<Finding>,
    idle: u32,
    not_idle: u32,
    busy: u32,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} censuses ({} more to see something settle), {} contexts, {} requests in flight, {} unreaped, {} ghosts, \
             {} CLONE_VM siblings, {} with slow reads, verdicts: {} idle, {} not, {} busy at first; {:?}",
            self.censuses,
            self.again,
            self.contexts,
            self.in_flight,
            self.unreaped,
            self.ghosts,
            self.siblings,
            self.servers,
            self.idle,
            self.not_idle,
            self.busy,
            self.findings
        )
    }
}

impl Tally {
    fn note(&mut self, truth: &Truth) {
        let contexts = expected::contexts(truth);
        self.contexts += contexts.len();
        self.in_flight += contexts.iter().map(|context| u64::from(context.in_flight)).sum::<u64>();
        self.unreaped += contexts.iter().filter_map(|context| context.unreaped).map(u64::from).sum::<u64>();
        self.ghosts += expected::ghosts(truth).len();
        self.siblings += expected::sharing(truth).len() - 1;
        self.servers += truth.children.iter().filter(|child| child.kind == "fuse").count();
        self.findings.extend(contexts.iter().flat_map(|context| context.findings.iter().copied()));
    }

    /// Fails if the sequences were too tame to prove anything.
    pub fn assert_everything_was_met(&self, slow_reads: bool) {
        let mut findings = BTreeSet::from([
            Finding::InFlight,
            Finding::Unreaped,
            Finding::UnmappedRing,
            Finding::UnreadableRing,
            Finding::SplitMapping,
            Finding::ProtectionChanged,
            Finding::SharedRing,
        ]);
        if !forks_copy_rings() {
            findings.remove(&Finding::SharedRing);
        }
        assert_eq!(self.findings, findings);
        assert!(self.ghosts > 0 || !forks_copy_rings());
        assert!(self.siblings > 0 && self.idle > 0 && self.not_idle > 0);
        assert!(self.servers > 0 || !slow_reads);
    }
}

/// A fixture at rest, and what is true of it.
struct Driven {
    fixture: Fixture,
    truth: Truth,
    seed: u64,
    steps: Vec<Step>,
}

impl Driven {
    fn story(&self) -> String {
        let steps: Vec<String> = self.steps.iter().map(ToString::to_string).collect();
        format!(
            "AIOINSPECT_RANDOM_SEED={} AIOINSPECT_RANDOM_SEQUENCES=1, pid {}:\n{}",
            self.seed,
            self.fixture.pid(),
            steps.join("\n")
        )
    }
}

impl Round {
    /// Drives, looks, compares.
    pub fn run(self, live: &mut Live, tally: &mut Tally) {
        let alone = HostLock::take();
        let free = aio_max_nr().saturating_sub(aio_nr());
        let wanted = self.count * u64::from(MAX_REQS + 600);
        assert!(
            free >= wanted,
            "{free} slots of aio-max-nr are free, {wanted} are wanted: raise fs.aio-max-nr"
        );
        let driven: Vec<Driven> = thread::scope(|scope| {
            let alone = &alone;
            let each =
                (0..self.count).map(|k| scope.spawn(move || self.drive(self.seed.wrapping_add(k), alone)));
            let all: Vec<_> = each.collect();
            all.into_iter().map(|one| one.join().unwrap_or_else(|_| panic!("see above"))).collect()
        });
        for one in &driven {
            tally.note(&one.truth);
        }
        self.census(live, &driven, tally);
        let chosen = Prng::new(self.seed).between(0, u32::try_from(driven.len() - 1).unwrap());
        verdicts(live, &driven[usize::try_from(chosen).unwrap()], tally);
        // Few sequences end idle, and those are the ones that a dump must accept.
        if let Some(idle) = driven.iter().find(|one| wanted_reasons(&one.truth).is_empty()) {
            verdicts(live, idle, tally);
        }
        thread::scope(|scope| driven.into_iter().for_each(|one| drop(scope.spawn(move || drop(one)))));
    }

    fn drive(self, seed: u64, alone: &HostLock) -> Driven {
        let cpus = |count: usize| u32::try_from(count).unwrap();
        let plan = Plan {
            seed,
            length: Prng::new(!seed).between(1, STEPS),
            online_cpus: cpus(thread::available_parallelism().unwrap().get()),
            possible_cpus: system::facts().unwrap().possible_cpus,
            max_reqs: MAX_REQS,
            slow_reads: self.slow_reads,
            dying: DYING,
        };
        let steps = plan.steps();
        let mut fixture = Fixture::spawn_alone(alone);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            apply(&mut fixture, &steps);
            fixture.truth()
        }));
        let truth = outcome.unwrap_or_else(|_| {
            let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
            panic!("AIOINSPECT_RANDOM_SEED={seed} AIOINSPECT_RANDOM_SEQUENCES=1:\n{}", steps.join("\n"))
        });
        Driven { fixture, truth, seed, steps }
    }

    fn census(self, live: &mut Live, driven: &[Driven], tally: &mut Tally) {
        let truths: Vec<&Truth> = driven.iter().map(|one| &one.truth).collect();
        let begun = Instant::now();
        loop {
            let evidence = live.host(false).unwrap();
            assert_eq!(live.notes(), Vec::<String>::new());
            let picture = reconcile(&evidence);
            tally.censuses += 1;
            let each = driven.iter().map(|one| {
                let differs = compare::fixture(&evidence, &picture, &one.truth);
                differs.map_err(|differs| (differs, one.story()))
            });
            let whole = || compare::sum(&picture, &truths).map_err(|differs| (differs, format!("{self:?}")));
            match each.collect::<Result<(), _>>().and_then(|()| whole()) {
                Ok(()) => {
                    for pid in truths.iter().flat_map(|truth| expected::pids(truth)) {
                        mappings::assert_as_in_smaps(&evidence, pid);
                    }
                    return;
                }
                Err((Differs::MaySettle(_), _)) if begun.elapsed() < SETTLES_WITHIN => {
                    tally.again += 1;
                    thread::sleep(Duration::from_millis(1));
                }
                Err((Differs::MaySettle(what), story)) => panic!("it does not settle: {what}\n{story}"),
                Err((Differs::Wrong(what), story)) => panic!("{what}\n{story}"),
            }
        }
    }
}

/// What stands against a dump, by context.
fn wanted_reasons(truth: &Truth) -> BTreeSet<(u64, Finding)> {
    expected::contexts(truth)
        .iter()
        .flat_map(|context| expected::refusing(context).into_iter().map(|finding| (context.id, finding)))
        .collect()
}

/// Checks what `check` and `dump` would say of one fixture, untouched and frozen.
fn verdicts(live: &mut Live, driven: &Driven, tally: &mut Tally) {
    let pid = Pid(driven.fixture.pid());
    let wanted = wanted_reasons(&driven.truth);
    for hold in [Hold::NoTouch, Hold::Ptrace(Duration::from_secs(10))] {
        let ask = Ask { pid, hold, image: false, without_kernel: false };
        let begun = Instant::now();
        let (picture, verdict) = loop {
            let evidence =
                live.process(&ask).unwrap_or_else(|error| panic!("{error}: {hold:?}, {}", driven.story()));
            let picture = reconcile(&evidence);
            let verdict = judge_dump(&evidence, &picture, pid, &Policy::default());
            if !matches!(verdict, DumpVerdict::Busy { .. }) || begun.elapsed() > ASLEEP_WITHIN {
                break (picture, verdict);
            }
            // It has answered, and is on its way to sleep.
            tally.busy += 1;
        };
        let found: BTreeSet<(u64, Finding)> = match &verdict {
            DumpVerdict::Idle { contexts, .. } => {
                assert_eq!(contexts.len(), driven.truth.contexts.len(), "{}", driven.story());
                BTreeSet::new()
            }
            DumpVerdict::Refused { reasons } => reasons
                .iter()
                .filter_map(|one| Some((picture.contexts.get(one.context?)?.context.0, one.finding?)))
                .collect(),
            DumpVerdict::Busy { .. } | DumpVerdict::NoSuchProcess => {
                panic!("{verdict:?}: {}", driven.story())
            }
        };
        assert_eq!(found, wanted, "{hold:?}: {verdict:?}: {}", driven.story());
        let counter = if wanted.is_empty() { &mut tally.idle } else { &mut tally.not_idle };
        *counter += 1;
    }
}
