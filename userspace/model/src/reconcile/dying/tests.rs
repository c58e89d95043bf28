//! Threads that wait for contexts: what is said of each kind, with every number known and unknown.

use crate::evidence::{Evidence, KernelWord, Look};
use crate::kioctx::RefState;
use crate::picture::Picture;
use crate::reconcile::dying::*;
use crate::reconcile::reconcile;
use crate::specimen::{AT, evidence, idle, kioctx, last};
use crate::units::{Pid, Tid};
use crate::verdict::{DumpVerdict, Policy, judge_dump};

/// A context that is waited for, killed and switched: `count` references are left, one for each request.
fn killed(address: u64, count: i64) -> Kioctx {
    Kioctx {
        dead: Some(true),
        ref_state: Some(RefState::Dead),
        percpu_refs: Some(0),
        atomic_refs: Some(count),
        ..kioctx(address, 0)
    }
}

/// Thread 101 of process 100 waits, for 1.5 s now.
fn wait(doing: Doing, left: Option<u32>, contexts: Vec<Kioctx>) -> Wait {
    let id = (doing == Doing::Destroy).then_some(ContextId(AT));
    Wait { tid: Tid(101), pid: Pid(100), doing, id, asleep_ns: Some(1_500_000_000), left, contexts }
}

/// The idle process with one context, of which a thread waits as well.
fn beside_an_idle_one(wait: Wait) -> Evidence {
    let mut evidence = idle();
    last(&mut evidence).before.as_mut().unwrap().waits.push(wait);
    sized(evidence)
}

/// A page of 4 kB: what is dying has no mapping to take a size from.
fn sized(mut evidence: Evidence) -> Evidence {
    evidence.system.page_size = 4096;
    evidence
}

/// A process that has nothing any more but this wait, as `kernel/census/waiters.rs:ending` reports it.
fn alone(wait: Wait) -> Evidence {
    let word = KernelWord { waits: vec![wait], ..KernelWord::default() };
    sized(evidence(vec![Look { before: Some(word), ..Look::default() }]))
}

fn dying(picture: &Picture) -> Vec<&ContextView> {
    picture.contexts.iter().filter(|context| context.is_dying()).collect()
}

fn details(view: &ContextView) -> Vec<(Finding, &str)> {
    view.details.iter().map(|(finding, detail)| (*finding, detail.as_str())).collect()
}

fn refusal(evidence: &Evidence) -> Vec<(Option<Finding>, String)> {
    let verdict = judge_dump(evidence, &reconcile(evidence), Pid(100), &Policy::default());
    let DumpVerdict::Refused { reasons } = verdict else { panic!("{verdict:?}") };
    reasons.into_iter().map(|reason| (reason.finding, reason.what)).collect()
}

/// Check all numbers of one that io_destroy waits for, that it is no part of aio-nr, and that the process is refused for it alone.
#[test]
fn destroy() {
    let evidence = beside_an_idle_one(wait(Doing::Destroy, Some(1), vec![killed(AT + 0x10_0000, 2)]));
    let picture = reconcile(&evidence);
    let [view] = dying(&picture)[..] else { panic!("{:?}", picture.contexts) };
    let numbers = (view.context.0, view.max_reqs, view.nr_events, view.in_flight, view.ring_len);
    assert_eq!(numbers, (AT + 0x10_0000, Some(128), Some(383), Some(2), Some(12288)));
    // Its ring is unmapped, and nobody reaps it any more.
    assert_eq!((view.unreaped, view.head, view.mapped), (None, None, None));
    assert_eq!((view.dying_ns, view.findings.as_slice()), (Some(1_500_000_000), &[Finding::Dying][..]));
    let says = "2 requests are left; thread 101 waits in io_destroy for 1.5 s";
    assert_eq!(details(view), [(Finding::Dying, says)]);
    assert_eq!((picture.system.attributed, picture.contexts.len()), (Some(128), 2));
    let what = format!("{}: {says}", Finding::Dying.says());
    assert_eq!(refusal(&evidence), [(Some(Finding::Dying), what)]);
}

/// Check that every kind of wait says who waits where, and which of them are exits.
#[test]
fn kinds() {
    let said = |doing| {
        let evidence = alone(wait(doing, Some(1), vec![killed(AT, 3)]));
        let picture = reconcile(&evidence);
        let [view] = dying(&picture)[..] else { panic!("{:?}", picture.contexts) };
        let [(told, detail)] = details(view)[..] else { panic!("{:?}", view.details) };
        assert!(view.findings.contains(&told), "{:?}", view.findings);
        // One reason, whatever the findings: the end of the process says it all.
        assert_eq!(refusal(&evidence), [(Some(told), format!("{}: {detail}", told.says()))]);
        (view.findings.clone(), detail.to_owned())
    };
    let both = vec![Finding::Dying, Finding::Exiting];
    let left = "3 requests are left; ";
    assert_eq!(
        said(Doing::Destroy),
        (vec![Finding::Dying], format!("{left}thread 101 waits in io_destroy for 1.5 s"))
    );
    assert_eq!(said(Doing::Exit), (both.clone(), format!("{left}process 100 waits in exit for 1.5 s")));
    assert_eq!(said(Doing::Exec), (both, format!("{left}process 100 waits in exec for 1.5 s")));
    let last =
        "thread 101 of process 100, the last to use the memory of a process that is gone, waits for 1.5 s";
    assert_eq!(said(Doing::LastUse), (vec![Finding::Dying], format!("{left}{last}")));
}

