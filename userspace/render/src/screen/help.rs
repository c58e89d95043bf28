//! The help: every key, every column, every finding.

use aioinspect_model::finding::Finding;

use crate::fields::{Field, View};
use crate::screen::page::Page;
use crate::screen::theme::{Theme, Tone};
use crate::screen::tone::tone;

/// Keys and what they do.
const KEYS: [(&str, &str); 14] = [
    ("? h F1", "this help; again, or Esc or q, to leave it"),
    ("/", "filter: Enter keeps it, Esc drops it"),
    ("s", "sort by the next column"),
    ("S", "turn the order around"),
    ("o", "by owner, with the sums of all its processes; again: by process"),
    ("Tab", "the other table: processes or owners, and contexts"),
    ("Up Down k j", "a row up or down; PgUp PgDn a page; Home End g G to the ends"),
    ("Enter", "the contexts of a process or owner; a context's detail, with its ring"),
    ("Esc", "back; without anywhere to go back to, drop the filter"),
    ("p Space", "pause: the screen stands still, what is new is kept for later"),
    ("e", "more events, or fewer"),
    ("Ctrl-L", "draw everything anew"),
    ("Ctrl-Z", "stop, until fg"),
    ("q Ctrl-C", "quit"),
];

/// Keys of a recording; j is not a row down there.
const KEYS_OF_REPLAY: [(&str, &str); 3] = [
    ("t", "the next picture of the recording"),
    ("T", "the picture before"),
    ("j", "jump to a time in UTC: 03:00, 2026-01-31T03:00, 10m ago, +10m, -1h"),
];

/// The keys and the findings, for a screen of this width.
pub(super) fn page(width: usize, theme: Theme, is_replay: bool) -> Page {
    let mut page = Page::new(width);
    page.heading("Keys");
    let of_replay = if is_replay { KEYS_OF_REPLAY.as_slice() } else { &[] };
    for (keys, does) in of_replay.iter().copied().chain(KEYS) {
        page.pair(14, keys, Tone::Key, does, Tone::Plain);
    }
    page.gap();
    page.heading("Filter");
    page.text(0, "A word is looked for in PID, COMM, CONTEXT, unit, container, pod and findings, in upper or lower case: mysql, 812, ring-full.", Tone::Plain);
    page.text(
        0,
        "An expression is one of `aioinspect list -Q`: MAX_REQS > 100 and COMM =~ \"mysql\".",
        Tone::Plain,
    );
    page.gap();
    page.heading("Columns");
    let is_shown = |field: &Field| {
        [View::Processes, View::Owners, View::Contexts].iter().any(|view| field.row().on.contains(view))
    };
    for field in Field::ALL.iter().filter(|field| is_shown(field)) {
        page.pair(14, field.heading(), Tone::Strong, field.row().help, Tone::Plain);
    }
    page.text(
        0,
        "Of a process or owner, numbers are the sums of its contexts. - is not known, or none. 5+ is a sum in which some \
         numbers are not known.",
        Tone::Plain,
    );
    page.gap();
    page.heading("Findings, the worst first");
    for finding in Finding::worst_first(Finding::ALL) {
        page.pair(20, finding.code(), tone(Some(finding)), finding.says(), Tone::Plain);
    }
    page.gap();
    page.heading("Ring");
    let signs = theme.signs();
    for (sign, says) in [
        (signs.done, "completed, not reaped: from head up to tail"),
        (signs.flight, "in flight: has no ring entry yet, will take one after tail"),
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
            "slots reserved on this host, of the limit fs.aio-max-nr; the limit may have been lowered below that",
        ),
        (
            "attributed",
            "slots of the contexts found; unattributed is the rest: contexts in other PID namespaces, or coming and going",
        ),
        (
            "reserved, failed",
            "what was reserved on this host since the screen began, and calls of io_setup that failed on it: each sign is the fullest moment, or the sum, of a stretch of time",
        ),
        ("hook", "where in the kernel calls are seen"),
        ("lost", "events that were not seen; a new census shows what is"),
        ("healed", "differences that a new census corrected"),
        ("ghost rings", "rings mapped without a context, inherited by fork"),
    ] {
        // A recording has no line of the time that went by.
        if !(is_replay && word.starts_with("reserved")) {
            page.pair(14, word, Tone::Strong, says, Tone::Plain);
        }
    }
    page
}
