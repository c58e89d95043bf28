//! What `check` and `dump` would say, against the truth of a fixture.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use aioinspect_kernel::freeze::error::FreezeError;
use aioinspect_kernel::look::evidence_source::{Ask, Hold, Source, SourceError};
use aioinspect_kernel::look::live::Live;
use aioinspect_model::finding::Finding;
use aioinspect_model::reconcile::reconcile;
use aioinspect_model::units::Pid;
use aioinspect_model::verdict::{DumpVerdict, Policy, judge_dump};
use aioinspect_tests::truth::DyingTruth;

use crate::expected;
use crate::round::{Driven, Tally};

/// A thread of a fixture at rest that has not fallen asleep after this long is not at rest.
const ASLEEP_WITHIN: Duration = Duration::from_secs(20);
/// More than a freeze takes.
const FROZEN_WITHIN: Duration = Duration::from_secs(10);
/// For how long a thread that cannot be stopped is waited for.
const IN_VAIN: Duration = Duration::from_millis(100);

/// Checks them of a fixture or a child of it, untouched and frozen.
pub fn verdicts(live: &mut Live, driven: &Driven, pid: u32, tally: &mut Tally) {
    one(live, driven, pid, Hold::NoTouch, tally);
    let in_destroy = |one: &&DyingTruth| one.pid == pid && one.how == "destroy";
    let waiting: Vec<u32> = driven.truth.dying.iter().filter(in_destroy).map(|one| one.tid).collect();
    if waiting.is_empty() {
        one(live, driven, pid, Hold::Ptrace(FROZEN_WITHIN), tally);
    } else {
        never_frozen(live, driven, pid, &waiting);
    }
}

fn one(live: &mut Live, driven: &Driven, pid: u32, hold: Hold, tally: &mut Tally) {
    let wanted = expected::reasons(&driven.truth, pid);
    let ask = ask(pid, hold);
    let begun = Instant::now();
    let (picture, verdict) = loop {
        let evidence =
            live.process(&ask).unwrap_or_else(|error| panic!("{error}: {hold:?}, {}", driven.story()));
        let picture = reconcile(&evidence);
        let verdict = judge_dump(&evidence, &picture, ask.pid, &Policy::default());
        if !matches!(verdict, DumpVerdict::Busy { .. }) || begun.elapsed() > ASLEEP_WITHIN {
            break (picture, verdict);
        }
        // It has answered, and is on its way to sleep.
        tally.busy += 1;
    };
    let found: BTreeSet<(u64, Finding)> = match &verdict {
        DumpVerdict::Idle { contexts, .. } => {
            assert_eq!(contexts.len(), driven.truth.contexts.len(), "{}", driven.story());
            BTreeSet::new()
        }
        DumpVerdict::Refused { reasons } => reasons
            .iter()
            .filter_map(|one| Some((picture.contexts.get(one.context?)?.context.0, one.finding?)))
            .collect(),
        DumpVerdict::Busy { .. } | DumpVerdict::NoSuchProcess => {
            panic!("{verdict:?}: {}", driven.story())
        }
    };
    assert_eq!(found, wanted, "{hold:?}: {verdict:?}: {}", driven.story());
    let counter = if wanted.is_empty() { &mut tally.idle } else { &mut tally.not_idle };
    *counter += 1;
}

/// A thread in io_destroy cannot be stopped, and that is said of it.
fn never_frozen(live: &mut Live, driven: &Driven, pid: u32, waiting: &[u32]) {
    match live.process(&ask(pid, Hold::Ptrace(IN_VAIN))) {
        Err(SourceError::Freeze(FreezeError::TimedOut { pid: of, tid, state: 'D', .. }))
            if of.0 == pid && waiting.contains(&tid.0) => {}
        other => panic!("{other:?}, not that one of {waiting:?} does not stop: {}", driven.story()),
    }
}

fn ask(pid: u32, hold: Hold) -> Ask {
    Ask { pid: Pid(pid), hold, image: false, without_kernel: false }
}
