//! Random but always legal sequences of fixture commands, from a seed.
//!
//! Intended use, by the random-state suite:
//! 1. print the seed; `Plan { seed, .. }.steps()` is the sequence, the same on every machine;
//! 2. `apply(&mut fixture, &steps)`: when it returns, the fixture is at rest: nothing completes, moves or ends
//!    by itself any more;
//! 3. `fixture.truth()`, and whatever aioinspect finds for `fixture.pid()` and for the children in the truth:
//!    context ids, max_reqs, nr_events, in_flight, tail, and where the header can be read head and unreaped
//!    must be equal, context by context; ghosts by child and address;
//! 4. several fixtures may be driven in parallel threads and compared one after the other. For the sum over
//!    all contexts against aio-nr, hold `host::HostLock` and spawn with `Fixture::spawn_alone`.
//!
//! A fixture's end costs one RCU grace period however many contexts it has, and io_destroy one each: about
//! 30 ms. So there are at most two `destroy` in a sequence, and each sequence has a fixture of its own.

use std::fmt;

use crate::fixture::Fixture;
use crate::prng::Prng;

/// What kind of sequence is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Decides everything else.
    pub seed: u64,
    /// Number of steps.
    pub length: u32,
    /// CPUs to submit on: 0 up to this, not included.
    pub online_cpus: u32,
    /// CPUs this kernel can have: they decide the size of a ring.
    pub possible_cpus: u32,
    /// Bytes of a page here: they decide it too.
    pub page_size: u32,
    /// Most max_reqs at a time, so that several fixtures fit below aio-max-nr.
    pub max_reqs: u32,
    /// Whether slow reads are possible (root, and /dev/fuse).
    pub slow_reads: bool,
    /// Whether contexts may come to be dying, of ours and of a child, in sequences with slow reads.
    pub dying: bool,
}

/// One command; `Child` stands for the PID of a child that an earlier step made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A command as it is.
    Plain(String),
    /// A command whose answer has the PID of a new child.
    Spawn(String),
    /// `child-exit` of the child that the so-manieth `Spawn` made.
    ChildExit(usize),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Plain(line) | Step::Spawn(line) => f.write_str(line),
            Step::ChildExit(nth) => write!(f, "child-exit of child {nth}"),
        }
    }
}

/// How much of a ring can still be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ring {
    Whole,
    ReadOnly,
    /// Some page after the first is gone or protected.
    Cut,
    /// The kernel cannot read the header: no call but exit works on it.
    Lost,
}

/// The largest context whose credits are stranded, and the most possible CPUs: what it takes grows with the ring.
const STRAND_MAX_REQS: u32 = 64;
const STRAND_CPUS: u32 = 64;

#[derive(Clone, Debug)]
struct Known {
    handle: u32,
    max_reqs: u32,
    polls: u32,
    reads: u32,
    unreaped: u32,
    /// Whether any CPU may have credits of it.
    used: bool,
    ring: Ring,
}

impl Known {
    fn room(&self) -> u32 {
        self.max_reqs.saturating_sub(self.polls + self.reads + self.unreaped)
    }

    fn callable(&self) -> bool {
        self.ring != Ring::Lost
    }
}

/// What the fixture will be like after the steps so far.
struct Model {
    plan: Plan,
    prng: Prng,
    contexts: Vec<Known>,
    reads: Vec<u32>,
    next_handle: u32,
    spawned: usize,
    staying: Vec<usize>,
    destroyed: u32,
    with_reads: bool,
    dying_child: bool,
    stranded: bool,
}

impl Plan {
    /// Whether credits can be stranded, in an acceptable time.
    pub fn strands_credits(&self) -> bool {
        self.online_cpus >= 2 && self.possible_cpus <= STRAND_CPUS
    }

    /// The steps of this plan's seed.
    pub fn steps(self) -> Vec<Step> {
        let mut prng = Prng::new(self.seed);
        let with_reads = self.slow_reads && prng.once_in(8);
        let mut model = Model {
            plan: self,
            prng,
            contexts: Vec::new(),
            reads: Vec::new(),
            next_handle: 0,
            spawned: 0,
            staying: Vec::new(),
            destroyed: 0,
            with_reads,
            dying_child: false,
            stranded: false,
        };
        let mut steps = vec![model.setup()];
        while u32::try_from(steps.len()).is_ok_and(|len| len < self.length) {
            steps.extend(model.step());
        }
        steps
    }
}

