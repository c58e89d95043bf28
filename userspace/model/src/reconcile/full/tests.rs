//! Where io_submit fails, held against what the kernel does.

use proptest::prelude::*;

use crate::kioctx::CpuCredits;
use crate::reconcile::full::*;
use crate::specimen::{AT, kioctx};

/// io_setup(128) with two possible CPUs: so many belong to no CPU, so many to each of these CPUs, so many entries are not given back.
fn context(left: i64, by_cpu: &[(u32, u32)], completed: u32) -> Kioctx {
    let on_cpus = by_cpu.iter().map(|(_, credits)| i64::from(*credits)).sum::<i64>();
    Kioctx {
        reqs_available: Some(left),
        percpu_available: Some(on_cpus),
        cpu_credits: by_cpu
            .iter()
            .map(|(cpu, credits)| CpuCredits { cpu: *cpu, credits: *credits })
            .collect(),
        completed_events: Some(completed),
        tail: Some(completed),
        percpu_refs: Some(383 - left - on_cpus - i64::from(completed)),
        ..kioctx(AT, 0)
    }
}

fn of(context: &Kioctx, online: &str, head: u32) -> Credits {
    let online = CpuSet::parse(online).unwrap_or_default();
    credits(context, 2, &online, Some(head)).unwrap()
}

fn stranded_of(credits: Credits) -> (String, String) {
    (credits.outlook.fails_on.to_string(), credits.stranded.unwrap_or_default())
}

/// Check the words and the CPUs: one that has credits, several, offline ones, and a remainder below a batch.
#[test]
fn words() {
    let of = |context: &Kioctx, online: &str| stranded_of(of(context, online, 0));
    let said = |fails: &str, words: &str| (fails.to_owned(), words.to_owned());
    let one = context(0, &[(1, 58)], 0);
    assert_eq!(of(&one, "0-1"), said("0", "58 credits are on CPU 1; io_submit fails now on CPU 0"));
    assert_eq!(of(&one, "1"), said("", ""), "nobody can submit on CPU 0");
    let one = context(5, &[(1, 1)], 0);
    assert_eq!(
        of(&one, "0-3"),
        said(
            "0,2-3",
            "1 credit is on CPU 1; io_submit fails now on CPUs 0,2-3; 5 left, fewer than a batch of 47"
        )
    );
    let two = context(0, &[(1, 5), (3, 7)], 0);
    assert_eq!(
        of(&two, "0-2"),
        said("0,2", "12 credits are on CPU 1 (5), CPU 3 (offline) (7); io_submit fails now on CPUs 0,2")
    );
    let many: Vec<(u32, u32)> = (0..10).map(|cpu| (cpu, if cpu < 2 { 1 } else { 9 })).collect();
    let (fails, words) = of(&context(0, &many, 0), "0-10");
    assert_eq!(fails, "10");
    assert!(words.starts_with("74 credits are on CPU 2 (9), CPU 3 (9)"), "{words}");
    assert!(words.ends_with("CPU 9 (9), 2 other CPUs (2); io_submit fails now on CPU 10"), "{words}");
}

/// Check that full means that it fails on every CPU, and stranded that others have what some lack; both where those are offline.
#[test]
fn full_and_stranded() {
    let both = |context: &Kioctx, online: &str| {
        let Credits { outlook, full, stranded } = of(context, online, 0);
        (full.is_some(), stranded.is_some(), outlook.fails_on.to_string(), outlook.stranded_credits())
    };
    assert_eq!(both(&context(0, &[], 0), "0-1"), (true, false, "0-1".to_owned(), 0));
    assert_eq!(both(&context(0, &[(1, 58)], 0), "0-1"), (false, true, "0".to_owned(), 58));
    assert_eq!(both(&context(0, &[(1, 58)], 0), "0"), (true, true, "0".to_owned(), 58));
    assert_eq!(both(&context(0, &[(0, 9), (1, 58)], 0), "0-1"), (false, false, String::new(), 0));
    assert_eq!(both(&context(47, &[(1, 58)], 0), "0-1"), (false, false, String::new(), 0));
    // Where it is not known which CPUs are online, all of them are taken for it.
    assert_eq!(both(&context(0, &[(1, 58)], 0), ""), (false, true, "0".to_owned(), 58));
    assert_eq!(of(&context(0, &[(1, 58)], 0), "", 0).outlook.stranded[0].online, None);
    assert_eq!(of(&context(0, &[(1, 58)], 0), "0", 0).outlook.stranded[0].online, Some(false));
}

