//! One process, without touching it: what a seqlock reader would do.
//!
//! Census, headers, census again. If the scheduler shows that no thread of any process sharing the memory ran in between, and
//! nothing moved, then what was read is one consistent state, although nobody was stopped for it.

use std::thread::sleep;
use std::time::Duration;

use crate::census::probe::Probe;
use crate::census::traced_map::TracedMaps;
use crate::census::waiters;
use crate::freeze::error::FreezeError;
use crate::host::clock;
use crate::look::evidence_source::{Ask, SourceError};
use crate::look::preparation::{Subject, addresses, named, reader, sharers, with_word, word_of, word_on};
use crate::look::recheck::Recheck;
use crate::proc::files::ProcDir;
use crate::proc::memory::{HeaderPlan, MemoryError};
use aioinspect_model::evidence::{AddressSpace, KernelWord, Look, Manner, TaskFact};
use aioinspect_model::units::{ContextId, MmId, Tid};

/// How often a process that runs is looked at again before it is called busy.
const TRIES: u32 = 5;
/// Pause before the next look; a process that works in short bursts is met asleep.
const BETWEEN: Duration = Duration::from_millis(2);

/// `TASK_RUNNING` of include/linux/sched.h: running, or runnable.
const TASK_RUNNING: u32 = 0;
/// `TASK_STOPPED` and `TASK_TRACED` of include/linux/sched.h.
const STOPPED_OR_TRACED: u32 = 0x4 | 0x8;

/// Looks until one look is consistent, a few times at most; the last look is returned either way.
pub(super) fn without_touching(
    probe: &mut Probe,
    ask: &Ask,
    notes: &mut Vec<String>,
) -> Result<AddressSpace, SourceError> {
    let mut left = TRIES;
    loop {
        left = left.saturating_sub(1);
        let (space, quiet) = look(probe, ask, notes)?;
        if quiet || left == 0 {
            return Ok(space);
        }
        sleep(BETWEEN);
    }
}

fn look(probe: &mut Probe, ask: &Ask, notes: &mut Vec<String>) -> Result<(AddressSpace, bool), SourceError> {
    let dir = ProcDir::open(ask.pid)?;
    let (mm, first) = word_of(probe, &dir)?;
    // After `first`, so that its lock_seq vouches for the mappings.
    let subject = Subject::read(dir).map_err(|error| with_word(error, &first))?;
    let facts = subject.facts_for(ask)?;
    let sharers = sharers(probe, (mm, &first), &subject.mappings, notes)?;
    let mut recheck = Recheck::plan(&subject, first.word.mm.lock_seq)?;
    let mut headers = HeaderPlan::new(&addresses(&first), reader(&first, ask));

    let before = word_on(probe, mm)?;
    let read = headers.read();
    let headers_at = clock::now();
    recheck.run();
    let mut after = word_on(probe, mm)?;
    after.word.waits = waiters::waits_of(probe, mm)?;
    let traced = TracedMaps::find().word(mm, &after);

    match read {
        Ok(()) | Err(MemoryError::Gone(_)) => {}
        Err(error) => return Err(with_word(error.into(), &after)),
    }
    if after.processes.is_empty() {
        // Exited or exec'ed between the two: whoever asks again gets the plain answer.
        subject.dir.live_thread()?;
    }
    after.word.torn |= subject.facts_for(ask)? != facts;
    let mappings_checked = recheck.holds(before.word.mm.lock_seq) && recheck.holds(after.word.mm.lock_seq);
    let quiet =
        slept(&before.word, &after.word) && first.word.contexts == before.word.contexts && mappings_checked;
    let look = Look {
        manner: if is_held(&before.word) && is_held(&after.word) { Manner::Held } else { Manner::Running },
        mappings: subject.mappings.clone(),
        mappings_at: subject.mappings_at,
        mappings_checked,
        headers: headers.finish(),
        headers_at,
        sharers,
        before: Some(before.word.clone()),
        after: Some(after.word),
        pause_ns: 0,
    };
    let processes = if before.processes.is_empty() { vec![subject.process()?] } else { named(&before) };
    let image = subject.image(facts);
    Ok((
        AddressSpace { mm: MmId(0), processes, looks: vec![look], image, traced, not_looked_at: None },
        quiet,
    ))
}

/// Whether another look could not be better than this one. The verdict on it is the judge's.
///
/// Nobody there: everyone left the address space, by exec or exit, between two readings; the next look finds the new program or none.
fn slept(before: &KernelWord, after: &KernelWord) -> bool {
    let runs = |task: &TaskFact| task.on_cpu == Some(true) || task.state == Some(TASK_RUNNING);
    let torn = before.torn || after.torn;
    !before.tasks.is_empty() && before.tasks == after.tasks && !before.tasks.iter().any(runs) && !torn
}

/// Whether every thread is stopped or traced already, by somebody else.
fn is_held(word: &KernelWord) -> bool {
    !word.tasks.is_empty()
        && word.tasks.iter().all(|task| task.state.is_some_and(|state| state & STOPPED_OR_TRACED != 0))
}

/// The process's word alone: mappings and headers, of a process that may run.
pub(super) fn by_proc_alone(ask: &Ask) -> Result<AddressSpace, SourceError> {
    let subject = Subject::read(ProcDir::open(ask.pid)?)?;
    let facts = subject.facts_for(ask)?;
    let tid = subject.dir.live_thread().unwrap_or(Tid(ask.pid.0));
    let addresses: Vec<_> =
        subject.mappings.iter().filter(|ring| ring.offset == 0).map(|ring| ContextId(ring.start)).collect();
    let mut headers = HeaderPlan::new(&addresses, tid);
    headers.read()?;
    let look = Look {
        mappings: subject.mappings.clone(),
        mappings_at: subject.mappings_at,
        headers: headers.finish(),
        headers_at: clock::now(),
        ..Look::default()
    };
    let processes = vec![subject.process()?];
    if subject.facts_for(ask)? != facts {
        return Err(FreezeError::Exec(ask.pid).into());
    }
    let image = subject.image(facts);
    Ok(AddressSpace { mm: MmId(0), processes, looks: vec![look], image, traced: None, not_looked_at: None })
}
