//! The verdict: what passes, and the words for what does not.

use crate::evidence::{Look, Sharer};
use crate::header::RingHeader;
use crate::reconcile::reconcile;
use crate::specimen::{AT, evidence, forge, idle, kioctx, last, look, spoil};
use crate::verdict::*;

const STRICT: Policy = Policy { allow_unreaped: false, unverified: false, image: false };

fn judge(evidence: &Evidence, policy: Policy) -> DumpVerdict {
    judge_dump(evidence, &reconcile(evidence), Pid(100), &policy)
}

fn refused(evidence: &Evidence) -> String {
    let DumpVerdict::Refused { reasons } = judge(evidence, STRICT) else {
        panic!("{:?}", judge(evidence, STRICT))
    };
    assert!(!reasons.is_empty());
    reasons
        .iter()
        .map(|reason| format!("{} [{}]", reason.what, reason.remedy))
        .collect::<Vec<_>>()
        .join(" | ")
}

fn accepted(evidence: &Evidence, policy: Policy) -> bool {
    match judge(evidence, policy) {
        DumpVerdict::Idle { .. } => true,
        DumpVerdict::Refused { .. } | DumpVerdict::Busy { .. } | DumpVerdict::NoSuchProcess => false,
    }
}

/// Check what passes, and who is asked about.
#[test]
fn idle_passes() {
    let idle = idle();
    assert_eq!(judge(&idle, STRICT), DumpVerdict::Idle { contexts: vec![0], unproven: vec![] });
    assert_eq!(judge_dump(&idle, &reconcile(&idle), Pid(1), &STRICT), DumpVerdict::NoSuchProcess);
    let none = evidence(vec![look(Manner::Frozen, &[])]);
    assert_eq!(judge(&none, STRICT), DumpVerdict::Idle { contexts: vec![], unproven: vec![] });
}

/// Check the words for what is pending.
#[test]
fn pending_is_refused() {
    let mut it = idle();
    spoil(&mut it, |fact| (fact.reqs_available, fact.percpu_refs) = (Some(379), Some(4)));
    assert_eq!(refused(&it), "3 requests in flight [wait for them with --wait 5s]");
    let mut it = idle();
    spoil(&mut it, |fact| {
        (fact.reqs_available, fact.completed_events, fact.tail) = (Some(381), Some(1), Some(1));
    });
    forge(&mut it, |claim| claim.head = 0);
    assert_eq!(
        refused(&it),
        "1 completion not reaped [let the process reap them with --wait 5s, or keep them with --allow-unreaped]"
    );
    assert!(accepted(&it, Policy { allow_unreaped: true, ..STRICT }));
}

/// Check that each thing wrong with a ring refuses.
#[test]
fn wrong_is_refused() {
    type Wrong = fn(&mut Look);
    let wrongs: [(&str, Wrong); 9] = [
        ("unmapped", |look| look.mappings.clear()),
        ("no longer one mapping", |look| look.mappings[0].end -= 4096),
        ("no longer readable and writable", |look| look.mappings[0].perms.write = false),
        ("cannot be read", |look| look.headers[0].bytes = Err(14)),
        ("header was not read", |look| look.headers.clear()),
        ("mapping was not read", |look| {
            look.mappings.clear();
            look.mappings_at.0 = 0;
        }),
        ("2 by the references", |look| look.before.as_mut().unwrap().contexts[0].percpu_refs = Some(3)),
        ("unknown by the references", |look| {
            look.before.as_mut().unwrap().contexts[0].ref_state = Some(crate::kioctx::RefState::Atomic);
        }),
        ("io_destroy", |look| look.before.as_mut().unwrap().contexts[0].dead = Some(true)),
    ];
    for (says, wrong) in wrongs {
        let mut it = idle();
        wrong(last(&mut it));
        assert!(refused(&it).contains(says), "{says}: {}", refused(&it));
        assert!(
            !accepted(&it, Policy { allow_unreaped: true, unverified: true, ..Policy::default() }),
            "{says}"
        );
    }
    let forgeries: [fn(&mut RingHeader); 4] = [
        |claim| claim.head = 1,
        |claim| (claim.head, claim.tail) = (1, 1),
        |claim| claim.tail = 1,
        |claim| claim.nr = 127,
    ];
    for forgery in forgeries {
        let mut it = idle();
        forge(&mut it, forgery);
        assert!(!accepted(&it, Policy { allow_unreaped: true, unverified: true, ..Policy::default() }));
        assert!(refused(&it).contains("differs from what the kernel wrote"));
    }
}

/// Check that a ring someone else can write is named and passes, and a ghost is no context.
#[test]
fn warnings_and_ghosts() {
    let mut it = idle();
    let sharer =
        Sharer { pid: Pid(7), comm: b"kid".to_vec(), inode: 77, address: crate::units::ContextId(1) };
    last(&mut it).sharers.push(sharer);
    let ghost = crate::specimen::ring(AT + 0x10000, 99);
    last(&mut it).mappings.push(ghost);
    assert_eq!(judge(&it, STRICT), DumpVerdict::Idle { contexts: vec![0], unproven: vec![] });
    let picture = reconcile(&it);
    let space = space_of(&picture, Pid(100)).unwrap();
    let warnings: Vec<_> = warnings_of(&picture, space).collect();
    assert_eq!(warnings, [(0, Finding::SharedRing, "pid 7 (kid) maps it at 0x1")]);
    assert_eq!(ghosts_of(&picture, space).count(), 1);
}

/// Check that what ran is busy, and one look at what may run proves nothing; `--unverified` changes neither.
#[test]
fn not_proven() {
    let mut it = idle();
    last(&mut it).manner = Manner::Running;
    assert_eq!(refused(&it), "one look at a running process proves nothing [freeze it with --freeze ptrace]");
    assert!(!accepted(&it, Policy { unverified: true, ..STRICT }));
    let look = last(&mut it);
    look.after = Some(crate::specimen::word(vec![kioctx(AT, 0)], 1040));
    assert!(accepted(&it, STRICT));
    last(&mut it).after.as_mut().unwrap().tasks[0].switches = Some(10);
    assert_eq!(judge(&it, STRICT), DumpVerdict::Busy { seen: vec![] });
    assert_eq!(judge(&it, Policy { unverified: true, ..STRICT }), DumpVerdict::Busy { seen: vec![] });
}

/// Check that without the kernel the user must accept what is open, and is told what.
#[test]
fn without_kernel() {
    let mut it = idle();
    it.source = CensusSource::Proc;
    last(&mut it).before = None;
    assert!(refused(&it).starts_with("the kernel was not asked"));
    let DumpVerdict::Idle { contexts, unproven } = judge(&it, Policy { unverified: true, ..STRICT }) else {
        panic!()
    };
    assert_eq!((contexts, unproven.len()), (vec![0], 4));
    forge(&mut it, |claim| claim.tail = 1);
    assert!(!accepted(&it, Policy { unverified: true, ..STRICT }));
}