/// Check the words of each number of requests, and that a number the ring has no room for is none.
#[test]
fn counts() {
    let said = |fact: Kioctx| {
        let picture = reconcile(&alone(wait(Doing::Exit, Some(1), vec![fact])));
        let view = &picture.contexts[0];
        (view.in_flight, view.details[0].1.split(';').next().unwrap().to_owned())
    };
    let of = |count: Option<u32>, says: &str| (count, says.to_owned());
    assert_eq!(said(killed(AT, 0)), of(Some(0), "no request is left, it is about to be gone"));
    assert_eq!(said(killed(AT, 1)), of(Some(1), "1 request is left"));
    assert_eq!(said(killed(AT, 382)), of(Some(382), "382 requests are left"));
    let unknown = of(None, "how many requests are left is not known");
    assert_eq!(said(killed(AT, 383)), unknown);
    let untold = Kioctx { atomic_refs: None, percpu_available: None, ..killed(AT, 2) };
    assert_eq!(said(untold), unknown);
    // Before its references are switched the count is far off, and the credits tell.
    let early =
        Kioctx { ref_state: Some(RefState::PerCpu), reqs_available: Some(379), ..killed(AT, i64::MIN + 1) };
    assert_eq!(said(early), of(Some(3), "3 requests are left"));
}

/// Check that contexts which cannot be named are counted in one line, and that none is made up where all are named.
#[test]
fn the_rest() {
    let lines = |left: Option<u32>, found: Vec<Kioctx>| {
        let picture = reconcile(&alone(wait(Doing::Exit, left, found)));
        let line = |view: &ContextView| {
            (view.context.0, view.max_reqs, view.details[0].1.split(';').next().unwrap().to_owned())
        };
        picture.contexts.iter().map(line).collect::<Vec<_>>()
    };
    let named = |at: u64| (at, Some(128), "4 requests are left".to_owned());
    let rest = |says: &str| (ContextId::UNKNOWN.0, None, says.to_owned());
    assert_eq!(lines(Some(1), vec![killed(AT, 4)]), [named(AT)]);
    assert_eq!(lines(Some(2), vec![killed(AT, 4), killed(AT + 0x4000, 4)]), [named(AT), named(AT + 0x4000)]);
    assert_eq!(
        lines(Some(2), vec![killed(AT, 4)]),
        [rest("1 context that cannot be named has requests left"), named(AT)]
    );
    assert_eq!(
        lines(Some(3), vec![killed(AT, 4)]),
        [rest("2 contexts that cannot be named have requests left"), named(AT)]
    );
    // Some completed between the two readings: fewer are left than were found.
    assert_eq!(lines(Some(1), vec![killed(AT, 4), killed(AT + 0x4000, 4)]).len(), 2);
    let nothing = rest("which contexts, and how many requests, is not known");
    assert_eq!(lines(None, vec![]), [nothing]);
    assert_eq!(lines(None, vec![killed(AT, 4)]), [named(AT)]);
    assert_eq!(lines(Some(3), vec![]), [rest("3 contexts that cannot be named have requests left")]);
}

/// Check that io_destroy of a context that was not found is shown by what it was called with, and nothing is made up.
#[test]
fn only_the_call_is_known() {
    let evidence = alone(wait(Doing::Destroy, None, vec![]));
    let picture = reconcile(&evidence);
    let [view] = dying(&picture)[..] else { panic!("{:?}", picture.contexts) };
    assert_eq!((view.context.0, view.max_reqs, view.in_flight), (AT, None, None));
    let says =
        "which contexts, and how many requests, is not known; thread 101 waits in io_destroy for 1.5 s";
    assert_eq!(details(view), [(Finding::Dying, says)]);
    assert_eq!(refusal(&evidence).len(), 1);
}

/// Check how an age is written, and that an unknown one is not.
#[test]
fn ages() {
    let of = |asleep_ns: Option<u64>| {
        let wait = Wait { asleep_ns, ..wait(Doing::Exit, Some(1), vec![killed(AT, 1)]) };
        let picture = reconcile(&alone(wait));
        let view = &picture.contexts[0];
        assert_eq!(view.dying_ns, asleep_ns);
        view.details[0].1.rsplit("exit").next().unwrap().to_owned()
    };
    assert_eq!(of(None), "");
    assert_eq!(of(Some(0)), " for 0.0 s");
    assert_eq!(of(Some(30_000_000)), " for 0.0 s");
    assert_eq!(of(Some(59_999_999_999)), " for 59.9 s");
    assert_eq!(of(Some(60_000_000_000)), " for 1 min 0 s");
    assert_eq!(of(Some(125_900_000_000)), " for 2 min 5 s");
    assert_eq!(of(Some(7_505_000_000_000)), " for 2 h 5 min");
    assert_eq!(of(Some(u64::MAX)), " for 5124095 h 34 min");
}

/// Check that a context which waits is never part of the sum, and never idle, however few requests are left.
#[test]
fn never_idle() {
    for doing in [Doing::Destroy, Doing::Exit, Doing::Exec, Doing::LastUse] {
        for contexts in [vec![], vec![killed(AT, 0)], vec![killed(AT, 1)]] {
            let evidence = alone(wait(doing, None, contexts));
            assert_eq!(reconcile(&evidence).system.attributed, Some(0));
            assert_eq!(refusal(&evidence).len(), 1);
        }
    }
}
