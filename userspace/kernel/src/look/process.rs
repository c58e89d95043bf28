//! Processes, without touching them: what a seqlock reader would do.
//!
//! Census, headers, census again. If the scheduler shows that no thread of any process sharing the memory ran in between, and
//! nothing moved, then what was read is one consistent state, although nobody was stopped for it.

use std::thread::sleep;
use std::time::Duration;

use crate::census::probe::Probe;
use crate::census::records::SpaceWord;
use crate::census::traced_map::TracedMaps;
use crate::census::waiters;
use crate::freeze::error::FreezeError;
use crate::host::clock;
use crate::look::drain::drain;
use crate::look::evidence_source::{Ask, Fate, SourceError};
use crate::look::planned::{Planned, Whom};
use crate::look::preparation::{Subject, pids_of, with_word, word_on};
use crate::proc::files::ProcDir;
use crate::proc::memory::{HeaderPlan, MemoryError};
use aioinspect_model::evidence::{AddressSpace, KernelWord, Look, Manner, TaskFact};
use aioinspect_model::units::{ContextId, Instant, MmId, Tid};

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
    whom: Whom<'_>,
    drain_held: Option<Duration>,
    notes: &mut Vec<String>,
) -> Result<Vec<AddressSpace>, SourceError> {
    if let Some(time) = drain_held {
        let planned = Planned::all(probe, whom, false, notes)?;
        drain(probe, &planned.iter().map(|one| one.mm).collect::<Vec<_>>(), time)?;
    }
    let mut left = TRIES;
    loop {
        left = left.saturating_sub(1);
        let (spaces, quiet) = look(probe, whom, notes)?;
        if quiet || left == 0 {
            return Ok(spaces);
        }
        sleep(BETWEEN);
    }
}

fn look(
    probe: &mut Probe,
    whom: Whom<'_>,
    notes: &mut Vec<String>,
) -> Result<(Vec<AddressSpace>, bool), SourceError> {
    let mut planned = Planned::all(probe, whom, false, notes)?;
    let (first, after) = read(probe, &mut planned)?;
    let mut spaces = Vec::with_capacity(planned.len());
    let mut quiet = true;
    for (one, reading) in planned.into_iter().zip(first.into_iter().zip(after)) {
        let (space, slept) = put_together(probe, whom, spaces.len(), one, reading)?;
        quiet &= slept;
        spaces.push(space);
    }
    Ok((spaces, quiet))
}

/// The kernel's word before the headers were read, how that went, and when.
type Before = (SpaceWord, Result<(), MemoryError>, Instant);

/// Every census, then every header, then every census: there is an instant at which all that was read of all of them was so.
fn read(probe: &mut Probe, planned: &mut [Planned]) -> Result<(Vec<Before>, Vec<SpaceWord>), SourceError> {
    let words = planned.iter().map(|one| word_on(probe, one.mm)).collect::<Result<Vec<_>, _>>()?;
    let read = planned.iter_mut().map(|one| (one.headers.read(), clock::now())).collect::<Vec<_>>();
    for one in planned.iter_mut() {
        one.recheck.run();
    }
    let after = planned.iter().map(|one| word_on(probe, one.mm)).collect::<Result<Vec<_>, _>>()?;
    let before = words.into_iter().zip(read).map(|(word, (read, at))| (word, read, at)).collect();
    Ok((before, after))
}

fn put_together(
    probe: &mut Probe,
    whom: Whom<'_>,
    ordinal: usize,
    planned: Planned,
    ((before, read, headers_at), mut after): (Before, SpaceWord),
) -> Result<(AddressSpace, bool), SourceError> {
    after.word.waits = waiters::waits_of(probe, planned.mm)?;
    let traced = TracedMaps::find().word(planned.mm, &after);
    match read {
        Ok(()) | Err(MemoryError::Gone(_)) => {}
        Err(error) => return Err(with_word(error.into(), &after)),
    }
    if after.processes.is_empty() && !whom.is_group {
        // Exited or exec'ed between the two: whoever asks again gets the plain answer.
        planned.subject.dir.live_thread()?;
    }
    // Who left this address space by an exec is in another one, which nobody has looked at.
    after.word.torn |= pids_of(&planned.first) != pids_of(&before);
    after.word.torn |= match planned.is_same_program() {
        Ok(same) => !same,
        Err(error) if whom.is_group && error.fate() == Fate::Gone => true,
        Err(error) => return Err(error),
    };
    let recheck = &planned.recheck;
    let mappings_checked = recheck.holds(before.word.mm.lock_seq) && recheck.holds(after.word.mm.lock_seq);
    let quiet = slept(&before.word, &after.word)
        && planned.first.word.contexts == before.word.contexts
        && mappings_checked;
    let processes = planned.processes(if before.processes.is_empty() { &planned.first } else { &before })?;
    let look = Look {
        manner: if is_held(&before.word) && is_held(&after.word) { Manner::Held } else { Manner::Running },
        mappings_checked,
        headers_at,
        before: Some(before.word),
        after: Some(after.word),
        ..Look::default()
    };
    Ok((planned.space(ordinal, processes, look, traced), quiet))
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
    let facts = subject.facts_if(ask.image)?;
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
    if subject.facts_if(ask.image)? != facts {
        return Err(FreezeError::Exec(ask.pid).into());
    }
    let image = subject.image(facts);
    Ok(AddressSpace { mm: MmId(0), processes, looks: vec![look], image, traced: None, not_looked_at: None })
}
