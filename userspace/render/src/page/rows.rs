//! The table of contexts: its columns, what is filtered and how it is sorted, and the rows.

use std::borrow::Cow;
use std::cmp::{Ordering, Reverse};
use std::fmt::Write as _;

use crate::escape::escaped;
use crate::owner_label::owner_label;
use crate::screen::field::percent_taken;
use crate::screen::severity::{severity, worst, worst_first};
use aioinspect_model::finding::Finding;
use aioinspect_model::picture::ContextView;
use aioinspect_model::units::age;

use crate::page::html::{number, or_dash, put, text};
use crate::page::query::PageQuery;

/// Rows that are shown at most, here and in page.js.
pub const MOST_ROWS: usize = 500;

/// A column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The process.
    Pid,
    /// Its name.
    Comm,
    /// Container, pod or unit.
    Owner,
    /// Context id.
    Context,
    /// Its cost of aio-max-nr.
    MaxReqs,
    /// Requests in flight.
    InFlight,
    /// Completions that nobody reaped.
    Unreaped,
    /// How much of the ring is taken.
    Fill,
    /// The worst finding.
    Findings,
}

impl By {
    /// In the order in which they stand: column, its heading, whether the largest comes first.
    const ALL: [(By, &'static str, bool); 9] = [
        (By::Pid, "PID", false),
        (By::Comm, "COMM", false),
        (By::Owner, "OWNER", false),
        (By::Context, "CONTEXT", false),
        (By::MaxReqs, "MAX_REQS", true),
        (By::InFlight, "IN_FLIGHT", true),
        (By::Unreaped, "UNREAPED", true),
        (By::Fill, "FILL", true),
        (By::Findings, "FINDINGS", true),
    ];

    fn is_number(self) -> bool {
        !matches!(self, By::Comm | By::Owner | By::Findings)
    }
}

/// A column that is sorted by, and whether the order is not the column's usual one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    by: By,
    largest_first: bool,
    turned: bool,
}

impl Order {
    /// Reads `max_reqs` or `-max_reqs`; without any, who holds the most stands at the top.
    pub fn of(query: &PageQuery) -> Order {
        let asked = query.sort.as_deref().unwrap_or_default();
        let (name, turned) = asked.strip_prefix('-').map_or((asked, false), |name| (name, true));
        By::ALL.iter().find(|(_, heading, _)| heading.eq_ignore_ascii_case(name)).map_or(
            Order { by: By::MaxReqs, largest_first: true, turned: false },
            |(by, _, largest)| Order { by: *by, largest_first: *largest != turned, turned },
        )
    }
}

/// What a context is sorted by.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Value<'a> {
    Number(u64),
    Text(Cow<'a, str>),
}

/// The contexts that the query asks for, in its order. What is not known comes last, either way.
pub fn chosen<'a>(contexts: &[&'a ContextView], query: &PageQuery) -> Vec<&'a ContextView> {
    let order = Order::of(query);
    let wanted = query.q.as_deref().map(|q| q.trim().to_lowercase());
    let mut rows: Vec<(Option<Value<'a>>, &ContextView)> = contexts
        .iter()
        .filter(|context| wanted.as_deref().is_none_or(|wanted| has(context, wanted)))
        .map(|context| (value(order.by, context), *context))
        .collect();
    rows.sort_by(|(a, one), (b, other)| {
        let found = match (a, b) {
            (Some(a), Some(b)) if order.largest_first => b.cmp(a),
            (Some(a), Some(b)) => a.cmp(b),
            (None, None) => Ordering::Equal,
            (a, b) => Reverse(a.is_some()).cmp(&Reverse(b.is_some())),
        };
        found.then_with(|| (one.pid, one.context).cmp(&(other.pid, other.context)))
    });
    rows.into_iter().map(|(_, context)| context).collect()
}

/// Whether one of the texts of a context, in lower case, has `wanted` in it.
fn has(context: &ContextView, wanted: &str) -> bool {
    let owner = &context.owner;
    let has = |text: &str| text.to_lowercase().contains(wanted);
    has(&escaped(&context.comm))
        || [&owner.container, &owner.pod, &owner.unit].into_iter().any(|text| has(&escaped(text.as_bytes())))
        || has(&context.pid.to_string())
        || context.findings.iter().any(|finding| has(finding.code()))
}

