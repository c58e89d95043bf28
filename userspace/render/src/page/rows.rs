//! The table of contexts: its columns, what is filtered and how it is sorted, and the rows.
//!
//! page.js is handed the columns with the headings: name, type and usual order are attributes of each.

use std::fmt::Write as _;
use std::sync::LazyLock;

use aioinspect_model::finding::Finding;
use aioinspect_model::picture::ContextView;
use aioinspect_model::units::age;

use crate::fields::cell::Cell;
use crate::fields::order::Order;
use crate::fields::{Field, View, search};
use crate::owner_name::owner_name;
use crate::page::html::{put, text};
use crate::page::query::PageQuery;

/// Rows that are shown at most, here and in page.js.
pub(super) const MOST_ROWS: usize = 500;

/// The columns, as they stand.
static COLUMNS: LazyLock<Vec<Field>> = LazyLock::new(|| Field::on(View::Page).collect());

/// Reads `max_reqs` or `-max_reqs`; without any, who has the most slots reserved stands at the top.
fn order(query: &PageQuery) -> Order {
    let asked = query.sort.as_deref().unwrap_or_default();
    let (name, reverse) = asked.strip_prefix('-').map_or((asked, false), |name| (name, true));
    let field = COLUMNS.iter().find(|field| field.heading().eq_ignore_ascii_case(name));
    field.map_or(Order::by(Field::MaxReqs), |field| Order { field: *field, reverse })
}

/// The contexts that the query asks for, in its order.
pub(super) fn chosen<'a>(contexts: &[&'a ContextView], query: &PageQuery) -> Vec<&'a ContextView> {
    let order = order(query);
    let wanted = query.q.as_deref().map(|q| q.trim().to_lowercase());
    let is_wanted = |context: &ContextView| {
        query.owner.as_deref().is_none_or(|owner| owner_name(context) == owner)
            && wanted.as_deref().is_none_or(|text| search::has(context, text))
    };
    let rows = contexts.iter().copied().filter(|context| is_wanted(context));
    let mut rows: Vec<_> = rows.map(|context| (order.field.of(context).rank(), context)).collect();
    rows.sort_by(|(a, one), (b, other)| {
        order.compare(*a, *b).then_with(|| (one.pid, one.context).cmp(&(other.pid, other.context)))
    });
    rows.into_iter().map(|(_, context)| context).collect()
}

/// Appends the headings: each a link that sorts, or sorts the other way if it does already.
pub(super) fn headings(query: &PageQuery, out: &mut String) {
    let order = order(query);
    for field in COLUMNS.iter().copied() {
        let name = field.heading().to_ascii_lowercase();
        let (sort, state) = match (field == order.field, order.reverse, order.descends()) {
            (false, _, _) => (name.clone(), "none"),
            (true, reverse, descends) => (
                if reverse { name.clone() } else { format!("-{name}") },
                if descends { "descending" } else { "ascending" },
            ),
        };
        let _ = write!(
            out,
            "<th scope=\"col\"{} data-id=\"{}\" data-type=\"{}\" data-first=\"{}\" title=\"{}\" \
             data-sort=\"{name}\" aria-sort=\"{state}\"><a href=\"{}\">{}</a></th>",
            class(field),
            field.row().id,
            field.row().script,
            if field.row().greatest_first { "greatest" } else { "least" },
            text(field.row().help),
            text(&query.link(Some(&sort), None)),
            field.heading(),
        );
    }
}

fn class(field: Field) -> &'static str {
    if field.is_right() { " class=\"n\"" } else { "" }
}

/// Appends the rows, [`MOST_ROWS`] at most.
pub(super) fn rows(contexts: &[&ContextView], query: &PageQuery, out: &mut String) {
    for context in contexts.iter().take(MOST_ROWS) {
        row(Some(context), query, out);
    }
}

/// Appends the row of a context; of none, the row that page.js copies and fills.
pub(super) fn row(context: Option<&ContextView>, query: &PageQuery, out: &mut String) {
    let key = context.map_or_else(String::new, |of| format!("{}:{}{}", of.pid, of.context, mark(of)));
    let id = context.map(|of| (of.pid.0, of.context.0));
    let open = if id.is_some() && query.selected() == id { " class=\"open\"" } else { "" };
    let _ = write!(out, "<tr data-key=\"{key}\"{open}>");
    for field in COLUMNS.iter().copied() {
        let _ = write!(out, "<td{}>", class(field));
        let cell = context.map_or(Cell::Unknown, |context| field.of(context));
        match field.row().script {
            "address" => {
                let link = id.map_or_else(String::new, |id| query.link(query.sort.as_deref(), Some(id)));
                let shown = if context.is_some() { cell.text() } else { String::new() };
                let _ = write!(out, "<a href=\"{}\">{shown}</a>", text(&link));
            }
            "percent" => fill(cell, out),
            "findings" => codes(context, out),
            _ if context.is_some() => put(&cell.text(), out),
            _ => {}
        }
        out.push_str("</td>");
    }
    out.push_str("</tr>\n");
}

/// A percentage as a text and a bar.
fn fill(cell: Cell<'_>, out: &mut String) {
    let width = if let Cell::Percent(percent) = cell { percent } else { 0 };
    let _ = write!(
        out,
        "<span>{}</span><svg class=\"fill\" viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <rect width=\"{width}\" height=\"8\"/></svg>",
        cell.text()
    );
}

/// Appends the codes of the findings of a context, the worst first, in the colours of `list`, and the age of one that is
/// dying; `-` for none.
pub(super) fn codes(context: Option<&ContextView>, out: &mut String) {
    let findings = context.map_or(&[] as &[Finding], |context| &context.findings);
    if findings.is_empty() {
        out.push('-');
    }
    for (place, finding) in Finding::worst_first(findings).into_iter().enumerate() {
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
pub(super) fn mark(context: &ContextView) -> &'static str {
    if context.is_dying() { "!" } else { "" }
}

/// How a finding is coloured.
pub(super) fn class_of(finding: Finding) -> &'static str {
    if finding.is_wrong() { "bad" } else { "pending" }
}
