//! One round: fixtures driven side by side, then one census of the host.

use std::collections::BTreeSet;
use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use aioinspect_kernel::host::system;
use aioinspect_kernel::look::evidence_source::Source;
use aioinspect_kernel::look::live::Live;
use aioinspect_model::finding::Finding;
use aioinspect_model::reconcile::reconcile;
use aioinspect_tests::fixture::{Fixture, forks_copy_rings};
use aioinspect_tests::host::{HostLock, aio_max_nr, aio_nr};
use aioinspect_tests::pages;
use aioinspect_tests::prng::Prng;
use aioinspect_tests::random::{Plan, Step, apply};
use aioinspect_tests::truth::Truth;

use crate::compare::{self, Differs};
use crate::verdicts::verdicts;
use crate::{expected, mappings, stranded};

/// What one fixture may hold, so that a round's fixtures fit beside each other below aio-max-nr.
const MAX_REQS: u32 = 3_000;
/// One of so many fixtures gets a child that waits in exec, if no other of its round has one.
const EXECS: u32 = 12;
/// The most steps of a sequence.
const STEPS: u32 = 60;
/// A kernel worker that has not come to its turn after this long is lost.
const SETTLES_WITHIN: Duration = Duration::from_secs(10);

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
    dying: usize,
    ending: usize,
    execs: u32,
    stranded: usize,
    can_strand: bool,
    findings: BTreeSet<Finding>,
    pub idle: u32,
    pub not_idle: u32,
    pub busy: u32,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} censuses ({} more to see something settle), {} contexts, {} requests in flight, {} unreaped, {} ghosts, \
             {} CLONE_VM siblings, {} with slow reads, {} dying contexts ({} of exit or exec, {} execs), {} with stranded credits, verdicts: {} idle, {} not, {} busy at first; {:?}",
            self.censuses,
            self.again,
            self.contexts,
            self.in_flight,
            self.unreaped,
            self.ghosts,
            self.siblings,
            self.servers,
            self.dying,
            self.ending,
            self.execs,
            self.stranded,
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
        self.stranded += contexts.iter().filter(|context| context.strand.is_some()).count();
        let dying = expected::dying(truth);
        self.dying += dying.len();
        self.ending += dying.iter().filter(|one| one.findings.contains(&Finding::Exiting)).count();
        self.findings.extend(dying.iter().flat_map(|one| one.findings.iter().copied()));
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
        if slow_reads {
            findings.extend([Finding::Dying, Finding::Exiting]);
        }
        if self.stranded > 0 {
            findings.insert(Finding::StrandedCredits);
        }
        // It happens that both CPUs are left without a credit.
        let met: BTreeSet<Finding> =
            self.findings.iter().copied().filter(|finding| *finding != Finding::RingFull).collect();
        assert_eq!(met, findings);
        assert!(self.stranded > 0 || !self.can_strand);
        assert!(self.execs > 0 || !slow_reads);
        assert!(self.ghosts > 0 || !forks_copy_rings());
        assert!(self.siblings > 0 && self.idle > 0 && self.not_idle > 0);
        assert!(self.servers > 0 || !slow_reads);
    }
}

/// A fixture at rest, and what is true of it.
pub struct Driven {
    pub fixture: Fixture,
    pub truth: Truth,
    seed: u64,
    steps: Vec<Step>,
}

impl Driven {
    /// How it came to this.
    pub fn story(&self) -> String {
        let steps: Vec<String> = self.steps.iter().map(ToString::to_string).collect();
        format!(
            "AIOINSPECT_RANDOM_SEED={} AIOINSPECT_RANDOM_SEQUENCES=1, pid {}:\n{}",
            self.seed,
            self.fixture.pid(),
            steps.join("\n")
        )
    }
}

impl Driven {
    /// Gives it one more child, which waits in exec. Whoever reads that child's files in /proc waits as well, also other programs of this host:
    /// so it is for one look only. Its PID.
    fn wait_in_exec(&mut self, tally: &mut Tally) -> u32 {
        let mut prng = Prng::new(self.seed);
        let (contexts, reads) = (prng.between(1, 3), prng.between(1, 6));
        let line = format!("dying-child exec {contexts} {reads} 8");
        self.steps.push(Step::Spawn(line.clone()));
        let pid = self.fixture.pid_of(&line);
        self.truth = self.fixture.truth();
        tally.execs += 1;
        pid
    }

    fn finish_exec(&mut self, pid: u32) {
        assert_eq!(self.fixture.run(&format!("finish-dying {pid}"))["exec"], true, "{}", self.story());
        self.truth.dying.retain(|one| one.pid != pid);
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
        let mut driven: Vec<Driven> = thread::scope(|scope| {
            let alone = &alone;
            let each =
                (0..self.count).map(|k| scope.spawn(move || self.drive(self.seed.wrapping_add(k), alone)));
            let all: Vec<_> = each.collect();
            all.into_iter().map(|one| one.join().unwrap_or_else(|_| panic!("see above"))).collect()
        });
        let exec = driven.iter_mut().find(|one| self.slow_reads && Prng::new(!one.seed).once_in(EXECS));
        let exec = exec.map(|one| one.wait_in_exec(tally));
        tally.can_strand = self.plan(self.seed).strands_credits();
        for one in &driven {
            tally.note(&one.truth);
        }
        self.census(live, &driven, tally);
        if let Some(pid) = exec {
            let one = driven.iter_mut().find(|one| expected::pids(&one.truth).contains(&pid)).unwrap();
            verdicts(live, one, pid, tally);
            one.finish_exec(pid);
        }
        let chosen = Prng::new(self.seed).between(0, u32::try_from(driven.len() - 1).unwrap());
        let chosen = &driven[usize::try_from(chosen).unwrap()];
        verdicts(live, chosen, chosen.truth.pid, tally);
        // Few sequences end idle, and those are the ones that a dump must accept.
        let idle = |one: &&Driven| expected::reasons(&one.truth, one.truth.pid).is_empty();
        if let Some(idle) = driven.iter().find(idle) {
            verdicts(live, idle, idle.truth.pid, tally);
        }
        // And few have contexts that are dying.
        for one in &driven {
            let pids: BTreeSet<u32> = one.truth.dying.iter().map(|one| one.pid).collect();
            pids.into_iter().for_each(|pid| verdicts(live, one, pid, tally));
        }
        driven.iter_mut().for_each(stranded::try_all);
        thread::scope(|scope| driven.into_iter().for_each(|one| drop(scope.spawn(move || drop(one)))));
    }

    fn plan(self, seed: u64) -> Plan {
        let cpus = |count: usize| u32::try_from(count).unwrap();
        Plan {
            seed,
            length: Prng::new(!seed).between(1, STEPS),
            online_cpus: cpus(thread::available_parallelism().unwrap().get()),
            possible_cpus: system::facts().unwrap().possible_cpus,
            page_size: u32::try_from(pages::size()).unwrap(),
            max_reqs: MAX_REQS,
            slow_reads: self.slow_reads,
            dying: self.slow_reads,
        }
    }

    fn drive(self, seed: u64, alone: &HostLock) -> Driven {
        let steps = self.plan(seed).steps();
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
                    for truth in &truths {
                        for pid in expected::pids(truth) {
                            match expected::is_ending(truth, pid) {
                                true => mappings::assert_none(&evidence, pid),
                                false => mappings::assert_as_in_smaps(&evidence, pid),
                            }
                        }
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
