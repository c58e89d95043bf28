//! The proof: what is one consistent state, and everything that is not.

use crate::evidence::{Evidence, KernelWord, Look, Manner};
use crate::finding::Finding;
use crate::reconcile::*;
use crate::specimen::{AT, evidence, idle, kioctx, last, look};
use crate::units::Tid;

fn proof(evidence: &Evidence) -> Proof {
    reconcile(evidence).spaces[0].proof
}

/// A process that slept while we looked twice.
fn asleep(manner: Manner) -> Evidence {
    let mut look = look(manner, &[kioctx(AT, 0)]);
    look.after = look.before.clone();
    look.after.as_mut().unwrap().begun_at.0 = 1100;
    look.after.as_mut().unwrap().ended_at.0 = 1110;
    evidence(vec![look])
}

/// Check that two equal words around the claims prove it, without touching the target.
#[test]
fn slept_throughout() {
    assert_eq!(proof(&asleep(Manner::Running)), Proof::Consistent);
    assert_eq!(proof(&asleep(Manner::Held)), Proof::Consistent);
    assert_eq!(proof(&asleep(Manner::Frozen)), Proof::Consistent);
}

/// Check that anything that moved is seen, each alone.
#[test]
fn whatever_moves_is_busy() {
    type Change = fn(&mut KernelWord);
    let changes: [(&str, Change); 13] = [
        ("switches", |word| word.tasks[0].switches = Some(10)),
        ("runtime", |word| word.tasks[0].runtime_ns = Some(5001)),
        ("on a CPU", |word| word.tasks[0].on_cpu = Some(true)),
        ("waits for a CPU", |word| word.tasks[0].state = Some(0)),
        ("another thread under the id", |word| word.tasks[0].start_boottime_ns = Some(1)),
        ("a thread more", |word| {
            let mut task = word.tasks[0].clone();
            task.tid = Tid(101);
            word.tasks.push(task);
        }),
        ("a thread less", |word| word.tasks.clear()),
        ("a completion", |word| word.contexts[0].tail = Some(1)),
        ("a credit", |word| word.contexts[0].percpu_available = Some(1)),
        ("a context less", |word| word.contexts.clear()),
        ("mm_lock_seq", |word| word.mm.lock_seq = Some(1)),
        ("map_count", |word| word.mm.map_count = Some(1)),
        ("torn", |word| word.torn = true),
    ];
    for (what, change) in changes {
        for after in [false, true] {
            let mut it = asleep(Manner::Running);
            let look = last(&mut it);
            change(if after { look.after.as_mut().unwrap() } else { look.before.as_mut().unwrap() });
            assert_eq!(proof(&it), Proof::Busy, "{what}");
        }
    }
}

/// Check that a thread on a CPU both times, or in another order, is judged by itself.
#[test]
fn order_of_threads_is_free() {
    let mut it = asleep(Manner::Running);
    let look = last(&mut it);
    for (word, ids) in [(&mut look.before, [1, 2]), (&mut look.after, [2, 1])] {
        let word = word.as_mut().unwrap();
        let task = word.tasks[0].clone();
        word.tasks = ids.map(|id| crate::evidence::TaskFact { tid: Tid(id), ..task.clone() }).to_vec();
    }
    assert_eq!(proof(&it), Proof::Consistent);
}

/// Check that claims read outside the two words prove nothing.
#[test]
fn claims_outside_the_words() {
    let outside: [fn(&mut Look); 2] = [|look| look.headers_at.0 = 1005, |look| look.headers_at.0 = 1101];
    for change in outside {
        let mut it = asleep(Manner::Running);
        change(last(&mut it));
        assert_eq!(proof(&it), Proof::Busy);
    }
    let mut it = asleep(Manner::Running);
    last(&mut it).mappings_at.0 = 900;
    assert_eq!(proof(&it), Proof::Busy);
    last(&mut it).manner = Manner::Frozen;
    assert_eq!(proof(&it), Proof::Busy, "mappings of before the freeze, and nobody looked again");
    last(&mut it).mappings_checked = true;
    assert_eq!(proof(&it), Proof::Consistent);
}

/// Check the words that are missing.
#[test]
fn one_word_or_none() {
    assert_eq!(proof(&idle()), Proof::Consistent);
    let mut running = idle();
    last(&mut running).manner = Manner::Running;
    assert_eq!(proof(&running), Proof::Unproven);
    assert_eq!(reconcile(&running).contexts[0].findings, [], "list is content with one word");
    last(&mut running).before = None;
    assert_eq!(proof(&running), Proof::Unproven);
    let mut silent = idle();
    last(&mut silent).before = None;
    assert_eq!(proof(&silent), Proof::Unproven);
    let mut nobody = asleep(Manner::Running);
    last(&mut nobody).before.as_mut().unwrap().tasks.clear();
    last(&mut nobody).after.as_mut().unwrap().tasks.clear();
    assert_eq!(proof(&nobody), Proof::Unproven, "no thread was seen to sleep");
    let mut unseen = idle();
    unseen.spaces[0].looks.clear();
    assert_eq!(proof(&unseen), Proof::Unproven);
}

/// Check that completions between two words of a frozen task are told, and only of the context that has them.
#[test]
fn completions_while_frozen() {
    let mut it = evidence(vec![look(Manner::Frozen, &[kioctx(AT, 0), kioctx(AT + 0x10000, 1)])]);
    let look = last(&mut it);
    look.after = look.before.clone();
    look.before.as_mut().unwrap().contexts[1].reqs_available = Some(381);
    let picture = reconcile(&it);
    assert_eq!(picture.spaces[0].proof, Proof::Busy);
    assert_eq!(picture.contexts[0].findings, []);
    assert_eq!(picture.contexts[1].findings, [Finding::Unsettled]);
}
