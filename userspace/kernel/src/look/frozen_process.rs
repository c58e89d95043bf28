//! Processes, held still by ptrace for one census and one reading of their headers.

use std::time::Duration;

use crate::bpf::error::ProbeError;
use crate::census::probe::{CensusScope, MmKey, Probe, Walk};
use crate::census::records::{SpaceWord, by_space};
use crate::census::traced_map::TracedMaps;
use crate::freeze::error::FreezeError;
use crate::freeze::{FreezePlan, FreezeReport, freeze_and};
use crate::host::clock;
use crate::look::drain::drain;
use crate::look::evidence_source::{Fate, SourceError};
use crate::look::planned::{Planned, Whom};
use crate::look::preparation::{addresses, pids_of, word_on};
use crate::proc::files::ProcDir;
use crate::proc::memory::MemoryError;
use aioinspect_model::evidence::{AddressSpace, KernelWord, Look, Manner, TaskFact};
use aioinspect_model::units::{Instant, Pid};

/// How often it is planned again because something moved between the plan and the freeze.
const TRIES: u32 = 6;
/// From this try on the mappings are looked at inside the freeze: the process changes others of its mappings all the time.
const LOOK_CLOSER: u32 = 2;

/// What happened inside the freeze: numbers and results only.
struct Inside {
    begun_at: Instant,
    ended_at: Instant,
    headers_at: Instant,
    census: std::io::Result<()>,
    headers: Result<(), MemoryError>,
}

/// How processes are frozen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Freeze {
    /// For how long it may wait for a thread to stop.
    pub stop_within: Duration,
    /// For how long they are held until no request is in flight; `None`: they are not held for that.
    pub drain: Option<Duration>,
}

/// Freezes until what was planned is what was met, a few times at most; the last look is returned either way.
pub(super) fn frozen(
    probe: &mut Probe,
    whom: Whom<'_>,
    freeze: Freeze,
    notes: &mut Vec<String>,
) -> Result<Vec<AddressSpace>, SourceError> {
    let mut pause_ns = 0_u64;
    for attempt in 0.. {
        let last = attempt + 1 >= TRIES;
        match look(probe, whom, freeze, attempt >= LOOK_CLOSER, notes) {
            Ok((mut spaces, met, pause)) => {
                pause_ns = pause_ns.saturating_add(pause);
                for look in spaces.iter_mut().flat_map(|space| &mut space.looks) {
                    look.pause_ns = pause_ns;
                }
                if met || last {
                    return Ok(spaces);
                }
            }
            // There is a new program under the same number, or there will be none: plan again and see.
            Err(SourceError::Freeze(FreezeError::Exec(_) | FreezeError::Gone(_))) if !last => {}
            Err(error) => return Err(error),
        }
    }
    Err(FreezeError::Restless(whom.first()).into())
}