/// Check that an entry that was reaped is a credit for whoever comes, and that one that waits is none.
#[test]
fn reaped_entries() {
    let waits = context(0, &[(1, 58)], 82);
    assert_eq!(stranded_of(of(&waits, "0-1", 0)).0, "0");
    assert_eq!(stranded_of(of(&waits, "0-1", 1)), (String::new(), String::new()));
    assert_eq!(credits(&waits, 2, &CpuSet::first(2), None), None, "its head is not known");
    // The kernel takes the remainder of a head that is none.
    assert_eq!(stranded_of(of(&waits, "0-1", 383)).0, "0");
}

/// Check that nothing is said where the credits of the CPUs are not known: not asked for, moved meanwhile, or in disorder.
#[test]
fn unknown() {
    let known = context(0, &[(0, 3), (1, 58)], 0);
    for spoil in [
        (|of: &mut Kioctx| of.cpu_credits.clear()) as fn(&mut Kioctx),
        |of| of.cpu_credits[0].credits = 4,
        |of| of.cpu_credits.reverse(),
        |of| of.cpu_credits = vec![CpuCredits { cpu: 1, credits: 3 }, CpuCredits { cpu: 1, credits: 58 }],
        |of| of.percpu_available = None,
        |of| of.reqs_available = Some(-1),
        |of| of.percpu_refs = Some(2),
    ] {
        let mut context = known.clone();
        spoil(&mut context);
        assert_eq!(credits(&context, 2, &CpuSet::first(2), Some(0)), None, "{context:?}");
    }
    let computed = Kioctx { req_batch: None, ..context(46, &[(1, 58)], 0) };
    assert_eq!(stranded_of(of(&computed, "0-1", 0)).0, "0", "the batch follows from nr_events and CPUs");
    assert_eq!(
        stranded_of(of(&Kioctx { reqs_available: Some(47), percpu_refs: Some(278), ..computed }, "0-1", 0)).0,
        ""
    );
}

/// A context as fs/aio.c moves its credits.
#[derive(Clone, Debug)]
struct Kernel {
    nr_events: u32,
    batch: u32,
    pool: u32,
    by_cpu: Vec<u32>,
    completed: u32,
    head: u32,
    tail: u32,
    in_flight: u32,
}

impl Kernel {
    /// io_setup(n): fs/aio.c:ioctx_alloc, aio_setup_ring.
    fn new(cpus: u32, wanted: u32) -> Self {
        let entries = wanted.max(cpus * 4) * 2 + 2;
        let nr_events = ((32 + entries * 32).div_ceil(4096) * 4096 - 32) / 32;
        let batch = ((nr_events - 1) / (cpus * 4)).max(1);
        let by_cpu = vec![0; usize::try_from(cpus).unwrap()];
        Self { nr_events, batch, pool: nr_events - 1, by_cpu, completed: 0, head: 0, tail: 0, in_flight: 0 }
    }

    fn get(&mut self, cpu: usize) -> bool {
        if self.by_cpu[cpu] == 0 {
            if self.pool < self.batch {
                return false;
            }
            self.pool -= self.batch;
            self.by_cpu[cpu] = self.batch;
        }
        self.by_cpu[cpu] -= 1;
        true
    }

    fn put(&mut self, cpu: usize, credits: u32) {
        self.by_cpu[cpu] += credits;
        while self.by_cpu[cpu] >= self.batch * 2 {
            self.by_cpu[cpu] -= self.batch;
            self.pool += self.batch;
        }
    }

