//! One context: the kernel's facts first, then what the process's memory and mappings say of it.

use std::sync::Arc;

use crate::evidence::{HeaderReading, KernelWord, Manner, RingMapping};
use crate::finding::Finding;
use crate::header::RingHeader;
use crate::kioctx::{Kioctx, Told};
use crate::picture::{ContextView, Proof};
use crate::reconcile::claims::{self, Reaping, TailRule};
use crate::reconcile::full;
use crate::reconcile::mapping;
use crate::reconcile::notes::Notes;
use crate::reconcile::space::Space;
use crate::trend::key;
use crate::units::ContextId;

/// What of the mappings belongs to a context.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ring<'a> {
    /// Nobody looked.
    NotRead,
    /// These parts, in address order.
    Parts(&'a [&'a RingMapping]),
    /// Nothing at its address; of the rest of it so many bytes.
    Gone {
        /// Bytes still mapped elsewhere than at the ring's beginning.
        rest: u64,
    },
    /// Several contexts have this address, and which of them the mapping belongs to cannot be told.
    Ambiguous,
}

/// A context the kernel named.
pub(super) fn view(space: &Space<'_>, fact: &Kioctx, ring: Ring<'_>) -> ContextView {
    let mut notes = Notes::default();
    alive(fact, &mut notes);
    changed(space, fact, &mut notes);
    let in_flight = in_flight(space, fact, &mut notes);
    let reading = space.header(fact.user_id);
    let mapped = mapped(space, fact, ring, reading, &mut notes);
    let ring_state = match mapped {
        Some(false) => Reaping::default(),
        None | Some(true) => reaping(space, fact, reading, &mut notes),
    };
    match in_flight {
        Some(0) | None => {}
        Some(_) => notes.add(Finding::InFlight),
    }
    match ring_state.unreaped {
        Some(0) | None => {}
        Some(_) => notes.add(Finding::Unreaped),
    }
    // Without its first page the ring is not found, and io_submit answers EINVAL (fs/aio.c:lookup_ioctx).
    let credits = match mapped {
        Some(false) => None,
        None | Some(true) => full::credits(fact, space.possible_cpus, space.online_cpus, ring_state.head),
    };
    let outlook = credits.map(|credits| {
        for (finding, detail) in
            [(Finding::RingFull, credits.full), (Finding::StrandedCredits, credits.stranded)]
        {
            if let Some(detail) = detail {
                notes.say(finding, detail);
            }
        }
        credits.outlook
    });
    history(space, fact, in_flight, &mut notes);
    let origin = space.traced.as_ref().and_then(|traced| traced.origin(fact, &mut notes));
    if let Ring::Parts([first, ..]) = ring {
        space.sharers(first.inode, &mut notes);
    }
    let (findings, details) = notes.finish();
    ContextView {
        pid: space.process.pid,
        comm: Arc::clone(&space.comm),
        start_ticks: space.process.start_ticks,
        about: Arc::clone(&space.about),
        context: fact.user_id,
        max_reqs: fact.max_reqs,
        nr_events: fact.nr_events,
        in_flight,
        unreaped: ring_state.unreaped,
        head: ring_state.head,
        tail: fact.tail,
        ring_len: fact.ring_len(space.page_size),
        mapped,
        owner: Arc::clone(&space.owner),
        origin,
        dying_ns: None,
        outlook,
        stands_for: Some(1),
        findings,
        details,
    }
}