fn value(by: By, context: &ContextView) -> Option<Value<'_>> {
    let number = |known: Option<u32>| known.map(|number| Value::Number(number.into()));
    match by {
        By::Pid => number(Some(context.pid.0)),
        By::Comm => Some(Value::Text(escaped(&context.comm))),
        By::Owner => Some(owner_label(&context.owner)).filter(|owner| !owner.is_empty()).map(Value::Text),
        By::Context => Some(context.context).filter(|id| id.is_known()).map(|id| Value::Number(id.0)),
        By::MaxReqs => number(context.max_reqs),
        By::InFlight => number(context.in_flight),
        By::Unreaped => number(context.unreaped),
        By::Fill => number(percent_taken(context)),
        By::Findings => {
            worst(context.findings.iter().copied()).map(|finding| Value::Number(severity(finding).into()))
        }
    }
}

/// Appends the headings: each a link that sorts, or sorts the other way if it does already.
pub fn headings(query: &PageQuery, out: &mut String) {
    let order = Order::of(query);
    for (by, heading, _) in By::ALL {
        let name = heading.to_ascii_lowercase();
        let (sort, state) = match (by == order.by, order.turned, order.largest_first) {
            (false, _, _) => (name.clone(), "none"),
            (true, turned, largest) => (
                if turned { name.clone() } else { format!("-{name}") },
                if largest { "descending" } else { "ascending" },
            ),
        };
        let class = if by.is_number() { " class=\"n\"" } else { "" };
        let _ = write!(
            out,
            "<th scope=\"col\"{class} data-sort=\"{name}\" aria-sort=\"{state}\"><a href=\"{}\">{heading}</a></th>",
            text(&query.link(Some(&sort), None))
        );
    }
}

/// Appends the rows, [`MOST_ROWS`] at most.
pub fn rows(contexts: &[&ContextView], query: &PageQuery, out: &mut String) {
    for context in contexts.iter().take(MOST_ROWS) {
        row(Some(context), query, out);
    }
}

/// Appends the row of a context; of none, the row that page.js copies and fills.
pub fn row(context: Option<&ContextView>, query: &PageQuery, out: &mut String) {
    let Some(context) = context else {
        out.push_str(
            "<tr data-key=\"\"><td class=\"n\"></td><td></td><td></td><td class=\"n\"><a href=\"\"></a></td>\
             <td class=\"n\"></td><td class=\"n\"></td><td class=\"n\"></td><td class=\"n\">",
        );
        fill(None, out);
        out.push_str("</td><td></td></tr>");
        return;
    };
    let (pid, id) = (context.pid, context.context);
    let open = query.selected() == Some((pid.0, id.0));
    let link = query.link(query.sort.as_deref(), Some((pid.0, id.0)));
    let _ = write!(
        out,
        "<tr data-key=\"{pid}:{id}{}\"{}><td class=\"n\">{pid}</td><td>{}</td><td>{}</td><td class=\"n\"><a href=\"{}\">{id}</a></td>",
        mark(context),
        if open { " class=\"open\"" } else { "" },
        text(or_dash(&escaped(&context.comm))),
        text(or_dash(&owner_label(&context.owner))),
        text(&link),
    );
    for known in [context.max_reqs, context.in_flight, context.unreaped] {
        let _ = write!(out, "<td class=\"n\">{}</td>", number(known));
    }
    out.push_str("<td class=\"n\">");
    fill(percent_taken(context), out);
    out.push_str("</td><td>");
    codes(Some(context), out);
    out.push_str("</td></tr>\n");
}

/// A percentage as a text and a bar.
fn fill(percent: Option<u32>, out: &mut String) {
    let width = percent.unwrap_or(0);
    let shown = percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent}%"));
    let _ = write!(
        out,
        "<span>{shown}</span><svg class=\"fill\" viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <rect width=\"{width}\" height=\"8\"/></svg>"
    );
}

/// Appends the codes of the findings of a context, the worst first, in the colours of `list`, and the age of one that is dying; `-` for none.
pub fn codes(context: Option<&ContextView>, out: &mut String) {
    let findings = context.map_or(&[] as &[Finding], |context| &context.findings);
    if findings.is_empty() {
        out.push('-');
    }
    for (place, finding) in worst_first(findings).into_iter().enumerate() {
        let _ = write!(
            out,
            "{}<span class=\"f {}\" title=\"",
            if place > 0 { " " } else { "" },
            class_of(finding)
        );
        put(finding.says(), out);
        let _ = write!(out, "\">{}</span>", finding.code());
    }
    if let Some(ns) = context.and_then(|context| context.dying_ns) {
        let _ = write!(out, " {}", age(ns));
    }
}

/// What tells its row from others: a dying context may have the id of another that was made since.
pub fn mark(context: &ContextView) -> &'static str {
    if context.is_dying() { "!" } else { "" }
}

/// How a finding is coloured.
pub fn class_of(finding: Finding) -> &'static str {
    if finding.is_wrong() { "bad" } else { "pending" }
}
