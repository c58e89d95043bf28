//! Events for people, one line each: what `watch` writes into a pipe and shows in the feed of its screen.
//!
//! ```text
//! 12:00:00.123456Z setup        mysqld[1234/1240]       0x7f1200000000 max_reqs 128
//! 12:00:00.123456Z setup-failed mysqld[1234/1240]       EAGAIN: asked for 5000, 120 free of 65536 (in 0f1e2d3c4b5a)
//! 12:00:10.123456Z setup-failed mysqld[1234/1240]       EAGAIN: x 4,812 in 10 s, still failing: asked for 5000, ..
//! ```

use std::fmt::Write as _;
use std::io::{self, Write};

use unicode_width::UnicodeWidthStr;

use aioinspect_model::awaited::Awaited;
use aioinspect_model::errno;
use aioinspect_model::event::{Actor, Event, Timed};
use aioinspect_model::event_rows::EventRow;
use aioinspect_model::evidence::Doing;
use aioinspect_model::failure_fold::{MOST_KINDS, MOST_PROCESSES, Repeats};
use aioinspect_model::setup_failure;
use aioinspect_model::submit_failure::{self, SubmitFailure};
use aioinspect_model::units::ContextId;

use crate::escape::{escape, escaped};
use crate::time;
use crate::{growth, holder};

/// Columns of the longest word, `setup-failed`.
const WORD: usize = 12;
/// A failure that is not older than this goes on.
const STILL_NS: u64 = 2_000_000_000;
/// Columns of who did it; a longer one pushes the rest of its own line alone.
const WHO: usize = 24;

/// Writes one event and the end of its line.
pub fn write(out: &mut dyn Write, timed: &Timed) -> io::Result<()> {
    let mut text = line(timed);
    text.push('\n');
    out.write_all(text.as_bytes())
}

/// Writes failures that repeated as one line.
pub fn write_repeats(out: &mut dyn Write, repeats: &Repeats) -> io::Result<()> {
    out.write_all(format!("{} {}\n", time::of_day(repeats.unix_ns), repeated(repeats)).as_bytes())
}

/// One event, without the end of the line: time of day in UTC, what, who, and the rest.
pub fn line(timed: &Timed) -> String {
    format!("{} {}", time::of_day(timed.unix_ns), text(&timed.event))
}

/// One event without its time: what, who, and the rest.
pub fn text(event: &Event) -> String {
    let who = event_who(event).unwrap_or_default();
    assembled(event, &who, &what(event))
}

/// A row of a feed without its time: of failures that repeated the last, with their number.
pub fn row(row: &EventRow) -> String {
    let event = &row.timed.event;
    match (event, row.count) {
        (Event::SetupFailed { .. } | Event::SubmitFailed { .. }, 2..) => {
            let (errno, reason) = failure(event);
            let who = event.actor().map(who).unwrap_or_default();
            assembled(event, &who, &format!("{errno}: x {}: {reason}", grouped(row.count)))
        }
        _ => text(event),
    }
}

/// Failures that repeated, without the time: as the last of them, with their number before its reason.
fn repeated(repeats: &Repeats) -> String {
    let event = &repeats.last.event;
    let processes = if repeats.mixed { None } else { processes(repeats.processes) };
    let how_often = match (repeats.count, repeats.quiet_ns) {
        (0, quiet) => {
            let since = time::of_day(repeats.since_unix_ns);
            let total = grouped(repeats.total);
            format!("stopped: none for {}, {total} in all since {since}", rounded(quiet))
        }
        (count, quiet) => {
            let state = if quiet < STILL_NS {
                "still failing".to_owned()
            } else {
                format!("the last {} ago", rounded(quiet))
            };
            format!("x {} in {}, {state}", grouped(count), rounded(repeats.over_ns))
        }
    };
    let how_often = [Some(how_often), processes].into_iter().flatten().collect::<Vec<_>>().join(", ");
    if repeats.mixed {
        let what = format!("{how_often}: more than {MOST_KINDS} kinds of failures at a time");
        return format!("{:<WORD$} {:<WHO$}{what}", event.word(), "others");
    }
    let (errno, reason) = failure(event);
    // Once they have stopped, the numbers of the reason are old.
    let what = if repeats.count == 0 {
        format!("{errno}: {how_often}")
    } else {
        format!("{errno}: {how_often}: {reason}")
    };
    assembled(event, &event.actor().map(who).unwrap_or_default(), &what)
}

/// Of how many processes, if they are several.
fn processes(count: usize) -> Option<String> {
    match count {
        0 | 1 => None,
        MOST_PROCESSES.. => Some(format!("{MOST_PROCESSES} processes or more")),
        count => Some(format!("{count} processes")),
    }
}

/// What happened, who did it, the rest, and of whom.
fn assembled(event: &Event, who: &str, what: &str) -> String {
    let mut text = format!("{:<WORD$} {who}", event.word());
    if !who.is_empty() {
        text.extend(std::iter::repeat_n(' ', WHO.saturating_sub(who.width()).max(1)));
    }
    text.push_str(what);
    if let Some(owner) = event.actor().and_then(|actor| actor.owner.as_deref()) {
        let name = escaped(owner.short_workload().as_bytes());
        if !name.is_empty() {
            // Writing to a String cannot fail.
            let _ = write!(text, " (in {name})");
        }
    }
    text
}

fn event_who(event: &Event) -> Option<String> {
    if let Event::Growth { growing, .. } = event {
        return Some(holder::name(&growing.owner));
    }
    event.actor().map(who)
}

