//! The live page of `serve`: one document with its style, its script and the data of the moment, readable without the script.
//!
//! page.js only changes what is written here: it copies the rows' templates, sets texts and attributes, and asks for the plot
//! again, which is drawn here alone. So the page has one shape, with the script and without. The Content-Security-Policy lets nothing else run or load.

mod drawing;
mod html;
mod owners;
mod panel;
mod plot;
mod query;
mod rows;
mod span;

use std::fmt::Write as _;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use aioinspect_model::errno;
use aioinspect_model::event::{Actor, Event, Timed};
use aioinspect_model::evidence::CensusSource;
use aioinspect_model::finding::Finding;
use aioinspect_model::history::History;
use aioinspect_model::owner::WORKLOAD;
use aioinspect_model::picture::{Owner, Picture};
use aioinspect_model::setup_failure;
use aioinspect_model::units::age;

use crate::escape::{escape, escaped};
use crate::fields::{Field, View};
use crate::listing::List;
use crate::page::html::{number, put, text};
use crate::page::owners::Owners;
use crate::time;

pub use crate::page::query::PageQuery;

const TEMPLATE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// Failures that are shown at most, here and in page.js.
const MOST_FAILURES: usize = 50;

/// What the page shows.
#[derive(Clone, Copy, Debug)]
pub struct PageView<'a> {
    /// The host's sums, every context and every ghost; the page filters and sorts.
    pub picture: &'a Picture,
    /// What was reserved and what failed over the last hours.
    pub history: &'a History,
    /// Up to when the plot reaches, nanoseconds since 1970.
    pub now_unix_ns: u64,
    /// The failed calls of io_setup, the newest first, and as much of waits for dying contexts; other events are passed over.
    pub failures: &'a [Timed],
    /// What the address asks for.
    pub query: &'a PageQuery,
    /// When the list was taken, nanoseconds since 1970.
    pub taken_unix_ns: u64,
    /// How events are watched: `fentry`, ..; empty for not at all.
    pub hook: &'a str,
    /// The program's version.
    pub version: &'a str,
}

/// The whole document.
pub fn render(view: &PageView<'_>) -> String {
    let list = &List::from(view.picture);
    let system = list.system;
    let query = &view.query.resolved(&list.contexts);
    let chosen = rows::chosen(&list.contexts, query);
    let owners = Owners::of(view.picture);
    let free = i128::from(system.aio_max_nr) - i128::from(system.aio_nr);
    html::fill(TEMPLATE, |gap, out| match gap {
        "css" => out.push_str(STYLE),
        "js" => out.push_str(SCRIPT),
        "reserved" => put(&system.aio_nr.to_string(), out),
        "limit" => put(&system.aio_max_nr.to_string(), out),
        "percent" => put(&percent(system.aio_nr, system.aio_max_nr), out),
        "level" => out.push_str(level(system.aio_nr, system.aio_max_nr)),
        "bar" => bar(system.aio_nr, system.aio_max_nr, out),
        "slots-free" => put(&free.to_string(), out),
        "attributed" => put(&number(system.attributed), out),
        "unattributed" => put(&number(system.unattributed), out),
        "count" => put(&alive(list).to_string(), out),
        "ghosts" => put(&list.ghosts.len().to_string(), out),
        "source" => out.push_str(match system.source {
            CensusSource::Bpf => "bpf",
            CensusSource::Proc => "proc",
        }),
        "hook" => put(html::or_dash(view.hook), out),
        "version" => put(view.version, out),
        "taken" => put(&seconds(view.taken_unix_ns), out),
        "taken-full" => put(&time::full(view.taken_unix_ns), out),
        "q" => put(query.q.as_deref().unwrap_or_default(), out),
        "kept-fields" => kept_fields(query, out),
        "plot" => plot::section(view.history, view.now_unix_ns, query, out),
        "owner-headings" => owners::headings(out),
        "owner-rows" => owners.rows(query, out),
        "owner-row" => owners::row(None, query, out),
        "owner-more" => put(&owners.more(), out),
        "most-owners" => put(&owners::MOST_OWNERS.to_string(), out),
        "only" => only(query, out),
        "headings" => rows::headings(query, out),
        "rows" => rows::rows(&chosen, query, out),
        "row" => rows::row(None, query, out),
        "more" => put(&more(chosen.len(), list.contexts.len()), out),
        "most-rows" => put(&rows::MOST_ROWS.to_string(), out),
        "most-failures" => put(&MOST_FAILURES.to_string(), out),
        "owner-rule" => out.push_str(&WORKLOAD.map(|(part, _)| part).join(" ")),
        "searched" => {
            out.push_str(&Field::on(View::Search).map(|field| field.row().id).collect::<Vec<_>>().join(" "));
        }
        "panel" => panel::panel(&list.contexts, query, out),
        "failures" => failures(view.failures, out),
        "waits" => waits(view.failures, out),
        "findings" => findings(out),
        // A gap that nobody knows stays empty; a test looks for one.
        _ => debug_assert!(false, "unknown gap {gap}"),
    })
}

