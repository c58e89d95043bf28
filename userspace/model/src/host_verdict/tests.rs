//! Tests of `host_verdict.rs`.

use super::*;
use crate::evidence::CensusSource;
use crate::picture::{ContextView, Owner};
use crate::reconcile::reconcile;
use crate::specimen;
use crate::units::Instant;

fn context(pid: u32, max_reqs: u32, unit: &str, findings: Vec<Finding>) -> ContextView {
    let one = reconcile(&specimen::idle()).contexts.remove(0);
    let owner = Owner { unit: unit.into(), ..Owner::default() };
    ContextView { pid: Pid(pid), max_reqs: Some(max_reqs), owner: owner.into(), findings, ..one }
}

/// A host with these contexts and this limit, in which nothing else reserves.
fn host(limit: u64, contexts: Vec<ContextView>) -> Picture {
    let mut picture = reconcile(&specimen::idle());
    let living = contexts.iter().filter(|context| !context.is_dying());
    let sum: u64 = living.filter_map(|context| context.max_reqs).map(u64::from).sum();
    (picture.system.aio_nr, picture.system.aio_max_nr) = (sum, limit);
    (picture.system.attributed, picture.system.unattributed) = (Some(sum), Some(0));
    picture.contexts = contexts;
    picture
}

fn ids(of: &HostVerdict<'_>) -> Vec<(Urgency, &'static str)> {
    of.actions.iter().map(|(urgency, action)| (*urgency, action.id())).collect()
}

/// Check that a host with room has nothing to do, and that a large owner on it is only worth a look.
#[test]
fn room() {
    let picture = host(65_536, vec![context(1, 100, "a.service", vec![])]);
    let of = judge(&picture, None);
    assert_eq!((of.state, of.large(), ids(&of)), (HostState::Fine, &[][..], vec![]));
    let picture = host(400, vec![context(1, 100, "a.service", vec![])]);
    let of = judge(&picture, None);
    assert_eq!(
        (of.state, of.large().len(), ids(&of)),
        (HostState::Fine, 1, vec![(Urgency::Look, "ask-holder")])
    );
}

/// Check that the limit comes first where it is reached, or nearly, and that many small owners are asked from the largest on.
#[test]
fn full() {
    let many = |limit| {
        host(limit, (1..=10).map(|nth| context(nth, 100, &format!("{nth}.service"), vec![])).collect())
    };
    let picture = many(1000);
    let of = judge(&picture, None);
    assert_eq!(of.state, HostState::Full);
    assert_eq!(ids(&of), [(Urgency::Now, "raise-limit"), (Urgency::Now, "ask-holder")]);
    assert_eq!(of.actions[0].1, Action::RaiseLimit { to: 65_536 });
    let picture = many(1250);
    let of = judge(&picture, None);
    assert_eq!(of.state, HostState::NearlyFull);
    assert_eq!(ids(&of), [(Urgency::Soon, "raise-limit"), (Urgency::Soon, "ask-holder")]);
    assert_eq!(judge(&many(1251), None).state, HostState::Fine);
    assert_eq!(judge(&host(0, vec![]), None).state, HostState::Full);
}

/// Check that dying contexts are counted with those that cannot be named, the oldest first, and are urgent only once they are old.
#[test]
fn waits() {
    let dying = |pid, age, finding| ContextView {
        dying_ns: age,
        stands_for: Some(2),
        ..context(pid, 64, "a.service", vec![Finding::Dying, finding])
    };
    let second = 1_000_000_000;
    let picture = host(
        65_536,
        vec![dying(1, Some(second), Finding::Exiting), dying(2, Some(130 * second), Finding::Unreaped)],
    );
    let of = judge(&picture, None);
    let told = of.dying.as_ref().unwrap();
    assert_eq!((told.contexts.exactly(), told.exiting.exactly()), (Some(4), Some(2)));
    assert_eq!(told.oldest_ns, Some(130 * second));
    assert_eq!(told.processes.iter().map(|(pid, _)| pid.0).collect::<Vec<_>>(), [2, 1]);
    assert_eq!((of.state, ids(&of)), (HostState::Attention, vec![(Urgency::Soon, "end-waits")]));
    assert_eq!(of.room.system.aio_nr, 0);
    // Of one wait not even the number of contexts is known.
    let mut picture =
        host(65_536, vec![dying(1, None, Finding::Exiting), dying(2, Some(second), Finding::Unreaped)]);
    picture.contexts[0].stands_for = None;
    let told = judge(&picture, None).dying.unwrap();
    assert_eq!((told.contexts.at_least, told.contexts.exactly()), (3, None));
    assert_eq!((told.exiting.at_least, told.exiting.exactly()), (1, None));
    picture.contexts[1].stands_for = None;
    picture.contexts.remove(0);
    let told = judge(&picture, None).dying.unwrap();
    assert_eq!((told.contexts.exactly(), told.exiting.exactly()), (None, Some(0)));
    let picture = host(65_536, vec![dying(1, Some(second), Finding::Exiting)]);
    let of = judge(&picture, None);
    assert_eq!((of.state, ids(&of)), (HostState::Fine, vec![(Urgency::Look, "end-waits")]));
}

