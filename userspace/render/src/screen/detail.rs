//! One context: all that is known of it, and its ring drawn.

use aioinspect_model::picture::{ContextView, Picture, Proof};

use crate::screen::canvas::width;
use crate::screen::field::percent_taken;
use crate::screen::look::{Look, Tone};
use crate::screen::page::{Line, Page};
use crate::screen::ring::{Band, Ring, Slot};
use crate::screen::severity::{tone, worst_first};

/// Bytes of a slot (struct io_event).
const SLOT_BYTES: u32 = 32;

/// The page. `picture`: where the context's address space is told of, if the context is still there.
pub fn page(context: &ContextView, picture: Option<&Picture>, columns: usize, look: Look) -> Page {
    let mut page = Page::new(columns);
    if picture.is_none() {
        page.text(0, "gone: destroyed, or its process ended; this is what was last seen of it", Tone::Bad);
        page.gap();
    }
    findings(context, look, &mut page);
    ring(context, look, &mut page);
    facts(context, look, &mut page);
    if let Some(picture) = picture {
        neighbours(context, picture, &mut page);
    }
    page
}

fn findings(context: &ContextView, look: Look, page: &mut Page) {
    for finding in worst_first(&context.findings) {
        page.pair(20, finding.code(), tone(Some(finding)), finding.says(), Tone::Plain);
        for (_, detail) in context.details.iter().filter(|(of, _)| *of == finding) {
            page.pair(20, "", Tone::Plain, &look.text(detail), Tone::Faint);
        }
    }
    if context.findings.is_empty() {
        page.text(0, "nothing is wrong with it, and nothing waits in it", Tone::Good);
    }
    page.gap();
}

fn ring(context: &ContextView, look: Look, page: &mut Page) {
    page.heading("Ring");
    let Some(ring) = Ring::of(context) else {
        page.text(0, "not drawn: how many slots it has is not known", Tone::Plain);
        page.gap();
        return;
    };
    // The frame takes two columns.
    let band = ring.band(page.width().saturating_sub(2));
    let signs = look.signs();
    if !band.cells.is_empty() {
        page.line(mark("head", context.head, band.head, signs.down, page.width()));
        page.line(drawn(&band, look));
        page.line(mark("tail", context.tail, band.tail, signs.up, page.width()));
    }
    let count = |known: Option<u32>| known.map_or("-".to_owned(), |count| count.to_string());
    let free = context.nr_events.and_then(|slots| {
        slots.checked_sub(1)?.checked_sub(context.in_flight?)?.checked_sub(context.unreaped?)
    });
    let legend = [
        (signs.done, Tone::Pending, count(context.unreaped), "completed, not reaped (head up to tail)"),
        (
            signs.flight,
            Tone::Good,
            count(context.in_flight),
            "in flight: no slot yet, will complete into those after tail",
        ),
        (signs.free, Tone::Faint, count(free), "free, and one more that always stays empty"),
    ];
    for (sign, tone, count, says) in legend {
        page.pair(3, sign, tone, &format!("{count} {says}"), Tone::Plain);
    }
    if band.cells.contains(&Slot::Unknown) {
        page.pair(3, signs.unknown, Tone::Plain, "not known", Tone::Plain);
    }
    if band.slots_a_cell > 1 {
        let text = format!(
            "a cell stands for up to {} slots and shows what most of them hold; what is there at all is shown somewhere",
            band.slots_a_cell
        );
        page.text(0, &text, Tone::Faint);
    }
    let outside = |claim: Option<u32>| claim.zip(context.nr_events).filter(|(slot, slots)| slot >= slots);
    for (name, claim) in [("head", context.head), ("tail", context.tail)] {
        if let Some((slot, slots)) = outside(claim) {
            let text = format!("{name} {slot} is outside of the ring of {slots} slots: the process wrote it");
            page.text(0, &text, Tone::Bad);
        }
    }
    page.gap();
}

