//! Whatever the model can hold survives the file; what it cannot hold is refused.

use aioinspect_proto::evidence::{decode, encode};
use proptest::prelude::*;

use crate::*;
use aioinspect_model::cpus::{CpuRange, CpuSet};
use aioinspect_model::evidence::{
    AddressSpace, CensusSource, Doing, Evidence, HeaderReading, ImageFacts, KernelWord, Look, Made, Manner,
    MappingSource, MmFact, MmLayout, NotLookedAt, Perms, Process, RingMapping, Sharer, SystemFacts, TaskFact,
    TracedContext, TracedWord, Vma, Wait,
};
use aioinspect_model::kioctx::{CpuCredits, Kioctx, RefState};
use aioinspect_model::known::{Fact, Lack};
use aioinspect_model::units::{ContextId, Instant, MmId, Pid, Tid};

/// Turns a list of numbers into any evidence.
struct Dice<'a>(std::iter::Cycle<std::slice::Iter<'a, u64>>);

impl Dice<'_> {
    /// 0 and the largest number come often.
    fn long(&mut self) -> u64 {
        match self.below(4) {
            0 => 0,
            1 => u64::MAX,
            _ => *self.0.next().unwrap(),
        }
    }
    fn int(&mut self) -> u32 {
        u32::try_from(self.long() >> 32).unwrap()
    }
    fn signed(&mut self) -> i64 {
        self.long().cast_signed()
    }
    fn below(&mut self, n: usize) -> usize {
        usize::try_from(*self.0.next().unwrap() % u64::try_from(n).unwrap()).unwrap()
    }
    fn coin(&mut self) -> bool {
        self.below(2) == 1
    }
    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
    fn bytes(&mut self) -> Vec<u8> {
        let len = self.below(9);
        self.long().to_le_bytes()[..len].to_vec()
    }
    fn text(&mut self) -> String {
        self.bytes().escape_ascii().to_string()
    }
    fn many<T>(&mut self, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let n = self.below(4);
        (0..n).map(|_| one(self)).collect()
    }
    fn maybe<T>(&mut self, one: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.coin().then(|| one(self))
    }
    fn perms(&mut self) -> Perms {
        Perms { read: self.coin(), write: self.coin(), exec: self.coin(), shared: self.coin() }
    }
}

fn evidence(numbers: &[u64]) -> Evidence {
    let mut dice = Dice(numbers.iter().cycle());
    let d = &mut dice;
    Evidence {
        system: SystemFacts {
            aio_nr: d.long(),
            aio_max_nr: d.long(),
            possible_cpus: d.int(),
            page_size: d.int(),
            kernel_release: d.text(),
            tool_version: d.text(),
            taken_at_unix_ns: d.long(),
            online_cpus: cpus(d),
        },
        source: d.one(&[CensusSource::Bpf, CensusSource::Proc]),
        target: d.maybe(|d| Pid(d.int())),
        spaces: d.many(|d| AddressSpace {
            mm: MmId(d.int()),
            processes: d.many(|d| Process {
                pid: Pid(d.int()),
                comm: d.bytes(),
                start_ticks: d.long(),
                cgroup: d.maybe(Dice::bytes),
            }),
            looks: d.many(look),
            image: d.maybe(image_facts),
            traced: d.maybe(traced),
            not_looked_at: d.maybe(not_looked_at),
        }),
        lacks: d.many(|d| Lack { fact: d.one(Fact::ALL), why: d.text() }),
    }
}

fn not_looked_at(d: &mut Dice) -> NotLookedAt {
    NotLookedAt { io_urings: d.maybe(Dice::int), posix_aio_threads: d.maybe(Dice::int) }
}

fn cpus(d: &mut Dice) -> CpuSet {
    let (first, more) = (d.int() / 4, d.int() / 4);
    let last = first + more;
    let far = CpuRange { first: last + 2, last: last + 2 };
    let ranges = [CpuRange { first, last }, far];
    CpuSet::of_ranges(ranges.into_iter().take(d.below(3))).unwrap()
}

