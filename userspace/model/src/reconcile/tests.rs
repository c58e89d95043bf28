//! Each finding: a state that has it, and the neighbour that has not.

use crate::evidence::{AddressSpace, Evidence, Look, Manner, Process, RingMapping, Sharer};
use crate::finding::Finding;
use crate::reconcile::*;
use crate::specimen::{
    AT, INODE, evidence, forge, header, idle, kioctx, last, look, reading, ring, spoil, word,
};
use crate::trend::{IDLE_LEAK_AFTER, STUCK_AFTER, Trends};
use crate::units::{ContextId, MmId, Pid};

/// The findings of the only context.
fn findings(evidence: &Evidence) -> Vec<Finding> {
    only(evidence).findings
}

fn only(evidence: &Evidence) -> ContextView {
    let mut contexts = reconcile(evidence).contexts;
    assert_eq!(contexts.len(), 1);
    contexts.remove(0)
}

fn detail(view: &ContextView, finding: Finding) -> String {
    let of: Vec<&str> =
        view.details.iter().filter(|(is, _)| *is == finding).map(|(_, text)| text.as_str()).collect();
    of.join("; ")
}

/// Check that an idle context has nothing to be said of it, and every number.
#[test]
fn idle_has_no_finding() {
    let picture = reconcile(&idle());
    let [context] = &picture.contexts[..] else { panic!("{picture:?}") };
    assert_eq!(context.findings, []);
    assert_eq!((context.in_flight, context.unreaped, context.mapped), (Some(0), Some(0), Some(true)));
    assert_eq!((context.max_reqs, context.nr_events, context.ring_len), (Some(128), Some(383), Some(12288)));
    assert_eq!((picture.system.attributed, picture.system.unattributed), (Some(128), Some(0)));
    assert_eq!(picture.spaces[0].contexts, [0]);
}

/// Check the formula of in-flight with credits on CPUs and completions not given back.
#[test]
fn in_flight_and_unreaped() {
    let mut it = idle();
    spoil(&mut it, |fact| {
        (fact.reqs_available, fact.percpu_available, fact.completed_events, fact.tail) =
            (Some(288), Some(40), Some(50), Some(50));
        fact.percpu_refs = Some(5);
    });
    forge(&mut it, |claim| claim.head = 20);
    let view = only(&it);
    assert_eq!((view.in_flight, view.unreaped), (Some(4), Some(30)));
    assert_eq!(view.findings, [Finding::InFlight, Finding::Unreaped]);
}

/// Check that two witnesses that differ on a frozen task never give a number.
#[test]
fn references_differ_from_credits() {
    let mut it = idle();
    spoil(&mut it, |fact| fact.percpu_refs = Some(3));
    let view = only(&it);
    assert_eq!((view.in_flight, &view.findings[..]), (None, &[Finding::Unsettled][..]));
    assert_eq!(detail(&view, Finding::Unsettled), "in flight is 0 by the credits, 2 by the references");
    last(&mut it).manner = Manner::Running;
    assert_eq!((only(&it).in_flight, findings(&it)), (Some(0), vec![]));
    spoil(&mut it, |fact| fact.reqs_available = Some(400));
    assert_eq!((only(&it).in_flight, findings(&it)), (None, vec![Finding::Unsettled]));
}

/// Check that a context that is being destroyed, or made, is not settled.
#[test]
fn dying_and_unborn() {
    let mut it = idle();
    spoil(&mut it, |fact| fact.dead = Some(true));
    assert_eq!(findings(&it), [Finding::Unsettled]);
    let mut it = idle();
    last(&mut it).manner = Manner::Running;
    forge(&mut it, |claim| claim.id = u32::MAX);
    assert_eq!(findings(&it), [Finding::Unsettled]);
    last(&mut it).manner = Manner::Frozen;
    assert_eq!(findings(&it), [Finding::ForgedHeader]);
}

