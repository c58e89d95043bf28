//! Records of a kernel that tells everything, and of kernels that do not.

use crate::census::records::*;
use aioinspect_model::kioctx::Told;

const MM: u64 = 0xffff_8880_0000_1000;

/// This process with one context: two requests in flight.
fn records() -> Records {
    let us = std::process::id();
    Records {
        contexts: vec![ContextRecord {
            mm: MM,
            user_id: 0x7000,
            mmap_base: 0x7000,
            mmap_size: 12288,
            nr_pages: 3,
            percpu_available: 40,
            percpu_refs: 3,
            max_reqs: 128,
            nr_events: 383,
            tail: 7,
            completed_events: 5,
            reqs_available: 335,
            table_index: 1,
            ..ContextRecord::default()
        }],
        mms: vec![MmRecord {
            mm: MM,
            brk: 0x1000,
            flags: 0xfd,
            lock_seq: 4,
            map_count: 30,
            contexts: 1,
            ..MmRecord::default()
        }],
        tasks: vec![TaskRecord {
            mm: MM,
            tid: us,
            tgid: us,
            voluntary_switches: 3,
            involuntary_switches: 4,
            runtime: 9,
            state: 1,
            start_boottime: 70_000_000,
            leader_start_boottime: 70_000_000,
            comm_low: u64::from_ne_bytes(*b"records\0"),
            ..TaskRecord::default()
        }],
        ..Records::default()
    }
}

fn space(records: &Records, lost: &[Fact]) -> SpaceWord {
    let mut known = Known::all();
    for fact in lost {
        known.lose(*fact, "");
    }
    by_space(records, &known).remove(&MmKey(MM)).unwrap()
}

/// Check that every number arrives.
#[test]
fn everything() {
    let space = space(&records(), &[]);
    let context = &space.word.contexts[0];
    assert_eq!((context.max_reqs, context.tail, context.dead), (Some(128), Some(7), Some(false)));
    assert_eq!((context.in_flight(), context.in_flight_by_refs()), (Told::Is(2), Told::Is(2)));
    let mm = MmFact { brk: Some(0x1000), dumpable: Some(1), lock_seq: Some(4), map_count: Some(30) };
    assert_eq!(space.word.mm, mm);
    let task = &space.word.tasks[0];
    assert_eq!((task.switches, task.on_cpu, task.state), (Some(7), Some(false), Some(1)));
    let process = &space.processes[0];
    assert_eq!((process.comm.as_slice(), process.start_ticks), (&b"records"[..], 7));
}

/// Check that a fact that is lost is `None`, whatever the record holds at its place, and every other one is what it was.
#[test]
fn each_lost_alone() {
    let words = |lost: &[Fact]| {
        let space = space(&records(), lost);
        let text = format!("{:?} {:?} {:?}", space.word.contexts, space.word.tasks, space.word.mm);
        text.split([',', '{']).map(|part| part.trim().to_owned()).collect::<Vec<_>>()
    };
    let whole = words(&[]);
    for fact in Fact::ALL {
        let seen = words(&[*fact]);
        let changed: Vec<_> = whole.iter().zip(&seen).filter(|(all, some)| all != some).collect();
        let is_name = [Fact::Comm, Fact::LeaderStart].contains(fact);
        assert_eq!(changed.len(), usize::from(!is_name), "{fact:?}: {changed:?}");
        assert!(changed.iter().all(|(_, some)| some.contains(": None")), "{fact:?}: {changed:?}");
    }
}

/// Check that the credits of single CPUs are those that the context points to, and none where there was no room for all of them, or where the
/// kernel tells no sum of them.
#[test]
fn credits_of_cpus() {
    let mut records = records();
    let of = |cpu, credits| CreditsRecord { cpu, credits };
    records.credits = vec![of(9, 9), of(0, 3), of(1, 37), of(7, 7)];
    let context = &mut records.contexts[0];
    (context.credits_first, context.credits_count, context.req_batch) = (1, 2, 47);
    let found = space(&records, &[]).word.contexts.remove(0);
    let expected = [CpuCredits { cpu: 0, credits: 3 }, CpuCredits { cpu: 1, credits: 37 }];
    assert_eq!((found.credits_by_cpu(), found.req_batch), (Some(&expected[..]), Some(47)));
    let lost = space(&records, &[Fact::PercpuAvailable, Fact::ReqBatch]).word.contexts.remove(0);
    assert_eq!((lost.cpu_credits.len(), lost.credits_by_cpu(), lost.req_batch), (0, None, None));
    records.credits.truncate(2);
    let found = space(&records, &[]).word.contexts.remove(0);
    assert_eq!((found.cpu_credits.len(), found.credits_by_cpu()), (0, None));
}

/// Check that a number of more than 32 bits, which no kernel known has, is none.
#[test]
fn out_of_range() {
    let mut records = records();
    let wide = u64::from(u32::MAX) + 1;
    let context = &mut records.contexts[0];
    (context.max_reqs, context.nr_events, context.tail, context.completed_events) = (wide, wide, wide, wide);
    let found = space(&records, &[]).word.contexts.remove(0);
    assert_eq!(
        (found.max_reqs, found.nr_events, found.tail, found.completed_events),
        (None, None, None, None)
    );
    assert_eq!(found.in_flight(), Told::Is(2), "by the references");
}

/// Check that the name and the start of a process come from its own files where the census does not tell them.
#[test]
fn names_from_proc() {
    let ours = process_of(Pid(std::process::id())).unwrap();
    let both = space(&records(), &[Fact::Comm, Fact::LeaderStart]).processes.remove(0);
    assert_eq!(both, ours);
    let start = space(&records(), &[Fact::LeaderStart]).processes.remove(0);
    assert_eq!((start.comm.as_slice(), start.start_ticks), (&b"records"[..], ours.start_ticks));
    let mut gone = records();
    gone.tasks[0].tgid = u32::MAX;
    let nobody = space(&gone, &[Fact::Comm]).processes.remove(0);
    assert_eq!((nobody.comm.as_slice(), nobody.start_ticks), (&b""[..], 7));
}
