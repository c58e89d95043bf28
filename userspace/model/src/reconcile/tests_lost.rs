//! What is lost with a fact that the kernel does not tell: the right number or none, and never a verdict that another kernel would not give.

use crate::evidence::Manner;
use crate::kioctx::Kioctx;
use crate::known::{CREDITS, Fact, REFERENCES, RING_LEN, SCHEDULER};
use crate::reconcile::*;
use crate::specimen::{AT, evidence, forge, idle, kioctx, last, look, lose, spoil, word};
use crate::verdict::{DumpVerdict, Policy, judge_dump};

/// As a dump judges.
const DUMP: Policy = Policy { allow_unreaped: false, unverified: false, image: true };

fn without(facts: &[Fact], of: &Evidence) -> Evidence {
    let mut evidence = of.clone();
    evidence.system.page_size = 4096;
    lose(&mut evidence, facts);
    evidence
}

fn verdict(evidence: &Evidence, policy: Policy) -> DumpVerdict {
    judge_dump(evidence, &reconcile(evidence), Pid(100), &policy)
}

fn is_idle(verdict: &DumpVerdict) -> bool {
    match verdict {
        DumpVerdict::Idle { .. } => true,
        DumpVerdict::Refused { .. } | DumpVerdict::Busy { .. } | DumpVerdict::NoSuchProcess => false,
    }
}

/// A process that sleeps, looked at twice.
fn not_touched() -> Evidence {
    let mut look = look(Manner::Running, &[kioctx(AT, 0)]);
    look.after = Some(word(vec![kioctx(AT, 0)], 1040));
    evidence(vec![look])
}

/// States of one context that two witnesses agree on, and the names of what is wrong with some.
fn states() -> Vec<Evidence> {
    let spoilt = |change: fn(&mut Kioctx)| {
        let mut it = idle();
        spoil(&mut it, change);
        it
    };
    let busy = spoilt(|fact| (fact.reqs_available, fact.percpu_refs) = (Some(379), Some(4)));
    let mut waiting = spoilt(|fact| {
        (fact.tail, fact.completed_events, fact.reqs_available) = (Some(10), Some(4), Some(378));
    });
    forge(&mut waiting, |claim| claim.head = 6);
    let mut forged = waiting.clone();
    forge(&mut forged, |claim| claim.head = 5);
    let mut split = idle();
    last(&mut split).mappings[0].end -= 4096;
    let mut unmapped = idle();
    last(&mut unmapped).mappings.clear();
    let unfinished = spoilt(|fact| {
        (fact.nr_events, fact.mmap_size, fact.nr_pages) = (Some(0), Some(0), Some(0));
    });
    let dead = spoilt(|fact| fact.dead = Some(true));
    vec![idle(), not_touched(), busy, waiting, forged, split, unmapped, unfinished, dead]
}

/// Every fact alone, and every two.
fn losses() -> Vec<Vec<Fact>> {
    let alone = Fact::ALL.iter().map(|fact| vec![*fact]);
    let later = |one: &'static Fact| Fact::ALL.iter().filter(move |other| *other > one);
    let pairs = Fact::ALL.iter().flat_map(|one| later(one).map(move |other| vec![*one, *other]));
    alone.chain(pairs).collect()
}

/// Check that a number is what it is on a kernel that tells everything, or null.
#[test]
fn right_or_null() {
    for state in states() {
        let whole = reconcile(&without(&[], &state));
        for lost in losses() {
            let seen = reconcile(&without(&lost, &state));
            let (all, some) = (&whole.contexts[0], &seen.contexts[0]);
            for (all, some) in
                [(all.max_reqs, some.max_reqs), (all.nr_events, some.nr_events), (all.tail, some.tail)]
            {
                assert!(some.is_none() || some == all, "{lost:?}: {some:?}, not {all:?}");
            }
            // Two witnesses that disagree tell nothing, one of them alone does; a ring that is being made is known by its nr_events.
            for (all, some) in [(all.in_flight, some.in_flight), (all.head, some.head)] {
                let holds = all.is_none_or(|all| some == Some(all));
                assert!(some.is_none() || holds, "{lost:?}: {some:?}, not {all:?}");
            }
            let unreaped = some.unreaped;
            assert!(unreaped.is_none() || unreaped == all.unreaped, "{lost:?}: {unreaped:?}");
            assert!(some.ring_len.is_none() || some.ring_len == all.ring_len, "{lost:?}");
            assert_eq!(some.mapped, all.mapped, "{lost:?}");
            let (known, sum) = (seen.system.attributed, whole.system.attributed);
            assert_eq!(known, sum.filter(|_| !lost.contains(&Fact::MaxReqs)), "{lost:?}");
        }
    }
}