    fn refill(&mut self, cpu: usize) {
        let in_ring = (self.tail + self.nr_events - self.head) % self.nr_events;
        let reaped = self.completed.saturating_sub(in_ring);
        self.completed -= reaped;
        if reaped > 0 {
            self.put(cpu, reaped);
        }
    }

    fn submit(&mut self, cpu: usize) -> bool {
        let mut taken = self.get(cpu);
        if !taken {
            self.refill(cpu);
            taken = self.get(cpu);
        }
        self.in_flight += u32::from(taken);
        taken
    }

    fn complete(&mut self, cpu: usize) {
        if self.in_flight > 0 {
            self.tail = (self.tail + 1) % self.nr_events;
            self.completed += 1;
            self.in_flight -= 1;
            if self.completed > 1 {
                self.refill(cpu);
            }
        }
    }

    fn reap(&mut self) {
        if self.head != self.tail {
            self.head = (self.head + 1) % self.nr_events;
        }
    }

    /// As the census reports it.
    fn facts(&self) -> Kioctx {
        let credits = (0..).zip(&self.by_cpu).filter(|(_, credits)| **credits > 0);
        let credits = credits.map(|(cpu, credits)| CpuCredits { cpu, credits: *credits }).collect();
        Kioctx {
            nr_events: Some(self.nr_events),
            req_batch: Some(self.batch),
            tail: Some(self.tail),
            completed_events: Some(self.completed),
            reqs_available: Some(self.pool.into()),
            percpu_available: Some(self.by_cpu.iter().map(|credits| i64::from(*credits)).sum()),
            cpu_credits: if self.pool < self.batch { credits } else { Vec::new() },
            percpu_refs: Some(i64::from(self.in_flight) + 1),
            ..kioctx(AT, 0)
        }
    }
}

proptest! {
    /// Check, after any submissions, completions and reaping on any CPUs, that io_submit fails exactly where that is said, and that the findings
    /// are of one mind with it.
    #[test]
    fn as_the_kernel(
        cpus in 1_u32..9, wanted in 1_u32..300, steps in proptest::collection::vec((0_u8..6, 0_usize..8, 1_u32..300), 0..60),
        offline in proptest::collection::btree_set(0_u32..8, 0..4),
    ) {
        let mut kernel = Kernel::new(cpus, wanted);
        let online = CpuSet::first(cpus).without(offline);
        for (what, cpu, times) in steps {
            let cpu = cpu % kernel.by_cpu.len();
            for _ in 0..times {
                match what {
                    0..=2 => _ = kernel.submit(cpu),
                    3 | 4 => kernel.complete(cpu),
                    _ => kernel.reap(),
                }
            }
        }
        let facts = kernel.facts();
        prop_assert_eq!(facts.in_flight_by_credits().number(), Some(kernel.in_flight));
        let said = credits(&facts, cpus, &online, Some(kernel.head)).unwrap();
        let submitters = if online.is_empty() { CpuSet::first(cpus) } else { online };
        for cpu in 0..cpus {
            let taken = kernel.clone().submit(usize::try_from(cpu).unwrap());
            let told = said.outlook.fails_on.contains(cpu);
            prop_assert_eq!(told, !taken && submitters.contains(cpu), "cpu {} of {:?}: {:?}", cpu, &kernel, &said);
        }
        let in_ring = (kernel.tail + kernel.nr_events - kernel.head) % kernel.nr_events;
        if kernel.in_flight + in_ring < wanted {
            prop_assert!(said.outlook.fails_on.is_empty(), "with less than max_reqs: {:?}", &kernel);
        }
        let (fails_on, sum) = (&said.outlook.fails_on, facts.percpu_available.unwrap());
        prop_assert_eq!(said.full.is_some(), *fails_on == submitters);
        prop_assert_eq!(said.stranded.is_some(), !fails_on.is_empty() && sum > 0);
        let stranded = said.outlook.stranded_credits().cast_signed();
        prop_assert_eq!(stranded, if said.stranded.is_some() { sum } else { 0 });
    }
}
