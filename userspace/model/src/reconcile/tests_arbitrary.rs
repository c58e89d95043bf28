//! The judge is total: any evidence gives a picture, and the picture keeps its promises.

use proptest::prelude::*;

use crate::evidence::{
    Doing, HeaderReading, Look, Made, MmFact, Perms, RingMapping, Sharer, TaskFact, TracedContext,
    TracedWord, Wait,
};
use crate::kioctx::{CpuCredits, RefState, Told};
use crate::known::Fact;
use crate::reconcile::*;
use crate::specimen;
use crate::units::{ContextId, Instant, MmId, Tid};
use crate::verdict::{DumpVerdict, Policy, judge_dump};

/// A source of choices; when it is dry every choice is the first.
struct Dice<'a>(std::slice::Iter<'a, u64>);

impl Dice<'_> {
    fn number(&mut self) -> u64 {
        self.0.next().copied().unwrap_or_default()
    }

    fn below(&mut self, n: u64) -> u64 {
        self.number() % n
    }

    fn yes(&mut self) -> bool {
        self.below(2) == 1
    }

    /// Often a number that others have too, sometimes an extreme, sometimes any.
    fn value(&mut self) -> u64 {
        match self.below(8) {
            0 => u64::MAX - self.below(3),
            1 => self.number(),
            2 => 0,
            3 => 383,
            _ => self.below(4) * 4096,
        }
    }

    fn one_of<T: Copy, const N: usize>(&mut self, of: [T; N]) -> T {
        of[usize::try_from(self.number()).unwrap_or_default() % N]
    }

    fn small(&mut self) -> u32 {
        u32::try_from(self.value() & 0xffff_ffff).unwrap()
    }

    fn signed(&mut self) -> i64 {
        match self.below(6) {
            0 => i64::MIN,
            1 => i64::MAX,
            2 => 382,
            _ => i64::try_from(self.below(400)).unwrap() - 10,
        }
    }

    fn several<T>(&mut self, most: u64, make: impl Fn(&mut Self) -> T) -> Vec<T> {
        (0..self.below(most + 1)).map(|_| make(self)).collect()
    }

    fn context(&mut self) -> Kioctx {
        let sane = specimen::kioctx(self.below(4) * 4096, u32::try_from(self.below(3)).unwrap());
        if self.yes() {
            return sane;
        }
        Kioctx {
            user_id: ContextId(self.value()),
            table_index: self.small(),
            mmap_base: Some(self.value()),
            mmap_size: Some(self.value()),
            nr_pages: Some(self.value()),
            max_reqs: Some(self.small()),
            nr_events: Some(self.small()),
            tail: Some(self.small()),
            completed_events: Some(self.small()),
            reqs_available: Some(self.signed()),
            req_batch: Some(self.small()).filter(|_| self.yes()),
            percpu_available: Some(self.signed()),
            cpu_credits: self.several(2, |dice| CpuCredits { cpu: dice.small(), credits: dice.small() }),
            percpu_refs: Some(self.signed()),
            atomic_refs: Some(self.signed()),
            ref_state: Some(self.one_of([RefState::PerCpu, RefState::Atomic, RefState::Dead])),
            dead: Some(self.below(5) == 4),
        }
    }

    fn word(&mut self) -> KernelWord {
        KernelWord {
            begun_at: Instant(self.value()),
            ended_at: Instant(self.value()),
            contexts: self.several(3, Dice::context),
            tasks: self.several(2, |dice| TaskFact {
                tid: Tid(dice.small()),
                pid: Pid(dice.small()),
                switches: Some(dice.value()),
                on_cpu: Some(dice.below(4) == 3),
                ..TaskFact::default()
            }),
            mm: MmFact { map_count: Some(dice_bit(self)), ..MmFact::default() },
            torn: self.below(8) == 7,
            waits: self.several(2, |dice| Wait {
                tid: Tid(dice.small()),
                pid: Pid(dice.small()),
                doing: dice.one_of([Doing::Destroy, Doing::Exit, Doing::Exec, Doing::LastUse]),
                id: (dice.below(2) == 1).then(|| ContextId(dice.value())),
                asleep_ns: (dice.below(2) == 1).then(|| dice.value()),
                left: (dice.below(2) == 1).then(|| dice.small()),
                contexts: dice.several(2, Dice::context),
            }),
        }
    }

    fn mapping(&mut self) -> RingMapping {
        let start = self.value();
        let perms = if self.yes() { specimen::RW_S } else { Perms::default() };
        RingMapping {
            start,
            end: if self.yes() { start.saturating_add(12288) } else { self.value() },
            offset: if self.yes() { 0 } else { self.value() },
            inode: self.below(3),
            perms,
            ..RingMapping::default()
        }
    }

    fn header(&mut self) -> HeaderReading {
        let address = ContextId(self.value());
        let fact = self.context();
        let bytes = match self.below(3) {
            0 => Ok(specimen::header(&fact).encode()),
            1 => Ok([u8::try_from(self.below(256)).unwrap(); 32]),
            _ => Err(i32::try_from(self.below(40)).unwrap()),
        };
        HeaderReading { address, bytes }
    }

    /// An idle process in which a thing or two is spoilt.
    fn nearly_sane(&mut self) -> Look {
        let facts: Vec<Kioctx> =
            (1..=self.below(3)).zip(0..).map(|(n, id)| specimen::kioctx(n << 20, id)).collect();
        let manner = self.one_of([Manner::Frozen, Manner::Held, Manner::Running]);
        let mut look = specimen::look(manner, &facts);
        if self.yes() {
            look.after = Some(specimen::word(facts, 1040));
        }
        for _ in 0..self.below(3) {
            let word = if self.yes() { look.before.as_mut() } else { look.after.as_mut() };
            let change = self.below(20);
            match (change, word.and_then(|word| word.contexts.last_mut())) {
                (0, _) => look.mappings = self.several(3, Dice::mapping),
                (1, _) => look.headers = self.several(3, Dice::header),
                (2, _) => look.headers_at = Instant(self.value()),
                (3, _) => look.after = Some(self.word()),
                (4, _) => drop(look.mappings.pop()),
                (5, _) => drop(look.headers.pop()),
                (6, _) => look.mappings.iter_mut().for_each(|part| part.inode = 1),
                (7, Some(fact)) => *fact = self.context(),
                (8, Some(fact)) => fact.percpu_refs = Some(2),
                (9, Some(fact)) => fact.reqs_available = Some(381),
                (10, Some(fact)) => (fact.reqs_available, fact.percpu_refs) = (Some(380), Some(3)),
                (11, Some(fact)) => {
                    (fact.tail, fact.completed_events, fact.reqs_available) = (Some(3), Some(3), Some(379));
                }
                (12, Some(fact)) => fact.ref_state = Some(RefState::Atomic),
                (13, Some(fact)) => fact.dead = Some(true),
                (14, Some(fact)) => fact.user_id = ContextId(1 << 20),
                _ => {}
            }
        }
        look
    }

    fn look(&mut self) -> Look {
        if self.below(3) > 0 {
            return self.nearly_sane();
        }
        let before = self.yes().then(|| self.word());
        let after = match self.below(3) {
            0 => None,
            1 => before.clone(),
            _ => Some(self.word()),
        };
        Look {
            manner: self.one_of([Manner::Running, Manner::Frozen, Manner::Held]),
            before,
            mappings: self.several(4, Dice::mapping),
            mappings_at: Instant(self.value()),
            mappings_checked: self.yes(),
            headers: self.several(4, Dice::header),
            headers_at: Instant(self.value()),
            after,
            sharers: self.several(1, |dice| Sharer {
                pid: Pid(dice.small()),
                comm: vec![0xff],
                inode: dice.below(3),
                address: ContextId(dice.value()),
            }),
            pause_ns: self.value(),
        }
    }

    fn traced(&mut self) -> TracedWord {
        let contexts = self.several(3, |dice| TracedContext {
            table_index: u32::try_from(dice.below(4)).unwrap(),
            made: dice.yes().then(|| Made { at: Instant(dice.value()), tid: Tid(dice.small()) }),
            pid: Pid(dice.small()),
            comm: vec![0xff],
            max_reqs: dice.small(),
        });
        TracedWord { since: Instant(self.value()), contexts }
    }

    fn evidence(&mut self) -> Evidence {
        let mut evidence = specimen::idle();
        evidence.source = if self.below(4) == 3 { CensusSource::Proc } else { CensusSource::Bpf };
        evidence.system.possible_cpus = self.small();
        evidence.system.aio_nr = self.value();
        evidence.spaces = self.several(3, |dice| AddressSpace {
            mm: MmId(u32::try_from(dice.below(5)).unwrap()),
            processes: dice.several(2, |dice| Process {
                pid: Pid(u32::try_from(dice.below(4)).unwrap()),
                cgroup: dice.yes().then(|| vec![0xfe, b'/', b'\n']),
                ..Process::default()
            }),
            looks: dice.several(3, Dice::look),
            image: None,
            traced: dice.yes().then(|| dice.traced()),
            not_looked_at: None,
        });
        let lost = self.several(3, |dice| dice.one_of::<_, 25>(Fact::ALL.try_into().unwrap()));
        specimen::lose(&mut evidence, &lost);
        evidence
    }
}