/// A ring the process maps, where the kernel was not asked. A ring inherited by fork looks the same.
pub(super) fn view_alone(space: &Space<'_>, ring: &[&RingMapping]) -> Option<ContextView> {
    let first = ring.iter().find(|part| part.offset == 0).or(ring.first())?;
    let context = ContextId(first.start);
    let size = ring.iter().fold(0_u64, |sum, part| sum.saturating_add(crate::reconcile::rings::bytes(part)));
    let mut notes = Notes::default();
    mapping::check(ring, first.start.saturating_sub(first.offset), None, &mut notes);
    let header = match space.header(context).map(|reading| reading.bytes) {
        Some(Ok(bytes)) => Some(RingHeader::decode(&bytes)),
        Some(Err(errno)) => {
            unreadable(errno, &mut notes);
            None
        }
        None => None,
    };
    let reaping = header.map(|claim| claims::check_alone(&claim, size, &mut notes)).unwrap_or_default();
    if reaping.unreaped.is_some_and(|waiting| waiting > 0) {
        notes.add(Finding::Unreaped);
    }
    space.sharers(first.inode, &mut notes);
    let (findings, details) = notes.finish();
    Some(ContextView {
        pid: space.process.pid,
        comm: Arc::clone(&space.comm),
        start_ticks: space.process.start_ticks,
        about: Arc::clone(&space.about),
        context,
        max_reqs: None,
        nr_events: header.map(|claim| claim.nr),
        in_flight: None,
        unreaped: reaping.unreaped,
        head: reaping.head,
        tail: header.map(|claim| claim.tail),
        ring_len: Some(size),
        mapped: Some(true),
        owner: Arc::clone(&space.owner),
        origin: None,
        dying_ns: None,
        outlook: None,
        stands_for: Some(1),
        findings,
        details,
    })
}

fn alive(fact: &Kioctx, notes: &mut Notes) {
    if fact.dead == Some(true) {
        notes.say(Finding::Unsettled, "io_destroy or exit has begun");
    } else if fact.mmap_size == Some(0) || fact.nr_events == Some(0) {
        notes.say(Finding::Unsettled, "io_setup had not finished");
    }
}

/// Only two words can disagree; one alone is merely unproven, and `list` is content with that.
fn changed(space: &Space<'_>, fact: &Kioctx, notes: &mut Notes) {
    let torn = |word: &Option<KernelWord>| word.as_ref().is_some_and(|word| word.torn);
    if torn(&space.look.before) || torn(&space.look.after) {
        notes.say(Finding::Unsettled, "the table of contexts changed while it was read");
    }
    if space.look.before.is_none() || space.look.after.is_none() {
        return;
    }
    match space.before.get(&key(fact)) {
        None => notes.say(Finding::Unsettled, "it was made or moved while we looked"),
        Some(earlier) if *earlier != fact => {
            notes.say(Finding::Unsettled, "requests came or went between the two looks");
        }
        Some(_) => {}
    }
}

/// Both witnesses must agree while nobody runs. While the process runs, each may be torn by itself.
fn in_flight(space: &Space<'_>, fact: &Kioctx, notes: &mut Notes) -> Option<u32> {
    let still = space.proof == Proof::Consistent || space.look.manner != Manner::Running;
    let (by_credits, by_refs) = (fact.in_flight_by_credits(), fact.in_flight_by_refs());
    match (by_credits, by_refs) {
        (Told::Nothing, Told::Nothing) => None,
        (Told::Is(number), by_refs) if still && by_refs == Told::Is(number) => Some(number),
        (Told::Is(_) | Told::Torn, Told::Is(_) | Told::Torn) if still => {
            let (by_credits, by_refs) = (number(by_credits), number(by_refs));
            notes.say(
                Finding::Unsettled,
                format!("in flight is {by_credits} by the credits, {by_refs} by the references"),
            );
            None
        }
        // One witness, because this kernel has no other or because two cannot be asked at once.
        (by_credits, _) => {
            let told = fact.in_flight();
            if told == Told::Torn {
                let who = if by_credits == Told::Nothing { "references" } else { "credits" };
                let why = format!("the {who} do not add up: they moved while they were read");
                notes.say(Finding::Unsettled, why);
            }
            told.number()
        }
    }
}

fn number(told: Told<u32>) -> String {
    told.number().map_or_else(|| "unknown".to_owned(), |number| number.to_string())
}