/// One freeze: what was read, whether that is what was planned, and the pause in nanoseconds.
fn look(
    probe: &mut Probe,
    whom: Whom<'_>,
    freeze: Freeze,
    closer: bool,
    notes: &mut Vec<String>,
) -> Result<(Vec<AddressSpace>, bool, u64), SourceError> {
    let mut planned = Planned::all(probe, whom, closer, notes)?;
    let (contexts, tasks) = room(probe, &planned)?;
    probe.make_room(contexts, tasks)?;
    let (scope, walk) = walk(probe, &planned)?;
    let pids: Vec<Pid> =
        planned.iter().flat_map(|one| &one.first.processes).map(|process| process.pid).collect();
    let plan = FreezePlan::new(&pids)?;
    let mms: Vec<MmKey> = planned.iter().map(|one| one.mm).collect();
    // Found before the freeze, asked after it: an entry is of this context or of none.
    let traced = TracedMaps::find();
    // Who drains waits for what keeps a thread from stopping, too.
    let timeout = freeze.stop_within.max(freeze.drain.unwrap_or_default());
    probe.set_scope(scope);

    let (inside, report) = freeze_and(&plan, timeout, || {
        if let Some(time) = freeze.drain {
            drain(probe, &mms, time)?;
            probe.set_scope(scope);
        }
        Ok::<_, ProbeError>(inside(&walk, &mut planned))
    })?;

    let inside = inside?;
    if let Err(error) = &inside.census {
        return Err(SourceError::Host(std::io::Error::new(
            error.kind(),
            format!("cannot run the census: {error}"),
        )));
    }
    match inside.headers {
        Ok(()) | Err(MemoryError::Gone(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let records = probe.collect(inside.begun_at, inside.ended_at);
    let had_room = probe.had_room();
    let mut found = by_space(&records, probe.known());
    let mut met = true;
    let mut spaces = Vec::with_capacity(planned.len());
    for one in planned {
        let word = found.remove(&one.mm);
        let word = word_in(&one, word, scope, &inside, had_room);
        let (space, as_planned) =
            put_together(probe, whom, spaces.len(), one, word, &inside, &report, &traced)?;
        met &= as_planned;
        spaces.push(space);
    }
    Ok((spaces, met, report.pause_ns.saturating_add(report.earlier_pause_ns)))
}

/// How many contexts and threads the walk inside the freeze will meet.
fn room(probe: &mut Probe, planned: &[Planned]) -> Result<(usize, usize), SourceError> {
    if let [one] = planned {
        return Ok((one.first.word.contexts.len(), one.first.word.tasks.len()));
    }
    let all = probe.census(CensusScope::All)?;
    Ok((all.contexts.len(), all.tasks.len()))
}

/// What is walked inside the freeze: one address space, or for several all that have contexts, in one pass.
fn walk(probe: &mut Probe, planned: &[Planned]) -> Result<(CensusScope, Walk), SourceError> {
    let [one] = planned else { return Ok((CensusScope::All, probe.walk_of_all()?)) };
    let walk = match probe.walk_of(one.tid)? {
        Some(walk) => walk,
        None => probe.walk_of_all()?,
    };
    Ok((CensusScope::Mm(one.mm), walk))
}

/// The price the target pays: one census, one vectored read, one check. No allocation, no parsing.
fn inside(walk: &Walk, planned: &mut [Planned]) -> Inside {
    let begun_at = clock::now();
    let census = walk.run();
    let ended_at = clock::now();
    let mut headers = Ok(());
    for one in &mut *planned {
        let read = one.headers.read();
        if headers.is_ok() {
            headers = read;
        }
    }
    let headers_at = clock::now();
    for one in planned.iter_mut() {
        one.recheck.run();
    }
    Inside { begun_at, ended_at, headers_at, census, headers }
}

/// The kernel's word on one address space, of a walk inside the freeze.
fn word_in(
    planned: &Planned,
    found: Option<SpaceWord>,
    scope: CensusScope,
    inside: &Inside,
    had_room: bool,
) -> SpaceWord {
    // A walk of all that have contexts does not name one that has none.
    let without = || SpaceWord {
        word: KernelWord { contexts: Vec::new(), torn: false, ..planned.first.word.clone() },
        ..planned.first.clone()
    };
    let mut found = match scope {
        CensusScope::All => found.unwrap_or_else(without),
        CensusScope::Mm(_) | CensusScope::Process(_) => found.unwrap_or_default(),
    };
    (found.word.begun_at, found.word.ended_at) = (inside.begun_at, inside.ended_at);
    // It was left, or has grown beyond the room that was made for it.
    found.word.torn |= found.processes.is_empty() || !had_room;
    found
}

#[expect(clippy::too_many_arguments, reason = "all of it is what one freeze gave")]
fn put_together(
    probe: &mut Probe,
    whom: Whom<'_>,
    ordinal: usize,
    planned: Planned,
    found: SpaceWord,
    inside: &Inside,
    report: &FreezeReport,
    traced: &TracedMaps,
) -> Result<(AddressSpace, bool), SourceError> {
    let traced = traced.word(planned.mm, &found);
    let all_held = nobody_was_free(probe, &planned, report)?;
    let mappings_checked = planned.recheck.holds(found.word.mm.lock_seq);
    let as_planned = addresses(&planned.first) == addresses(&found);
    let same_program = match planned.is_same_program() {
        Ok(same) => same,
        Err(error) if whom.is_group && error.fate() == Fate::Gone => false,
        Err(error) => return Err(error),
    };
    // Who waits for contexts cannot be held: a freeze that came about shows that nobody did.
    let mut word = found.word;
    // Held threads have no counters to compare; who they were is worth keeping.
    let tasks = &planned.first.word.tasks;
    word.tasks = tasks.iter().filter(|task| report.tids.contains(&task.tid)).cloned().collect();
    word.torn |= !all_held || !same_program;
    let met = all_held && mappings_checked && as_planned && !word.torn;
    let processes = planned.processes(&planned.first)?;
    let look = Look {
        manner: Manner::Frozen,
        mappings_checked,
        headers_at: inside.headers_at,
        before: Some(word),
        ..Look::default()
    };
    Ok((planned.space(ordinal, processes, look, traced), met))
}

/// Whether every thread of the address space that was there during the freeze was held: a CLONE_VM process made at the wrong moment is not.
fn nobody_was_free(probe: &mut Probe, planned: &Planned, report: &FreezeReport) -> Result<bool, SourceError> {
    let end = clock::since_boot(report.begun_at).saturating_add(report.pause_ns);
    let after = word_on(probe, planned.mm)?;
    // A thread that may have been there was not held.
    let is_younger = |start: Option<u64>| start.is_some_and(|start| start > end);
    let held = |task: &TaskFact| report.tids.contains(&task.tid) || is_younger(task.start_boottime_ns);
    // Who left it by an exec, maybe before the freeze, is in another address space, which nobody has looked at.
    let there = pids_of(&after);
    let has_left =
        |pid: &Pid| !there.contains(pid) && ProcDir::open(*pid).is_ok_and(|dir| dir.live_thread().is_ok());
    Ok(after.word.tasks.iter().all(held) && !pids_of(&planned.first).iter().any(has_left))
}