/// Check that every forged field is named with what belongs there.
#[test]
fn forged_fields() {
    type Forgery = fn(&mut crate::header::RingHeader);
    let cases: [(Forgery, &str); 8] = [
        (|claim| claim.magic = 1, "magic is 0x1, not 0xa10a10a1"),
        (|claim| claim.id = 5, "id is 5, not 0"),
        (|claim| claim.nr = 127, "nr is 127, not 383"),
        (|claim| claim.compat_features = 2, "compat_features is 2, not 1"),
        (|claim| claim.incompat_features = 1, "incompat_features is 1, not 0"),
        (|claim| claim.header_length = 64, "header_length is 64, not 32"),
        (|claim| claim.head = 383, "head is 383, not below 383"),
        (|claim| claim.tail = 9, "tail is 9, not 0"),
    ];
    for (forgery, says) in cases {
        let mut it = idle();
        forge(&mut it, forgery);
        let view = only(&it);
        assert_eq!(view.findings, [Finding::ForgedHeader], "{says}");
        assert_eq!(detail(&view, Finding::ForgedHeader), says);
    }
}

/// Check that a head within the ring is caught when it claims more than the kernel ever left there.
#[test]
fn head_written_back() {
    let mut it = idle();
    spoil(&mut it, |fact| {
        (fact.tail, fact.completed_events, fact.reqs_available) = (Some(10), Some(4), Some(378));
    });
    forge(&mut it, |claim| claim.head = 6);
    assert_eq!((only(&it).unreaped, findings(&it)), (Some(4), vec![Finding::Unreaped]));
    forge(&mut it, |claim| claim.head = 5);
    assert_eq!((only(&it).unreaped, findings(&it)), (None, vec![Finding::ForgedHeader]));
    forge(&mut it, |claim| claim.head = 11);
    assert_eq!((only(&it).unreaped, findings(&it)), (None, vec![Finding::ForgedHeader]));
    last(&mut it).manner = Manner::Running;
    assert_eq!(findings(&it), [Finding::ForgedHeader], "no completion came between, so no race explains it");
}

/// Check that a reaper that overtakes our census is neither a forger nor 380 completions.
#[test]
fn head_read_later_than_tail() {
    let mut it = idle();
    last(&mut it).manner = Manner::Running;
    spoil(&mut it, |fact| {
        (fact.tail, fact.reqs_available, fact.percpu_refs) = (Some(10), Some(372), Some(11));
    });
    forge(&mut it, |claim| (claim.head, claim.tail) = (12, 15));
    let view = only(&it);
    assert_eq!((view.unreaped, &view.findings[..]), (Some(3), &[Finding::InFlight, Finding::Unreaped][..]));
    forge(&mut it, |claim| (claim.head, claim.tail) = (40, 39));
    assert_eq!((only(&it).unreaped, findings(&it)), (None, vec![Finding::InFlight, Finding::Unsettled]));
}

/// Check that completions that arrive while the task is frozen are no forgery.
#[test]
fn tail_moves_in_a_frozen_task() {
    let mut it = idle();
    spoil(&mut it, |fact| (fact.reqs_available, fact.percpu_refs) = (Some(380), Some(3)));
    forge(&mut it, |claim| claim.tail = 2);
    assert_eq!(findings(&it), [Finding::InFlight]);
    forge(&mut it, |claim| claim.tail = 3);
    assert_eq!(findings(&it), [Finding::InFlight, Finding::ForgedHeader]);
}

/// Check the ring that was unmapped, and that nothing is said where nobody looked.
#[test]
fn unmapped() {
    let mut it = idle();
    last(&mut it).mappings.clear();
    last(&mut it).headers[0].bytes = Err(14);
    let view = only(&it);
    assert_eq!((view.mapped, &view.findings[..]), (Some(false), &[Finding::UnmappedRing][..]));
    let look = last(&mut it);
    look.mappings_at.0 = 0;
    assert_eq!((only(&it).mapped, findings(&it)), (None, vec![Finding::UnreadableRing]));
}

/// Check that a context made between the census and the look for mappings is not called unmapped.
#[test]
fn appeared_while_running() {
    let mut it = idle();
    last(&mut it).mappings.clear();
    last(&mut it).manner = Manner::Running;
    assert_eq!((only(&it).mapped, findings(&it)), (None, vec![Finding::Unsettled]));
}