/// The plot alone, as it is on the page: what page.js asks for again and again.
pub fn plot(history: &History, now_unix_ns: u64, query: &PageQuery) -> String {
    let mut out = String::new();
    plot::section(history, now_unix_ns, query, &mut out);
    out
}

/// The Content-Security-Policy under which the page works, and nothing that is brought into it.
pub fn csp() -> &'static str {
    static CSP: LazyLock<String> = LazyLock::new(|| {
        format!(
            "default-src 'none'; script-src '{}'; style-src '{}'; connect-src 'self'; img-src data:; base-uri 'none'; \
             form-action 'self'; frame-ancestors 'none'",
            hash(SCRIPT),
            hash(STYLE)
        )
    });
    &CSP
}

fn hash(inlined: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(inlined)))
}

/// `12:00:00` of that day: nobody reads the fractions while they change every two seconds.
fn seconds(unix_ns: u64) -> String {
    let full = time::of_day(unix_ns);
    full.split('.').next().unwrap_or_default().to_owned()
}

/// `3.4%` of the limit; `-` where there is none.
pub(crate) fn percent(reserved: u64, limit: u64) -> String {
    match u128::from(reserved).saturating_mul(1000).checked_div(limit.into()) {
        Some(thousandths) => format!("{}.{}%", thousandths / 10, thousandths % 10),
        None => "-".to_owned(),
    }
}

/// As the alerts have it: above 80 % a warning, above 95 % worse.
fn level(reserved: u64, limit: u64) -> &'static str {
    let (reserved, limit) = (u128::from(reserved) * 100, u128::from(limit));
    if reserved > limit * 95 {
        "bad"
    } else if reserved > limit * 80 {
        "pending"
    } else {
        "fine"
    }
}

fn bar(reserved: u64, limit: u64, out: &mut String) {
    let width = match u128::from(reserved).saturating_mul(1000).checked_div(limit.into()) {
        Some(width) => width.min(1000),
        None => 0,
    };
    let _ = write!(out, "<rect id=\"bar\" width=\"{width}\" height=\"20\"/>");
}

/// A form sends only its own fields: the order, the owner and the plot's length are among them, so that filtering keeps them.
fn kept_fields(query: &PageQuery, out: &mut String) {
    let span = query.span.map(|span| span.word().to_owned());
    for (name, value) in [("sort", &query.sort), ("owner", &query.owner), ("span", &span)] {
        if let Some(value) = value {
            let _ = write!(out, "<input type=\"hidden\" name=\"{name}\" value=\"{}\">", text(value));
        }
    }
}

/// Above the contexts, whose they are if they are not everybody's.
fn only(query: &PageQuery, out: &mut String) {
    let hidden = if query.owner.is_none() { " hidden" } else { "" };
    let (name, all) = (text(query.owner.as_deref().unwrap_or_default()), text(&query.owner_link(None)));
    let _ = write!(
        out,
        "<p id=\"only\"{hidden}>contexts of <b id=\"only-owner\">{name}</b> alone <a id=\"only-all\" href=\"{all}\">show all</a></p>"
    );
}