fn traced(d: &mut Dice) -> TracedWord {
    TracedWord {
        since: Instant(d.long()),
        contexts: d.many(|d| TracedContext {
            table_index: d.int(),
            made: d.maybe(|d| Made { at: Instant(d.long()), tid: Tid(d.int()) }),
            pid: Pid(d.int()),
            comm: d.bytes(),
            max_reqs: d.int(),
        }),
    }
}

fn look(d: &mut Dice) -> Look {
    Look {
        manner: d.one(&[Manner::Running, Manner::Frozen, Manner::Held]),
        before: d.maybe(kernel_word),
        mappings: d.many(|d| RingMapping {
            start: d.long(),
            end: d.long(),
            offset: d.long(),
            inode: d.long(),
            perms: d.perms(),
            source: d.one(&[MappingSource::Smaps, MappingSource::Iterator]),
        }),
        mappings_at: Instant(d.long()),
        mappings_checked: d.coin(),
        headers: d.many(|d| HeaderReading {
            address: ContextId(d.long()),
            bytes: if d.coin() {
                Ok([d.long().to_le_bytes(); 4].concat().try_into().unwrap())
            } else {
                Err(d.int().cast_signed())
            },
        }),
        headers_at: Instant(d.long()),
        after: d.maybe(kernel_word),
        sharers: d.many(|d| Sharer {
            pid: Pid(d.int()),
            comm: d.bytes(),
            inode: d.long(),
            address: ContextId(d.long()),
        }),
        pause_ns: d.long(),
    }
}

fn kioctx(d: &mut Dice) -> Kioctx {
    Kioctx {
        user_id: ContextId(d.long()),
        mmap_base: d.maybe(Dice::long),
        mmap_size: d.maybe(Dice::long),
        nr_pages: d.maybe(Dice::long),
        max_reqs: d.maybe(Dice::int),
        nr_events: d.maybe(Dice::int),
        tail: d.maybe(Dice::int),
        completed_events: d.maybe(Dice::int),
        reqs_available: d.maybe(Dice::signed),
        req_batch: d.maybe(Dice::int),
        percpu_available: d.maybe(Dice::signed),
        cpu_credits: d.many(|d| CpuCredits { cpu: d.int(), credits: d.int() }),
        percpu_refs: d.maybe(Dice::signed),
        atomic_refs: d.maybe(Dice::signed),
        ref_state: d.maybe(|d| d.one(&[RefState::PerCpu, RefState::Atomic, RefState::Dead])),
        dead: d.maybe(Dice::coin),
        table_index: d.int(),
    }
}

fn kernel_word(d: &mut Dice) -> KernelWord {
    KernelWord {
        begun_at: Instant(d.long()),
        ended_at: Instant(d.long()),
        contexts: d.many(kioctx),
        tasks: d.many(|d| TaskFact {
            tid: Tid(d.int()),
            pid: Pid(d.int()),
            switches: d.maybe(Dice::long),
            runtime_ns: d.maybe(Dice::long),
            on_cpu: d.maybe(Dice::coin),
            state: d.maybe(Dice::int),
            start_boottime_ns: d.maybe(Dice::long),
        }),
        mm: MmFact {
            brk: d.maybe(Dice::long),
            dumpable: d.maybe(Dice::int),
            lock_seq: d.maybe(Dice::int),
            map_count: d.maybe(Dice::int),
        },
        torn: d.coin(),
        waits: d.many(|d| Wait {
            tid: Tid(d.int()),
            pid: Pid(d.int()),
            doing: d.one(&[Doing::Destroy, Doing::Exit, Doing::Exec, Doing::LastUse]),
            id: d.maybe(|d| ContextId(d.long())),
            asleep_ns: d.maybe(Dice::long),
            left: d.maybe(Dice::int),
            contexts: d.many(kioctx),
        }),
    }
}

fn image_facts(d: &mut Dice) -> ImageFacts {
    ImageFacts {
        layout: MmLayout {
            start_code: d.long(),
            end_code: d.long(),
            start_stack: d.long(),
            start_data: d.long(),
            end_data: d.long(),
            start_brk: d.long(),
            arg_start: d.long(),
            arg_end: d.long(),
            env_start: d.long(),
            env_end: d.long(),
        },
        auxv: d.many(Dice::long),
        vmas: d.many(|d| Vma {
            start: d.long(),
            end: d.long(),
            offset: d.long(),
            perms: d.perms(),
            device: (d.int(), d.int()),
            inode: d.long(),
            name: d.bytes(),
            vm_flags: d.text(),
            is_ring: d.coin(),
        }),
        thp_disabled: d.maybe(Dice::coin),
    }
}

