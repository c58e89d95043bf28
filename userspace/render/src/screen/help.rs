//! The help: every key, every column, every finding.

use aioinspect_model::finding::Finding;

use crate::screen::field::Field;
use crate::screen::look::{Look, Tone};
use crate::screen::page::Page;
use crate::screen::severity::{tone, worst_first};

/// Keys and what they do.
const KEYS: [(&str, &str); 13] = [
    ("? h F1", "this help; again, or Esc or q, to leave it"),
    ("/", "filter: Enter keeps it, Esc drops it"),
    ("s", "sort by the next column"),
    ("S", "turn the order around"),
    ("Tab", "the other table: owners or contexts"),
    ("Up Down k j", "a row up or down; PgUp PgDn a page; Home End g G to the ends"),
    ("Enter", "an owner's contexts; a context's detail, with its ring"),
    ("Esc", "back; without anywhere to go back to, drop the filter"),
    ("p Space", "pause: the screen stands still, what is new is kept for later"),
    ("e", "more events, or fewer"),
    ("Ctrl-L", "draw everything anew"),
    ("Ctrl-Z", "stop, until fg"),
    ("q Ctrl-C", "quit"),
];

/// Columns and what they hold.
const COLUMNS: [(Field, &str); 12] = [
    (Field::Pid, "process; of several that share the memory, the lowest"),
    (Field::Comm, "name of the process"),
    (Field::Owner, "container, or else systemd unit"),
    (Field::Contexts, "number of its contexts"),
    (Field::Context, "context id (aio_context_t): the address of the ring"),
    (Field::MaxReqs, "argument of io_setup, and what the context costs of aio-max-nr; of an owner, the sum"),
    (Field::Slots, "slots of the ring (nr_events)"),
    (Field::InFlight, "requests submitted and not completed"),
    (Field::Unreaped, "completions in the ring that nobody reaped"),
    (Field::Fill, "how much of the ring is in flight or unreaped"),
    (Field::Findings, "problems found with this context, the worst first"),
    (Field::Worst, "the worst finding of an owner's contexts"),
];

/// The page.
pub fn page(width: usize, look: Look) -> Page {
    let mut page = Page::new(width);
    page.heading("Keys");
    for (keys, does) in KEYS {
        page.pair(14, keys, Tone::Key, does, Tone::Plain);
    }
    page.gap();
    page.heading("Filter");
    page.text(0, "A word is looked for in PID, COMM, owner, context and findings, in upper or lower case: mysql, 812, ring-full.", Tone::Plain);
    page.text(
        0,
        "An expression is one of `aioinspect list -Q`: MAX_REQS > 100 and COMM =~ \"mysql\".",
        Tone::Plain,
    );
    page.gap();
    page.heading("Columns");
    for (field, says) in COLUMNS {
        page.pair(14, field.heading(), Tone::Strong, says, Tone::Plain);
    }
    page.text(0, "- is not known, or none. 5+ is a sum in which some numbers are not known.", Tone::Plain);
    page.gap();
    page.heading("Findings, the worst first");
    for finding in worst_first(Finding::ALL) {
        page.pair(20, finding.code(), tone(Some(finding)), finding.says(), Tone::Plain);
    }
    page.gap();
    page.heading("Ring");
    let signs = look.signs();
    for (sign, says) in [
        (signs.done, "completed, not reaped: from head up to tail"),
        (signs.flight, "in flight: has no slot yet, will take one after tail"),
        (signs.free, "free"),
        (signs.unknown, "not known"),
    ] {
        page.pair(4, sign, Tone::Strong, says, Tone::Plain);
    }
    page.gap();
    page.heading("First lines");
    for (word, says) in [
        (
            "aio-nr",
            "slots of the host that are taken, of the limit fs.aio-max-nr, which may have been lowered below it",
        ),
        (
            "attributed",
            "the sum of the contexts found; unattributed is the rest: other PID namespaces, or coming and going",
        ),
        ("hook", "where in the kernel calls are seen"),
        ("lost", "events that were not seen; a new census shows what is"),
        ("healed", "differences that a new census put right"),
        ("ghost rings", "rings mapped without a context, inherited by fork"),
    ] {
        page.pair(14, word, Tone::Strong, says, Tone::Plain);
    }
    page
}
