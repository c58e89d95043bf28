//! One context: all that is known of it, and its ring drawn.

use aioinspect_model::finding::Finding;
use aioinspect_model::picture::{ContextView, Picture, Proof};

use crate::fields::cell::Cell;
use crate::fields::{Field, View};
use crate::screen::canvas::width;
use crate::screen::page::{Line, Page};
use crate::screen::ring::{Band, Entry, Ring};
use crate::screen::theme::{Theme, Tone};
use crate::screen::tone::tone;

/// The page. `picture`: where the context's address space is told of, if the context is still there.
pub(super) fn page(context: &ContextView, picture: Option<&Picture>, columns: usize, theme: Theme) -> Page {
    let mut page = Page::new(columns);
    if picture.is_none() {
        page.text(0, "gone: destroyed, or its process ended; this is what was last seen of it", Tone::Bad);
        page.gap();
    }
    findings(context, theme, &mut page);
    ring(context, theme, &mut page);
    facts(context, theme, &mut page);
    if let Some(picture) = picture {
        neighbours(context, picture, &mut page);
    }
    page
}

fn findings(context: &ContextView, theme: Theme, page: &mut Page) {
    for finding in Finding::worst_first(&context.findings) {
        page.pair(20, finding.code(), tone(Some(finding)), finding.says(), Tone::Plain);
        for (_, detail) in context.details.iter().filter(|(of, _)| *of == finding) {
            page.pair(20, "", Tone::Plain, &theme.text(detail), Tone::Faint);
        }
    }
    if context.findings.is_empty() {
        page.text(0, "no problem found, and nothing waits in it", Tone::Good);
    }
    page.gap();
}

fn ring(context: &ContextView, theme: Theme, page: &mut Page) {
    page.heading("Ring");
    let Some(ring) = Ring::of(context) else {
        page.text(0, "not drawn: the number of ring entries is not known", Tone::Plain);
        page.gap();
        return;
    };
    // The frame takes two columns.
    let band = ring.band(page.width().saturating_sub(2));
    let signs = theme.signs();
    if !band.cells.is_empty() {
        page.line(mark("head", context.head, band.head, signs.down, page.width()));
        page.line(drawn(&band, theme));
        page.line(mark("tail", context.tail, band.tail, signs.up, page.width()));
    }
    let count = |known: Option<u32>| known.map_or("-".to_owned(), |count| count.to_string());
    let legend = [
        (signs.done, Tone::Pending, count(context.unreaped), "completed, not reaped (head up to tail)"),
        (
            signs.flight,
            Tone::Good,
            count(context.in_flight),
            "in flight: no ring entry yet, will complete into those after tail",
        ),
        (signs.free, Tone::Faint, count(context.free()), "free, and one more that always stays empty"),
    ];
    for (sign, tone, count, says) in legend {
        page.pair(3, sign, tone, &format!("{count} {says}"), Tone::Plain);
    }
    if band.cells.contains(&Entry::Unknown) {
        page.pair(3, signs.unknown, Tone::Plain, "not known", Tone::Plain);
    }
    if band.entries_a_cell > 1 {
        let text = format!(
            "each sign stands for up to {} ring entries and shows what most of them are; nothing is left out entirely",
            band.entries_a_cell
        );
        page.text(0, &text, Tone::Faint);
    }
    let outside =
        |claim: Option<u32>| claim.zip(context.nr_events).filter(|(entry, entries)| entry >= entries);
    for (name, claim) in [("head", context.head), ("tail", context.tail)] {
        if let Some((entry, entries)) = outside(claim) {
            let text =
                format!("{name} {entry} is outside of the ring of {entries} entries: the process wrote it");
            page.text(0, &text, Tone::Bad);
        }
    }
    page.gap();
}

/// Where head or tail is, with its number on the side where there is room for it.
fn mark(name: &str, claim: Option<u32>, cell: Option<usize>, sign: &str, room: usize) -> Line {
    let Some(cell) = cell else {
        let said = claim.map_or("not known".to_owned(), |entry| entry.to_string());
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

fn drawn(band: &Band, theme: Theme) -> Line {
    let signs = theme.signs();
    let mut line = vec![(0, "[".to_owned(), Tone::Strong)];
    let mut at = 1_usize;
    for cells in band.cells.chunk_by(|one, other| one == other) {
        let (sign, tone) = match cells.first() {
            Some(Entry::Done) => (signs.done, Tone::Pending),
            Some(Entry::Flight) => (signs.flight, Tone::Good),
            Some(Entry::Free) => (signs.free, Tone::Faint),
            Some(Entry::Unknown) | None => (signs.unknown, Tone::Plain),
        };
        line.push((at, sign.repeat(cells.len()), tone));
        at = at.saturating_add(cells.len());
    }
    line.push((at, "]".to_owned(), Tone::Strong));
    line
}

fn facts(context: &ContextView, theme: Theme, page: &mut Page) {
    page.heading("Context");
    for field in Field::on(View::Facts) {
        let (row, cell) = (field.row(), field.of(context));
        let unit = if matches!(cell, Cell::Unknown) { "" } else { row.unit };
        page.fact(row.id, &format!("{}{unit}", theme.text(&cell.text())), Tone::Plain);
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