/// Check that nothing is called idle that is not, and that what is refused for want of a fact alone names the want.
#[test]
fn never_idle_for_want_of_a_fact() {
    for (place, state) in states().into_iter().enumerate() {
        let whole = verdict(&without(&[], &state), DUMP);
        // What a context that ends was told by alone: it is out of the table by then (fs/aio.c:kill_ioctx).
        let is_dead = place == 8;
        for lost in losses() {
            let it = without(&lost, &state);
            let seen = verdict(&it, DUMP);
            if is_idle(&seen) {
                assert!(is_idle(&whole) || (is_dead && lost.contains(&Fact::Dead)), "{lost:?} {state:?}");
                continue;
            }
            let DumpVerdict::Refused { reasons } = &seen else { panic!("{lost:?}: {seen:?}") };
            assert!(!reasons.is_empty());
            if is_idle(&whole) {
                for reason in reasons {
                    assert!(reason.finding.is_none(), "{lost:?}: {reason:?}");
                    assert!(reason.what.contains("this kernel has no "), "{lost:?}: {reason:?}");
                }
            }
        }
    }
}

/// Check which facts a frozen idle process can be without, alone.
#[test]
fn what_a_dump_rests_on() {
    let needed = [Fact::NrEvents, Fact::Tail, Fact::Brk, Fact::Dumpable];
    for fact in Fact::ALL {
        let it = verdict(&without(&[*fact], &idle()), DUMP);
        assert_eq!(is_idle(&it), !needed.contains(fact), "{fact:?}: {it:?}");
        assert_eq!(it.is_for_lack(), needed.contains(fact), "{fact:?}: {it:?}");
    }
    for fact in [Fact::Brk, Fact::Dumpable] {
        assert!(is_idle(&verdict(&without(&[fact], &idle()), Policy { image: false, ..DUMP })), "for check");
    }
    let both = [&CREDITS[1..], &REFERENCES].concat();
    assert!(verdict(&without(&both, &idle()), DUMP).is_for_lack());
    assert!(verdict(&without(&RING_LEN, &idle()), DUMP).is_for_lack());
}

/// Check what a process that nobody stopped can be without, alone: not the scheduler's word, and then a freeze is the remedy.
#[test]
fn what_no_touch_rests_on() {
    for fact in Fact::ALL {
        let it = verdict(&without(&[*fact], &not_touched()), Policy { image: false, ..DUMP });
        let needed = [Fact::NrEvents, Fact::Tail].contains(fact) || SCHEDULER.contains(fact);
        assert_eq!(is_idle(&it), !needed, "{fact:?}: {it:?}");
        let DumpVerdict::Refused { reasons } = it else { continue };
        let freeze = reasons.iter().any(|reason| reason.remedy.contains("--freeze ptrace"));
        assert_eq!(freeze, SCHEDULER.contains(fact), "{fact:?}: {reasons:?}");
    }
}

/// Check what `--unverified` accepts, by name, and what nobody can.
#[test]
fn accepted() {
    let unverified = Policy { unverified: true, ..DUMP };
    for (lost, what) in [
        (vec![Fact::Tail], "completions that nobody reaped"),
        (vec![Fact::ReqsAvailable, Fact::PercpuRefs], "requests in flight"),
        (vec![Fact::Brk], "brk"),
        (vec![Fact::Dumpable], "dumpable"),
    ] {
        let DumpVerdict::Idle { unproven, .. } = verdict(&without(&lost, &idle()), unverified) else {
            panic!("{lost:?}")
        };
        let [open] = unproven[..] else { panic!("{lost:?}: {unproven:?}") };
        assert!(open.starts_with(what), "{lost:?}: {open}");
    }
    assert!(!is_idle(&verdict(&without(&RING_LEN, &idle()), unverified)));
    let mut busy = idle();
    spoil(&mut busy, |fact| (fact.reqs_available, fact.percpu_refs) = (Some(379), Some(4)));
    assert!(!is_idle(&verdict(&without(&[Fact::Tail], &busy), unverified)), "3 are in flight");
}

/// Check that a number out of range is null, and refuses although the kernel has the member.
#[test]
fn out_of_range() {
    let mut it = idle();
    last(&mut it).before.as_mut().unwrap().contexts[0].tail = None;
    let DumpVerdict::Refused { reasons } = verdict(&it, DUMP) else { panic!() };
    assert_eq!(
        reasons[0].what,
        "completions that nobody reaped are not known: the number in the kernel is out of range"
    );
}