fn dice_bit(dice: &mut Dice<'_>) -> u32 {
    u32::from(dice.below(16) == 15)
}

/// What "verified" promises, asked of the evidence itself.
fn nothing_to_lose(evidence: &Evidence, view: &ContextView, pid: Pid) {
    for fact in facts_of(evidence, pid, view) {
        let witnesses = [fact.in_flight_by_credits(), fact.in_flight_by_refs()];
        assert!(witnesses.iter().all(|told| matches!(told, Told::Is(0) | Told::Nothing)), "{fact:?}");
        assert!(witnesses.contains(&Told::Is(0)), "{fact:?}");
        assert!(fact.dead != Some(true) && fact.tail.is_some(), "{fact:?}");
    }
    assert_eq!((view.in_flight, view.unreaped, view.mapped), (Some(0), Some(0), Some(true)));
    assert_eq!(view.head, view.tail);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn any_evidence_has_a_picture(words in proptest::collection::vec(any::<u64>(), 0..700)) {
        let evidence = Dice(words.iter()).evidence();
        let picture = reconcile(&evidence);
        prop_assert_eq!(&picture, &reconcile(&evidence));
        prop_assert!(picture.contexts.is_sorted_by_key(|context| (context.pid, context.context)));
        prop_assert!(picture.ghosts.is_sorted_by_key(|ghost| (ghost.pid, ghost.address)));
        let mut placed: Vec<usize> = picture.spaces.iter().flat_map(|space| space.contexts.clone()).collect();
        placed.sort_unstable();
        prop_assert!(placed.into_iter().eq(0..picture.contexts.len()), "each context in one space");
        for context in &picture.contexts {
            prop_assert!(context.findings.is_sorted_by(|a, b| a < b), "each finding once, in the list's order");
            prop_assert!(context.details.iter().all(|(finding, _)| context.findings.contains(finding)));
            if let (Some(in_flight), Some(nr)) = (context.in_flight, context.nr_events) {
                prop_assert!(in_flight < nr);
            }
        }
        for pid in (0..4).map(Pid) {
            let policy = Policy { image: true, ..Policy::default() };
            if let DumpVerdict::Idle { contexts, unproven } = judge_dump(&evidence, &picture, pid, &policy) {
                prop_assert!(unproven.is_empty());
                prop_assert_eq!(evidence.source, CensusSource::Bpf);
                for index in contexts {
                    nothing_to_lose(&evidence, &picture.contexts[index], pid);
                }
            }
            let policy = Policy { allow_unreaped: true, unverified: true, image: true };
            let _ = judge_dump(&evidence, &picture, pid, &policy);
        }
    }
}