impl Model {
    /// Some step that is legal now; `None` if what was drawn is not.
    fn step(&mut self) -> Option<Step> {
        match self.prng.between(0, 99) {
            0..=14 => (self.contexts.len() < 12).then(|| self.setup()),
            15..=44 => self.poll(),
            45..=59 => self.complete(),
            60..=74 => self.reap(),
            75..=78 => self.mremap(),
            79 => self.strand(),
            80..=81 => self.destroy(),
            82..=84 => self.spawn_ghost(),
            85..=86 => self.child_exit(),
            87..=89 => self.clone_vm(),
            90..=91 => self.cut(),
            92..=96 => self.slow_read(),
            97 if self.plan.dying && self.with_reads => self.destroy_waiting(),
            98 if self.plan.dying && self.with_reads => self.dying_child(),
            _ => self.finish_reads(),
        }
    }

    fn size(&mut self) -> u32 {
        let held: u32 = self.contexts.iter().map(|context| context.max_reqs).sum();
        let left = self.plan.max_reqs.saturating_sub(held).max(1);
        let most = if self.prng.once_in(6) { 3000 } else { 64 };
        self.prng.between(1, most).min(left)
    }

    fn know(&mut self, max_reqs: u32) {
        let handle = self.next_handle;
        self.next_handle += 1;
        self.contexts.push(Known {
            handle,
            max_reqs,
            polls: 0,
            reads: 0,
            unreaped: 0,
            used: false,
            ring: Ring::Whole,
        });
    }

    fn setup(&mut self) -> Step {
        let n = self.size();
        self.know(n);
        Step::Plain(format!("setup {n}"))
    }

    /// The place of some context of which `good` holds.
    fn choose(&mut self, good: impl Fn(&Known) -> bool) -> Option<usize> {
        let places: Vec<usize> =
            self.contexts.iter().enumerate().filter(|(_, c)| good(c)).map(|(at, _)| at).collect();
        self.prng.pick(&places).copied()
    }

    fn cpu(&mut self) -> u32 {
        self.prng.between(0, self.plan.online_cpus.saturating_sub(1))
    }

    fn poll(&mut self) -> Option<Step> {
        let at = self.choose(|c| c.callable() && c.room() > 0)?;
        let cpu = self.cpu();
        let context = self.contexts.get_mut(at)?;
        let count = self.prng.between(1, context.room().min(24));
        context.polls += count;
        context.used = true;
        Some(Step::Plain(format!("poll #{} {count} {cpu}", context.handle)))
    }

    fn complete(&mut self) -> Option<Step> {
        let at = self.choose(|c| c.polls > 0)?;
        let context = self.contexts.get_mut(at)?;
        let count = self.prng.between(1, context.polls);
        let verb = if context.callable() && self.prng.once_in(5) { "cancel" } else { "complete" };
        context.polls -= count;
        context.unreaped += count;
        Some(Step::Plain(format!("{verb} #{} {count}", context.handle)))
    }

    fn reap(&mut self) -> Option<Step> {
        let at = self.choose(|c| c.callable() && c.unreaped > 0)?;
        let context = self.contexts.get_mut(at)?;
        let count = self.prng.between(1, context.unreaped);
        let by_head = context.ring == Ring::Whole && self.prng.once_in(2);
        let verb = if by_head { "reap-by-head" } else { "reap" };
        context.unreaped -= count;
        Some(Step::Plain(format!("{verb} #{} {count}", context.handle)))
    }

    fn mremap(&mut self) -> Option<Step> {
        let at = self.choose(|c| c.ring == Ring::Whole)?;
        Some(Step::Plain(format!("mremap #{}", self.contexts.get(at)?.handle)))
    }

    /// One a sequence, of a context that no CPU has had credits of, and nothing more is done with it: so the credits that are left are on the
    /// second CPU, but for those that are too few for a batch.
    fn strand(&mut self) -> Option<Step> {
        let online_cpus = self.plan.online_cpus;
        if self.stranded || !self.plan.strands_credits() {
            return None;
        }
        let at = self.choose(|c| c.ring == Ring::Whole && !c.used && c.max_reqs <= STRAND_MAX_REQS)?;
        let from = self.cpu();
        let to = (from + self.prng.between(1, online_cpus - 1)) % online_cpus;
        self.stranded = true;
        Some(Step::Plain(format!("strand #{} {from} {to}", self.contexts.remove(at).handle)))
    }

    fn destroy(&mut self) -> Option<Step> {
        if self.destroyed >= 2 {
            return None;
        }
        let at = self.choose(|c| c.callable() && c.reads == 0)?;
        self.destroyed += 1;
        Some(Step::Plain(format!("destroy #{}", self.contexts.remove(at).handle)))
    }

    /// The context is gone at once; its reads are finished like others, or wait until the end.
    fn destroy_waiting(&mut self) -> Option<Step> {
        let at = self.choose(|c| c.callable() && c.reads > 0 && c.polls == 0)?;
        Some(Step::Plain(format!("destroy-waiting #{}", self.contexts.remove(at).handle)))
    }