proptest! {
    /// Check that nothing is lost between the model and the bytes of a file, in either direction.
    #[test]
    fn evidence_survives_the_file(numbers in prop::collection::vec(any::<u64>(), 1..800)) {
        let evidence = evidence(&numbers);
        let bytes = encode(&evidence_to_proto(&evidence)).unwrap();
        let again = evidence_from_proto(decode(&bytes).unwrap()).unwrap();
        prop_assert_eq!(&again, &evidence);
        prop_assert_eq!(encode(&evidence_to_proto(&again)).unwrap(), bytes);
    }

    /// Check that a damaged file is refused or read as something else, and never ends the program.
    #[test]
    fn damage_is_survived(
        numbers in prop::collection::vec(any::<u64>(), 1..200),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = encode(&evidence_to_proto(&evidence(&numbers))).unwrap();
        for (at, with) in damage {
            let at = at.index(bytes.len());
            bytes[at] = with;
        }
        if let Ok(message) = decode(&bytes) {
            let _ = evidence_from_proto(message);
        }
    }
}

#[test]
fn what_the_model_cannot_hold_is_refused() {
    use aioinspect_proto::schema::evidence as file;
    let default =
        || evidence_to_proto(&Evidence { spaces: vec![AddressSpace::default()], ..Evidence::default() });
    let refused = |change: &dyn Fn(&mut file::Evidence)| {
        let mut message = default();
        change(&mut message);
        evidence_from_proto(message).unwrap_err().to_string()
    };
    let look = || file::Look { manner: 1, ..file::Look::default() };
    let header = |outcome| {
        let look = file::Look { headers: vec![file::HeaderReading { address: 0x7f00, outcome }], ..look() };
        refused(&|e| e.spaces[0].looks = vec![look.clone()])
    };
    assert!(evidence_from_proto(default()).is_ok());
    assert_eq!(refused(&|e| e.system = None), "evidence without system");
    assert_eq!(refused(&|e| e.source = 0), "source has the unknown value 0");
    assert_eq!(refused(&|e| e.source = 77), "source has the unknown value 77");
    assert_eq!(
        refused(&|e| e.spaces[0].looks = vec![file::Look::default()]),
        "manner has the unknown value 0"
    );
    assert_eq!(
        refused(
            &|e| e.spaces[0].looks = vec![file::Look { before: Some(file::KernelWord::default()), ..look() }]
        ),
        "evidence without mm"
    );
    assert_eq!(
        refused(&|e| e.spaces[0].looks =
            vec![file::Look { mappings: vec![file::RingMapping::default()], ..look() }]),
        "evidence without perms"
    );
    assert_eq!(
        refused(&|e| e.spaces[0].image = Some(file::ImageFacts::default())),
        "evidence without layout"
    );
    let lack = file::Lack { fact: 77, why: String::new() };
    assert_eq!(refused(&|e| e.lacks = vec![lack.clone()]), "fact has the unknown value 77");
    let word = |kioctx| file::KernelWord {
        mm: Some(file::MmFact::default()),
        contexts: vec![kioctx],
        ..file::KernelWord::default()
    };
    let context = |kioctx: file::Kioctx| {
        refused(&|e| e.spaces[0].looks = vec![file::Look { before: Some(word(kioctx.clone())), ..look() }])
    };
    assert_eq!(context(file::Kioctx::default()), "ref_state has the unknown value 0");
    let unknown = file::Kioctx { unknown: vec![0], ..file::Kioctx::default() };
    assert_eq!(context(unknown), "fact has the unknown value 0");
    assert_eq!(header(None), "evidence without header or errno");
    assert_eq!(
        header(Some(file::header_reading::Outcome::Header(vec![0; 31]))),
        "the ring header at 0x7f00 has 31 bytes, not 32"
    );
}