/// Check that a ring is whole, or a page too long, by the pages of its evidence: also where only their number is known.
#[test]
fn pages_of_any_size() {
    for (page_size, nr_pages, nr_events) in
        [(4096, 3, 383), (16384, 1, 511), (65536, 1, 2047), (65536, 2, 4095)]
    {
        let len = u64::from(page_size) * nr_pages;
        for mmap_size in [Some(len), None] {
            let mut it = idle();
            it.system.page_size = page_size;
            spoil(&mut it, |kioctx| {
                (kioctx.mmap_size, kioctx.nr_pages) = (mmap_size, Some(nr_pages));
                (kioctx.nr_events, kioctx.reqs_available) = (Some(nr_events), Some(i64::from(nr_events) - 1));
            });
            let fact = last(&mut it).before.as_ref().unwrap().contexts[0].clone();
            last(&mut it).headers = vec![reading(&fact, header(&fact))];
            last(&mut it).mappings[0].end = AT + len;
            let view = only(&it);
            assert_eq!(
                (view.findings, view.ring_len, view.in_flight),
                (vec![], Some(len), Some(0)),
                "{page_size}"
            );
            last(&mut it).mappings[0].end = AT + len + u64::from(page_size);
            assert!(findings(&it).contains(&Finding::SplitMapping), "{page_size}");
        }
    }
}

/// Check PROT_NONE, a cut ring, a ring in two pieces, and one whose first page is gone.
#[test]
fn mappings_that_changed() {
    let mut it = idle();
    last(&mut it).mappings[0].perms.write = false;
    assert_eq!(detail(&only(&it), Finding::ProtectionChanged), "r--s at 0x7f0000000000");

    let mut it = idle();
    last(&mut it).mappings[0].end -= 4096;
    assert_eq!(
        detail(&only(&it), Finding::SplitMapping),
        "1 mapping, 8192 of 12288 bytes in place at 0x7f0000000000"
    );

    let mut it = idle();
    let rest = RingMapping { start: AT + 8192, end: AT + 12288, offset: 8192, ..ring(AT, INODE) };
    last(&mut it).mappings[0].end = AT + 4096;
    last(&mut it).mappings.push(rest);
    assert_eq!(
        detail(&only(&it), Finding::SplitMapping),
        "2 mappings, 8192 of 12288 bytes in place at 0x7f0000000000"
    );

    last(&mut it).mappings.remove(0);
    let picture = reconcile(&it);
    assert_eq!(picture.contexts[0].findings, [Finding::UnmappedRing, Finding::SplitMapping]);
    assert_eq!(picture.ghosts, []);
}

/// Check that a ring inherited by fork is a ghost of the child, and that the child is named to the parent.
#[test]
fn ghost_and_sharer() {
    let mut it = idle();
    let child = Process { pid: Pid(101), comm: b"kid".to_vec(), ..Process::default() };
    let ghost = Look {
        manner: Manner::Running,
        before: Some(word(vec![], 1000)),
        mappings: vec![ring(AT, INODE)],
        ..Look::default()
    };
    it.spaces.push(AddressSpace {
        mm: MmId(2),
        processes: vec![child],
        looks: vec![ghost],
        image: None,
        traced: None,
        not_looked_at: None,
    });
    let picture = reconcile(&it);
    assert_eq!(picture.ghosts.len(), 1);
    assert_eq!((picture.ghosts[0].pid, picture.ghosts[0].ring_len), (Pid(101), 12288));
    assert_eq!(picture.contexts.len(), 1);
    assert_eq!(detail(&picture.contexts[0], Finding::SharedRing), "pid 101 (kid) maps it at 0x7f0000000000");

    let mut alone = idle();
    let sharer = Sharer { pid: Pid(7), comm: b"x".to_vec(), inode: INODE, address: ContextId(0x1000) };
    last(&mut alone).sharers = vec![sharer.clone(), sharer];
    assert_eq!(detail(&only(&alone), Finding::SharedRing), "pid 7 (x) maps it at 0x1000");
}