/// Check that what is wrong is summed by finding, the worst first, and that what costs slots is more urgent than what is odd.
#[test]
fn wrongs() {
    let picture = host(
        65_536,
        vec![
            context(1, 100, "a.service", vec![Finding::UnmappedRing, Finding::InFlight]),
            context(1, 20, "a.service", vec![Finding::UnmappedRing]),
            context(2, 1, "b.service", vec![Finding::ForgedHeader]),
        ],
    );
    let of = judge(&picture, None);
    let said: Vec<_> = of
        .wrong()
        .unwrap()
        .iter()
        .map(|wrong| (wrong.finding, wrong.contexts, wrong.slots, wrong.processes.len()))
        .collect();
    assert_eq!(said, [(Finding::UnmappedRing, 2, Some(120), 1), (Finding::ForgedHeader, 1, Some(1), 1)]);
    assert_eq!(
        (of.state, ids(&of)),
        (HostState::Attention, vec![(Urgency::Soon, "mend"), (Urgency::Look, "mend")])
    );
}

/// Check that slots of nobody who is seen are told from a tenth of all on, and that without BPF nobody is blamed.
#[test]
fn unseen() {
    let mut picture = host(65_536, vec![context(1, 91, "a.service", vec![])]);
    (picture.system.aio_nr, picture.system.unattributed) = (100, Some(9));
    assert_eq!(ids(&judge(&picture, None)), []);
    picture.system.unattributed = Some(10);
    assert_eq!(ids(&judge(&picture, None)), [(Urgency::Look, "see-all")]);
    picture.system.unattributed = Some(-3);
    assert_eq!(ids(&judge(&picture, None)), []);
    (picture.system.attributed, picture.system.unattributed, picture.system.source) =
        (None, None, CensusSource::Proc);
    let of = judge(&picture, None);
    assert_eq!(
        (of.state, of.dying.as_ref(), ids(&of)),
        (HostState::Unknown, None, vec![(Urgency::Look, "use-bpf")])
    );
    assert_eq!(of.wrong(), None);
    picture.contexts[0].findings = vec![Finding::ForgedHeader];
    let of = judge(&picture, None);
    assert_eq!((of.state, of.wrong().map(<[Wrong]>::len)), (HostState::Unknown, Some(1)));
    picture.contexts[0].findings.clear();
    picture.system.aio_max_nr = 100;
    let of = judge(&picture, None);
    assert_eq!(of.state, HostState::Full);
    assert_eq!(ids(&of), [(Urgency::Now, "raise-limit"), (Urgency::Soon, "use-bpf")]);
    assert_eq!(of.large(), []);
}

fn unit(name: &str, contexts: usize, slots: u64) -> Holder {
    let owner = Owner { unit: name.into(), ..Owner::default() };
    Holder { owner, processes: 1, contexts, slots, ..Holder::default() }
}

/// Check that who has more is named, the steady ones first, and that only these are a reason to do something.
#[test]
fn growth() {
    let first = [unit("a.service", 1, 10), unit("b.service", 1, 10), unit("c.service", 5, 50)];
    let last = [
        unit("new.service", 7, 70),
        unit("a.service", 3, 30),
        unit("b.service", 9, 90),
        unit("c.service", 4, 40),
    ];
    let at = |second: u64, owners| OwnersAt {
        at: Sample { at: Instant(second * 1_000_000_000), ..Sample::default() },
        owners,
    };
    let steady =
        vec![Growing { owner: last[1].clone(), limit_in_ns: Some(NEAR_NS - 1), ..Growing::default() }];
    let compared = compare(at(3, &first), at(13, &last), steady, 60);
    let said: Vec<_> = compared
        .grew
        .iter()
        .map(|grew| (&*grew.growing.owner.owner.unit, grew.steadily, grew.growing.rate.more))
        .collect();
    assert_eq!(said, [("a.service", true, 0), ("b.service", false, 80), ("new.service", false, 70)]);
    assert_eq!((compared.for_ns, compared.looks, compared.tells_steadiness()), (10_000_000_000, 60, true));
    assert!(!Compared { looks: 9, ..compared.clone() }.tells_steadiness());
    let picture = host(65_536, vec![context(1, 100, "a.service", vec![])]);
    let of = judge(&picture, Some(compared));
    assert_eq!(of.state, HostState::Attention);
    assert_eq!(ids(&of), [(Urgency::Soon, "raise-limit"), (Urgency::Soon, "stop-growth")]);
    assert_eq!(of.actions[0].1, Action::RaiseLimit { to: 131_072 }, "more than the limit is now");
    assert_eq!(judge(&picture, Some(compare(at(1, &first), at(1, &first), vec![], 1))).actions, []);
}