fn more(chosen: usize, all: usize) -> String {
    match (chosen, chosen.saturating_sub(rows::MOST_ROWS)) {
        (0, _) if all == 0 => "no process has an AIO context".to_owned(),
        (0, _) => "no context matches the filter".to_owned(),
        (_, 0) if chosen == all => String::new(),
        (_, 0) => format!("{chosen} of {all} contexts match"),
        (_, more) => {
            format!(
                "and {more} more: the first {} of {chosen} are shown, filter to see others",
                rows::MOST_ROWS
            )
        }
    }
}

fn failures(events: &[Timed], out: &mut String) {
    let failed = events.iter().filter_map(|timed| match &timed.event {
        Event::SetupFailed { by, failure } => Some((timed.unix_ns, by, failure)),
        Event::Existing { .. }
        | Event::Setup { .. }
        | Event::SubmitFailed { .. }
        | Event::Destroy { .. }
        | Event::Exec { .. }
        | Event::Exit { .. }
        | Event::Dying { .. }
        | Event::Gone { .. }
        | Event::Lost { .. }
        | Event::Healed { .. }
        | Event::Growth { .. } => None,
    });
    for (unix_ns, by, failure) in failed.take(MOST_FAILURES) {
        let at = time::full(unix_ns);
        let _ = write!(
            out,
            "<li data-key=\"{at}/{}\"><time datetime=\"{at}\">{}</time> <b>{}</b> <span>{}[{}]</span>{} io_setup({}): {}</li>",
            by.tid,
            seconds(unix_ns),
            text(&errno::name(failure.errno)),
            text(&escaped(&by.comm)),
            by.pid,
            text(&within(by)),
            failure.requested,
            text(&escape(&setup_failure::in_words(failure))),
        );
    }
}

/// Waits for dying contexts that began and ended.
fn waits(events: &[Timed], out: &mut String) {
    let told = events.iter().filter_map(|timed| match &timed.event {
        Event::Dying { by, of, doing, waited_ns } => {
            let age = waited_ns.map_or_else(String::new, |ns| format!(" for {}", age(ns)));
            let left = of.in_flight.map_or_else(String::new, |left| format!("requests left {left}, "));
            Some((timed, by, of.context, format!("{left}waits in {}{age}", doing.word())))
        }
        Event::Gone { by, context, waited_ns } => {
            Some((timed, by, *context, format!("waited {}", age(*waited_ns))))
        }
        Event::Existing { .. }
        | Event::Setup { .. }
        | Event::SetupFailed { .. }
        | Event::SubmitFailed { .. }
        | Event::Destroy { .. }
        | Event::Exec { .. }
        | Event::Exit { .. }
        | Event::Lost { .. }
        | Event::Healed { .. }
        | Event::Growth { .. } => None,
    });
    for (timed, by, context, says) in told.take(MOST_FAILURES) {
        let at = time::full(timed.unix_ns);
        let _ = write!(
            out,
            "<li data-key=\"{at}/{}/{}/{}\"><time datetime=\"{at}\">{}</time> <b>{}</b> <span>{}[{}]</span>{} {context}: {}</li>",
            by.tid,
            timed.event.word(),
            context,
            seconds(timed.unix_ns),
            timed.event.word(),
            text(&escaped(&by.comm)),
            by.pid,
            text(&within(by)),
            text(&says),
        );
    }
}

/// Contexts that are in the kernel's table.
fn alive(list: &List<'_>) -> usize {
    list.contexts.iter().filter(|context| !context.is_dying()).count()
}

/// ` in OWNER`, of one that is in any.
fn within(by: &Actor) -> String {
    match by.owner.as_deref().map_or("", Owner::short_workload) {
        "" => String::new(),
        name => format!(" in {}", escaped(name.as_bytes())),
    }
}

/// What each code means: for the reader, and for page.js, which reads how bad it is from here.
fn findings(out: &mut String) {
    for finding in Finding::worst_first(Finding::ALL) {
        let _ = write!(
            out,
            "<dt class=\"f {}\" data-code=\"{code}\" data-severity=\"{}\">{code}</dt><dd>{}</dd>",
            rows::class_of(finding),
            finding.severity().rank(),
            text(finding.says()),
            code = finding.code(),
        );
    }
}

#[cfg(test)]
mod tests;