fn mapped(
    space: &Space<'_>,
    fact: &Kioctx,
    ring: Ring<'_>,
    reading: Option<&HeaderReading>,
    notes: &mut Notes,
) -> Option<bool> {
    match ring {
        Ring::NotRead => None,
        Ring::Parts(parts) => {
            mapping::check(parts, fact.base(), fact.ring_len(space.page_size), notes);
            Some(true)
        }
        Ring::Ambiguous => {
            notes.say(
                Finding::Unsettled,
                "another context has the same address, and which of the two is mapped is not known",
            );
            None
        }
        Ring::Gone { .. } if space.proof != Proof::Consistent && answers(fact, reading) => {
            notes.say(
                Finding::Unsettled,
                "its header was read, but not its mapping: the ring appeared while we looked",
            );
            None
        }
        Ring::Gone { rest } => {
            notes.say(
                Finding::UnmappedRing,
                match fact.max_reqs {
                    Some(max_reqs) => {
                        format!("its {max_reqs} slots stay reserved until the process exits or execs")
                    }
                    None => "its slots stay reserved until the process exits or execs".to_owned(),
                },
            );
            if rest > 0 {
                notes.say(
                    Finding::SplitMapping,
                    format!("{rest} bytes of it are still mapped, but not its beginning"),
                );
            }
            Some(false)
        }
    }
}

/// Whether a header was read that can only be this context's.
fn answers(fact: &Kioctx, reading: Option<&HeaderReading>) -> bool {
    let Some(Ok(bytes)) = reading.map(|reading| reading.bytes) else { return false };
    let claim = RingHeader::decode(&bytes);
    claim.magic == crate::header::RING_MAGIC
        && fact.nr_events.is_none_or(|nr_events| claim.nr == nr_events)
        && claim.id == fact.table_index
}

fn reaping(space: &Space<'_>, fact: &Kioctx, reading: Option<&HeaderReading>, notes: &mut Notes) -> Reaping {
    match reading.map(|reading| reading.bytes) {
        Some(Ok(bytes)) if fact.nr_events != Some(0) => {
            claims::check(&RingHeader::decode(&bytes), fact, tail_rule(space), notes)
        }
        Some(Err(errno)) => {
            unreadable(errno, notes);
            Reaping::default()
        }
        Some(Ok(_)) | None => Reaping::default(),
    }
}

fn tail_rule(space: &Space<'_>) -> TailRule {
    let look = space.look;
    let headers_last = space.word.is_some_and(|word| look.headers_at >= word.begun_at);
    match space.proof {
        Proof::Consistent if look.before.is_some() && look.after.is_some() => TailRule::Equal,
        Proof::Consistent if headers_last => TailRule::Later,
        Proof::Consistent => TailRule::Earlier,
        Proof::Busy | Proof::Unproven if headers_last => TailRule::AfterFree,
        Proof::Busy | Proof::Unproven => TailRule::Free,
    }
}

fn history(space: &Space<'_>, fact: &Kioctx, in_flight: Option<u32>, notes: &mut Notes) {
    if let Some((span, in_flight)) = space.history.stuck.get(&key(fact)).zip(in_flight) {
        notes.say(
            Finding::Stuck,
            format!("{in_flight} in flight, none completed for {} s", span / 1_000_000_000),
        );
    }
    if space.history.leaked.contains(&key(fact)) {
        let (was, is) = space.history.grown;
        notes.say(
            Finding::IdleLeak,
            format!("the process went from {was} to {is} contexts and never used this one"),
        );
    }
}

/// Why process_vm_readv failed. EFAULT is what PROT_NONE and a missing page both give.
fn unreadable(errno: i32, notes: &mut Notes) {
    let name = match errno {
        1 => "EPERM",
        3 => "ESRCH",
        5 => "EIO",
        12 => "ENOMEM",
        14 => "EFAULT",
        22 => "EINVAL",
        _ => {
            return notes.say(Finding::UnreadableRing, format!("process_vm_readv failed with errno {errno}"));
        }
    };
    notes.say(Finding::UnreadableRing, format!("process_vm_readv failed with {name}"));
}