/// Where head or tail is, with its number on the side where there is room for it.
fn mark(name: &str, claim: Option<u32>, cell: Option<usize>, sign: &str, room: usize) -> Line {
    let Some(cell) = cell else {
        let said = claim.map_or("not known".to_owned(), |slot| slot.to_string());
        return vec![(1, format!("{name} {said}"), Tone::Faint)];
    };
    let label = format!("{name} {}", claim.unwrap_or(0));
    // One for the frame.
    let at = cell.saturating_add(1);
    if at.saturating_add(2).saturating_add(width(&label)) <= room {
        vec![(at, format!("{sign} {label}"), Tone::Strong)]
    } else {
        let label_at = at.saturating_sub(width(&label).saturating_add(1));
        vec![(label_at, label, Tone::Strong), (at, sign.to_owned(), Tone::Strong)]
    }
}

fn drawn(band: &Band, look: Look) -> Line {
    let signs = look.signs();
    let mut line = vec![(0, "[".to_owned(), Tone::Strong)];
    let mut at = 1_usize;
    for cells in band.cells.chunk_by(|one, other| one == other) {
        let (sign, tone) = match cells.first() {
            Some(Slot::Done) => (signs.done, Tone::Pending),
            Some(Slot::Flight) => (signs.flight, Tone::Good),
            Some(Slot::Free) => (signs.free, Tone::Faint),
            Some(Slot::Unknown) | None => (signs.unknown, Tone::Plain),
        };
        line.push((at, sign.repeat(cells.len()), tone));
        at = at.saturating_add(cells.len());
    }
    line.push((at, "]".to_owned(), Tone::Strong));
    line
}

fn facts(context: &ContextView, look: Look, page: &mut Page) {
    page.heading("Context");
    let known =
        |number: Option<u32>, unit: &str| number.map_or("-".to_owned(), |number| format!("{number}{unit}"));
    let name =
        |name: &str| if name.is_empty() { "-".to_owned() } else { look.name(name.as_bytes()).into_owned() };
    let mapped = match context.mapped {
        None => "-",
        Some(true) => "yes",
        Some(false) => "no",
    };
    let ring_len = context.ring_len.map_or("-".to_owned(), |bytes| bytes.to_string());
    let slots = match context.nr_events {
        Some(slots) => format!("{slots} of {SLOT_BYTES} bytes, ring of {ring_len} bytes"),
        None => format!("-, ring of {ring_len} bytes"),
    };
    let facts = [
        ("context", context.context.to_string()),
        ("pid", context.pid.to_string()),
        ("comm", look.name(&context.comm).into_owned()),
        ("started", format!("{} clock ticks after boot", context.start_ticks)),
        ("max_reqs", known(context.max_reqs, " requests, its cost of fs.aio-max-nr")),
        ("slots", slots),
        ("in flight", known(context.in_flight, " requests")),
        ("unreaped", known(context.unreaped, " completions")),
        ("fill", known(percent_taken(context), " % of the ring")),
        ("head", known(context.head, ", next slot to be reaped, as the process claims")),
        ("tail", known(context.tail, ", next slot to be filled")),
        ("mapped", mapped.to_owned()),
        ("unit", name(&context.owner.unit)),
        ("runtime", name(&context.owner.runtime)),
        ("container", name(&context.owner.container)),
        ("pod", name(&context.owner.pod)),
    ];
    for (what, fact) in facts {
        page.fact(what, &fact, Tone::Plain);
    }
}

/// What shares the memory with it, and rings without a context there.
fn neighbours(context: &ContextView, picture: &Picture, page: &mut Page) {
    if let Some(space) = picture.spaces.iter().find(|space| space.pids.contains(&context.pid)) {
        let pids: Vec<String> = space.pids.iter().map(ToString::to_string).collect();
        if pids.len() > 1 {
            page.fact("memory of", &format!("pids {}", pids.join(", ")), Tone::Plain);
        }
        let proof = match space.proof {
            Proof::Consistent => "one state: nothing ran between the readings",
            Proof::Busy => "it ran between the readings: numbers may be of different moments",
            Proof::Unproven => "one look: it may have changed since",
        };
        page.fact("proof", proof, Tone::Plain);
    }
    let ghosts = picture.ghosts.iter().filter(|ghost| ghost.pid == context.pid).count();
    if ghosts > 0 {
        page.fact("ghost rings", &format!("{ghosts} in the same process"), Tone::Pending);
    }
}
