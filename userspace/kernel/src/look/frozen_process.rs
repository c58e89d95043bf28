//! One process, held still by ptrace for one census and one reading of its headers.

use std::time::Duration;

use crate::census::probe::{CensusScope, MmKey, Probe, Walk};
use crate::census::records::{SpaceWord, by_space};
use crate::census::traced_map::TracedMaps;
use crate::freeze::error::FreezeError;
use crate::freeze::{FreezePlan, FreezeReport, freeze_and};
use crate::host::clock;
use crate::look::evidence_source::{Ask, SourceError};
use crate::look::preparation::{Subject, addresses, named, reader, sharers, word_of, word_on};
use crate::look::recheck::Recheck;
use crate::proc::files::ProcDir;
use crate::proc::memory::{HeaderPlan, MemoryError};
use aioinspect_model::evidence::{AddressSpace, KernelWord, Look, Manner, TaskFact};
use aioinspect_model::units::{Instant, MmId, Pid};

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

/// Freezes until what was planned is what was met, a few times at most; the last look is returned either way.
pub(super) fn frozen(
    probe: &mut Probe,
    ask: &Ask,
    timeout: Duration,
    notes: &mut Vec<String>,
) -> Result<AddressSpace, SourceError> {
    let mut pause_ns = 0_u64;
    for attempt in 0.. {
        let last = attempt + 1 >= TRIES;
        match look(probe, ask, timeout, attempt >= LOOK_CLOSER, notes) {
            Ok((mut space, met)) => {
                for look in &mut space.looks {
                    pause_ns = pause_ns.saturating_add(look.pause_ns);
                    look.pause_ns = pause_ns;
                }
                if met || last {
                    return Ok(space);
                }
            }
            // There is a new program under the same number, or there will be none: plan again and see.
            Err(SourceError::Freeze(FreezeError::Exec(_) | FreezeError::Gone(_))) if !last => {}
            Err(error) => return Err(error),
        }
    }
    Err(FreezeError::Restless(ask.pid).into())
}

fn look(
    probe: &mut Probe,
    ask: &Ask,
    timeout: Duration,
    closer: bool,
    notes: &mut Vec<String>,
) -> Result<(AddressSpace, bool), SourceError> {
    let dir = ProcDir::open(ask.pid)?;
    let (mm, planned) = word_of(probe, &dir)?;
    probe.make_room(planned.word.contexts.len(), planned.word.tasks.len())?;
    // After the census, so that its lock_seq vouches for the mappings.
    let subject = Subject::read(dir)?;
    let facts = subject.facts_for(ask)?;
    let sharers = sharers(probe, (mm, &planned), &subject.mappings, notes)?;
    let lock_seq = planned.word.mm.lock_seq.filter(|_| !closer);
    let mut recheck = Recheck::plan(&subject, lock_seq)?;
    let tid = reader(&planned, ask);
    let mut headers = HeaderPlan::new(&addresses(&planned), tid);
    let walk = match probe.walk_of(tid)? {
        Some(walk) => walk,
        None => probe.walk_of_all()?,
    };
    let pids: Vec<Pid> = planned.processes.iter().map(|process| process.pid).collect();
    let plan = FreezePlan::new(&pids)?;
    probe.set_scope(CensusScope::Mm(mm));
    // Found before the freeze, asked after it: an entry is of this context or of none.
    let traced = TracedMaps::find();

    let (inside, report) = freeze_and(&plan, timeout, || inside(&walk, &mut headers, &mut recheck))?;

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
    let found = collect(probe, mm, &inside);
    let traced = traced.word(mm, &found);
    let all_held = nobody_was_free(probe, mm, &report)?;
    let mappings_checked = recheck.holds(found.word.mm.lock_seq);
    let as_planned = addresses(&planned) == addresses(&found);
    let same_program = subject.facts_for(ask)? == facts;
    // Who waits for contexts cannot be held: a freeze that came about shows that nobody did.
    let mut word = found.word;
    // Held threads have no counters to compare; who they were is worth keeping.
    word.tasks = planned.word.tasks.iter().filter(|task| report.tids.contains(&task.tid)).cloned().collect();
    word.torn |= !all_held || !same_program;
    let met = all_held && mappings_checked && as_planned && !word.torn;
    let look = Look {
        manner: Manner::Frozen,
        mappings: subject.mappings.clone(),
        mappings_at: subject.mappings_at,
        mappings_checked,
        headers: headers.finish(),
        headers_at: inside.headers_at,
        sharers,
        before: Some(word),
        after: None,
        pause_ns: report.pause_ns.saturating_add(report.earlier_pause_ns),
    };
    let processes = if planned.processes.is_empty() { vec![subject.process()?] } else { named(&planned) };
    let image = subject.image(facts);
    Ok((AddressSpace { mm: MmId(0), processes, looks: vec![look], image, traced, not_looked_at: None }, met))
}

/// The price the target pays: one census, one vectored read, one check. No allocation, no parsing.
fn inside(walk: &Walk, headers: &mut HeaderPlan, recheck: &mut Recheck) -> Inside {
    let begun_at = clock::now();
    let census = walk.run();
    let ended_at = clock::now();
    let read = headers.read();
    let headers_at = clock::now();
    recheck.run();
    Inside { begun_at, ended_at, headers_at, census, headers: read }
}

fn collect(probe: &Probe, mm: MmKey, inside: &Inside) -> SpaceWord {
    let records = probe.collect(inside.begun_at, inside.ended_at);
    let mut found = by_space(&records, probe.known()).remove(&mm).unwrap_or_default();
    if found.processes.is_empty() || !probe.had_room() {
        // It was left, or has grown beyond the room that was made for it.
        found.word =
            KernelWord { begun_at: inside.begun_at, ended_at: inside.ended_at, torn: true, ..found.word };
    }
    found
}

/// Whether every thread of the address space that was there during the freeze was held: a CLONE_VM process made at the wrong moment is not.
fn nobody_was_free(probe: &mut Probe, mm: MmKey, report: &FreezeReport) -> Result<bool, SourceError> {
    let end = clock::since_boot(report.begun_at).saturating_add(report.pause_ns);
    let after = word_on(probe, mm)?;
    // A thread that may have been there was not held.
    let is_younger = |start: Option<u64>| start.is_some_and(|start| start > end);
    let held = |task: &TaskFact| report.tids.contains(&task.tid) || is_younger(task.start_boottime_ns);
    Ok(after.word.tasks.iter().all(held))
}