/// Check that a leaked context and the one made at its address afterwards are told apart by the ring's id.
#[test]
fn two_contexts_at_one_address() {
    let (old, new) = (kioctx(AT, 0), kioctx(AT, 1));
    let mut it = evidence(vec![look(Manner::Frozen, &[new])]);
    last(&mut it).before.as_mut().unwrap().contexts.insert(0, old);
    let picture = reconcile(&it);
    let mapped: Vec<_> = picture.contexts.iter().map(|context| context.mapped).collect();
    assert_eq!(mapped, [Some(false), Some(true)]);
    forge(&mut it, |claim| claim.id = 9);
    assert!(reconcile(&it).contexts.iter().all(|context| context.findings.contains(&Finding::Unsettled)));
    // A different size is a fact and needs no word of the ring.
    last(&mut it).before.as_mut().unwrap().contexts[0].mmap_size = Some(4096);
    let picture = reconcile(&it);
    assert_eq!(picture.contexts[0].mapped, Some(false));
    assert_eq!(picture.contexts[1].findings, [Finding::ForgedHeader]);
}

/// Check when a ring is full: a remainder below a batch is no free entry, credits of some CPU or a reaped entry are.
#[test]
fn ring_full() {
    let full = |available: i64, on_cpus: i64, completed: u32, head| {
        let mut it = idle();
        spoil(&mut it, |fact| {
            (fact.reqs_available, fact.percpu_available) = (Some(available), Some(on_cpus));
            (fact.completed_events, fact.tail) = (Some(completed), Some(completed));
            fact.percpu_refs = Some(383 - available - on_cpus - i64::from(completed));
        });
        forge(&mut it, |claim| claim.head = head);
        detail(&only(&it), Finding::RingFull)
    };
    assert_eq!(full(0, 0, 0, 0), "none is free until one of 382 in flight completes and is reaped");
    assert_eq!(
        full(6, 0, 0, 0),
        "none is free until one of 376 in flight completes and is reaped; 6 left, fewer than a batch of 47"
    );
    assert_eq!(full(0, 0, 82, 0), "reaping the 82 completions that wait frees their ring entries");
    assert_eq!(full(47, 0, 0, 0), "");
    assert_eq!(full(6, 1, 0, 0), "");
    assert_eq!(full(0, 0, 82, 1), "", "one was reaped: io_submit takes its credit back");
    let mut it = idle();
    spoil(&mut it, |fact| (fact.reqs_available, fact.percpu_refs) = (Some(0), Some(383)));
    assert_eq!(findings(&it), [Finding::InFlight, Finding::RingFull]);
    last(&mut it).mappings.clear();
    assert_eq!(findings(&it), [Finding::InFlight, Finding::UnmappedRing], "io_submit answers EINVAL");
}

/// Check what only looks five seconds apart can show.
#[test]
fn stuck() {
    let at = |begun_at, in_flight: u32, tail: u32| {
        let fact = Kioctx {
            reqs_available: Some(382 - i64::from(in_flight)),
            percpu_refs: Some(1 + i64::from(in_flight)),
            tail: Some(tail),
            ..kioctx(AT, 0)
        };
        let mut look = look(Manner::Running, &[fact]);
        look.before.as_mut().unwrap().begun_at.0 = begun_at;
        look
    };
    let has = |looks| findings(&evidence(looks)).contains(&Finding::Stuck);
    assert!(has(vec![at(0, 3, 7), at(2_000_000_000, 3, 7), at(STUCK_AFTER, 4, 7)]));
    assert!(!has(vec![at(0, 3, 7), at(STUCK_AFTER - 1, 3, 7)]));
    assert!(!has(vec![at(0, 3, 7), at(STUCK_AFTER, 3, 8)]), "one completed");
    assert!(!has(vec![at(0, 3, 7), at(1, 2, 7), at(STUCK_AFTER, 3, 7)]), "one was cancelled");
    assert!(!has(vec![at(0, 0, 7), at(STUCK_AFTER, 0, 7)]));
}

/// Check that one look is judged by what was seen before it, where that is kept apart from the evidence.
#[test]
fn with_trends() {
    let at = |begun_at| {
        let mut it = idle();
        spoil(&mut it, |fact| (fact.reqs_available, fact.percpu_refs) = (Some(380), Some(3)));
        last(&mut it).before.as_mut().unwrap().begun_at.0 = begun_at;
        it
    };
    let mut trends = Trends::default();
    let mut detail_at = |begun_at| {
        let it = at(begun_at);
        trends.observe(&it);
        detail(&reconcile_with(&it, &trends).contexts[0], Finding::Stuck)
    };
    assert_eq!(detail_at(1), "");
    assert_eq!(detail_at(1 + STUCK_AFTER), "2 in flight, none completed for 5 s");
    assert_eq!(detail_at(1 + 100 * STUCK_AFTER), "2 in flight, none completed for 500 s");
    assert_eq!(findings(&at(1 + STUCK_AFTER)), [Finding::InFlight]);
}