/// `comm[pid/tid]`, or `comm[pid]` where no thread is known.
fn who(actor: &Actor) -> String {
    let comm = escaped(&actor.comm);
    match actor.tid.0 {
        0 => format!("{comm}[{}]", actor.pid),
        tid => format!("{comm}[{}/{tid}]", actor.pid),
    }
}

fn what(event: &Event) -> String {
    match event {
        Event::Existing { context, max_reqs, .. } | Event::Setup { context, max_reqs, .. } => {
            of_context(*context, *max_reqs)
        }
        Event::SetupFailed { .. } => how_often(event, event.stands_for()),
        Event::SubmitFailed { failure: SubmitFailure { count, .. }, .. } => how_often(event, *count),
        Event::Destroy { context, max_reqs, took_ns, .. } => {
            format!("{}, took {}", of_context(*context, *max_reqs), duration(*took_ns))
        }
        Event::Exec { contexts, .. } => {
            format!("{} ended with the old program", plural(*contexts, "context"))
        }
        Event::Exit { contexts, .. } => format!("{} ended with the process", plural(*contexts, "context")),
        Event::Dying { of, doing, waited_ns, .. } => dying(*of, *doing, *waited_ns),
        Event::Gone { context, waited_ns, .. } => {
            let what = if context.is_known() {
                format!("{context} is")
            } else {
                "contexts that cannot be named are".to_owned()
            };
            format!("{what} gone, waited {}", duration(*waited_ns))
        }
        Event::Lost { count } => format!("{} missed", plural(*count, "event")),
        Event::Growth { growing, .. } => growth::in_words(growing),
        Event::Healed { count } => format!("{} corrected by a new census", plural(*count, "context")),
    }
}

/// Of a failure, errno and reason, with the number of calls between them if there are several.
fn how_often(event: &Event, count: u64) -> String {
    let (errno, reason) = failure(event);
    match count {
        1 => format!("{errno}: {reason}"),
        count => format!("{errno}: x {}: {reason}", grouped(count)),
    }
}

/// Of a failure, its errno, after the call where it is not io_setup, and why; empty of another event.
fn failure(event: &Event) -> (String, String) {
    match event {
        Event::SetupFailed { failure, .. } => {
            (errno::name(failure.errno).into_owned(), escape(&setup_failure::in_words(failure)))
        }
        Event::SubmitFailed { failure, .. } => (
            format!("{} {}", failure.call.name(), errno::name(failure.errno)),
            escape(submit_failure::in_words(failure).as_bytes()),
        ),
        Event::Existing { .. }
        | Event::Setup { .. }
        | Event::Destroy { .. }
        | Event::Exec { .. }
        | Event::Exit { .. }
        | Event::Dying { .. }
        | Event::Gone { .. }
        | Event::Growth { .. }
        | Event::Lost { .. }
        | Event::Healed { .. } => (String::new(), String::new()),
    }
}

/// What is waited for, where, and for how long so far.
fn dying(of: Awaited, doing: Doing, waited_ns: Option<u64>) -> String {
    let what = match (of.context.is_known(), of.contexts) {
        (true, _) => of_context(of.context, of.max_reqs.unwrap_or(0)),
        (false, Some(1)) => "1 context that cannot be named".to_owned(),
        (false, Some(count)) => format!("{count} contexts that cannot be named"),
        (false, None) => "contexts that cannot be named".to_owned(),
    };
    let left = of.in_flight.map(|left| format!(", {} left", plural(left, "request"))).unwrap_or_default();
    let place = match doing {
        Doing::Destroy => "in io_destroy",
        Doing::Exit => "in exit",
        Doing::Exec => "in exec",
        Doing::LastUse => "as the last user of its memory",
    };
    let age = waited_ns.map(|ns| format!(" for {}", duration(ns))).unwrap_or_default();
    format!("{what}{left}: waiting {place}{age}")
}

/// No context has a max_reqs of 0: where it stands, the number was not seen.
fn of_context(context: ContextId, max_reqs: u32) -> String {
    match max_reqs {
        0 => format!("{context} max_reqs -"),
        max_reqs => format!("{context} max_reqs {max_reqs}"),
    }
}

fn plural(count: impl Into<u64>, noun: &str) -> String {
    match count.into() {
        1 => format!("1 {noun}"),
        count => format!("{count} {noun}s"),
    }
}

/// Three digits or more, in the unit that makes the number smaller than 1000; cut off, not rounded, so that none becomes the next unit.
pub(super) fn duration(ns: u64) -> String {
    let (unit, one, below) = match ns {
        0..1_000 => return format!("{ns} ns"),
        1_000..1_000_000 => ("us", 1_000, 1),
        1_000_000..1_000_000_000 => ("ms", 1_000_000, 1_000),
        1_000_000_000.. => ("s", 1_000_000_000, 1_000_000),
    };
    let (whole, part) = (ns / one, ns % one / below);
    let mut text = whole.to_string();
    let digits = 3_usize.saturating_sub(text.len());
    if digits > 0 {
        // Writing to a String cannot fail.
        let _ = write!(text, ".{}", format!("{part:03}").chars().take(digits).collect::<String>());
    }
    format!("{text} {unit}")
}

/// A [`duration`] in whole seconds where it has some.
fn rounded(ns: u64) -> String {
    match ns {
        995_000_000.. => format!("{} s", ns.saturating_add(500_000_000) / 1_000_000_000),
        _ => duration(ns),
    }
}

/// `4,812`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && digits.len().saturating_sub(place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;