    /// One a sequence. It waits until the end of the sequence, whose fixture takes it along. Not by exec: whoever looks at the
    /// /proc of such a process waits with it, other programs of the host too.
    fn dying_child(&mut self) -> Option<Step> {
        if self.dying_child {
            return None;
        }
        self.dying_child = true;
        let kind = *self.prng.pick(&["exit", "kill", "leader", "destroy"])?;
        let (contexts, reads) = (self.prng.between(1, 3), self.prng.between(1, 6));
        self.spawned += 1;
        Some(Step::Spawn(format!("dying-child {kind} {contexts} {reads} 8")))
    }

    fn spawn_ghost(&mut self) -> Option<Step> {
        if self.staying.len() >= 2 {
            return None;
        }
        self.staying.push(self.spawned);
        self.spawned += 1;
        Some(Step::Spawn("fork-ghost".to_owned()))
    }

    fn child_exit(&mut self) -> Option<Step> {
        let nth = *self.prng.pick(&self.staying)?;
        self.staying.retain(|other| *other != nth);
        Some(Step::ChildExit(nth))
    }

    fn clone_vm(&mut self) -> Option<Step> {
        if self.staying.len() >= 2 || self.contexts.len() >= 12 {
            return None;
        }
        let (count, n) = (self.prng.between(1, 2), self.prng.between(1, 64));
        for _ in 0..count {
            self.know(n);
        }
        let fate = if self.prng.once_in(2) { "exit" } else { "stay" };
        if fate == "stay" {
            self.staying.push(self.spawned);
        }
        self.spawned += 1;
        Some(Step::Spawn(format!("clone-vm-child {count} {n} {fate}")))
    }

    /// Unmaps or protects (a part of) a ring. The hole is kept, so that no later ring gets the same id.
    fn cut(&mut self) -> Option<Step> {
        let at = self.choose(|c| c.ring == Ring::Whole)?;
        let Plan { possible_cpus, page_size, .. } = self.plan;
        let context = self.contexts.get_mut(at)?;
        let entries = 2 * context.max_reqs.max(4 * possible_cpus) + 2;
        let pages = (32 + 32 * entries).div_ceil(page_size);
        let (ring, line) = match self.prng.between(0, 5) {
            0 => (Ring::Lost, format!("munmap #{} all hold", context.handle)),
            1 => (Ring::ReadOnly, format!("mprotect #{} ro", context.handle)),
            2 => (Ring::Lost, format!("mprotect #{} none", context.handle)),
            3 => (Ring::Lost, format!("munmap #{} page 0 hold", context.handle)),
            which if pages > 1 => {
                let page = self.prng.between(1, pages - 1);
                let line = match which {
                    4 => format!("munmap #{} page {page} hold", context.handle),
                    _ => format!("mprotect #{} none page {page}", context.handle),
                };
                (Ring::Cut, line)
            }
            _ => return None,
        };
        context.ring = ring;
        Some(Step::Plain(line))
    }

    fn slow_read(&mut self) -> Option<Step> {
        if !self.with_reads {
            return None;
        }
        let at = self.choose(|c| c.callable() && c.room() > 0)?;
        let cpu = self.cpu();
        let context = self.contexts.get_mut(at)?;
        let count = self.prng.between(1, context.room().min(8));
        context.reads += count;
        context.used = true;
        self.reads.extend((0..count).map(|_| context.handle));
        Some(Step::Plain(format!("slow-read #{} {count} {cpu}", context.handle)))
    }

    fn finish_reads(&mut self) -> Option<Step> {
        let most = u32::try_from(self.reads.len()).ok().filter(|most| *most > 0)?;
        let count = self.prng.between(1, most);
        for handle in self.reads.drain(..usize::try_from(count).ok()?) {
            if let Some(context) = self.contexts.iter_mut().find(|context| context.handle == handle) {
                context.reads -= 1;
                context.unreaped += 1;
            }
        }
        Some(Step::Plain(format!("finish-reads {count}")))
    }
}

/// Drives a fresh fixture through the steps.
///
/// # Panics
/// If a step fails, with its number and line: the sequence, or the fixture, is wrong.
pub fn apply(fixture: &mut Fixture, steps: &[Step]) {
    let mut children = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        let line = match step {
            Step::Plain(line) | Step::Spawn(line) => line.clone(),
            Step::ChildExit(nth) => match children.get(*nth) {
                Some(pid) => format!("child-exit {pid}"),
                None => panic!("step {number}: there is no child {nth}"),
            },
        };
        match fixture.try_run(&line) {
            Err(failure) => panic!("step {number}: {line:?}: {failure:?}"),
            Ok(answer) => {
                if let Step::Spawn(_) = step {
                    children.push(answer.get("pid").and_then(serde_json::Value::as_u64).unwrap_or(0));
                }
            }
        }
    }
}