/// Check that only growth, at each look, of contexts never used is a leak.
#[test]
fn idle_leak() {
    let at = |begun_at, count: u32, tail: u32| {
        let facts: Vec<Kioctx> = (0..count)
            .map(|n| Kioctx { tail: Some(tail), ..kioctx(AT + u64::from(n) * 0x10000, n) })
            .collect();
        let mut look = look(Manner::Running, &facts);
        look.before.as_mut().unwrap().begun_at.0 = begun_at;
        look
    };
    let leaks = |looks| {
        let picture = reconcile(&evidence(looks));
        picture.contexts.iter().filter(|context| context.findings.contains(&Finding::IdleLeak)).count()
    };
    assert_eq!(leaks(vec![at(0, 2, 0), at(1, 3, 0), at(IDLE_LEAK_AFTER, 5, 0)]), 3, "the last two are new");
    assert_eq!(leaks(vec![at(0, 2, 0), at(1, 2, 0), at(IDLE_LEAK_AFTER, 5, 0)]), 0);
    assert_eq!(leaks(vec![at(0, 2, 0), at(IDLE_LEAK_AFTER - 1, 5, 0)]), 0);
    assert_eq!(leaks(vec![at(0, 2, 0), at(IDLE_LEAK_AFTER, 5, 1)]), 0, "they are used");
}

/// Check what is left without the kernel's word.
#[test]
fn without_kernel() {
    let mut it = idle();
    it.source = CensusSource::Proc;
    last(&mut it).before = None;
    forge(&mut it, |claim| (claim.head, claim.tail) = (1, 3));
    let picture = reconcile(&it);
    let context = &picture.contexts[0];
    assert_eq!((context.max_reqs, context.in_flight, context.nr_events), (None, None, Some(383)));
    assert_eq!((context.unreaped, &context.findings[..]), (Some(2), &[Finding::Unreaped][..]));
    assert_eq!((picture.system.attributed, picture.system.unattributed), (None, None));
    assert_eq!(picture.spaces[0].proof, Proof::Unproven);
    forge(&mut it, |claim| (claim.magic, claim.nr) = (0, 5));
    assert_eq!(detail(&only(&it), Finding::ForgedHeader), "nr is 5, not 383; magic is 0x0, not 0xa10a10a1");
}

/// Check that processes sharing an mm are shown once, and a repeated mm is not counted twice.
#[test]
fn one_mm_once() {
    let mut it = idle();
    it.spaces[0].processes.insert(0, Process { pid: Pid(200), comm: b"late".to_vec(), ..Process::default() });
    it.spaces.push(it.spaces[0].clone());
    let picture = reconcile(&it);
    assert_eq!((picture.contexts.len(), picture.contexts[0].pid), (1, Pid(100)));
    assert_eq!(picture.spaces[0].pids, [Pid(100), Pid(200)]);
    assert_eq!(picture.system.attributed, Some(128));
}

/// Check that more contexts than aio-nr gives a negative rest, and one process alone none.
#[test]
fn footer() {
    let mut it = idle();
    it.system.aio_nr = 100;
    assert_eq!(reconcile(&it).system.unattributed, Some(-28));
    it.target = Some(Pid(100));
    let system = reconcile(&it).system;
    assert_eq!((system.attributed, system.unattributed), (Some(128), None));
}

/// Check that a header that was not asked for leaves its numbers unknown and says nothing.
#[test]
fn header_not_read() {
    let mut it = idle();
    let fact = kioctx(AT, 0);
    last(&mut it).headers = vec![reading(&kioctx(AT + 4096, 0), header(&fact))];
    assert_eq!((only(&it).head, only(&it).unreaped, findings(&it)), (None, None, vec![]));
}
