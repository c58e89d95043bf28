//! The table of owners: who has the slots reserved, the one with the most of them first.
//!
//! page.js makes the same rows of the same contexts: name, and sums with `+` where not all numbers are known.

use std::fmt::Write as _;

use aioinspect_model::owner_groups::{OwnerGroup, by_owner};
use aioinspect_model::owner_sums::Sum;
use aioinspect_model::picture::{ContextView, Picture};

use crate::owner_name::owner_name;
use crate::page::html::{put, text};
use crate::page::percent;
use crate::page::query::PageQuery;

/// Owners that are shown at most, here and in page.js.
pub(super) const MOST_OWNERS: usize = 50;

/// Appends the headings.
pub(super) fn headings(out: &mut String) {
    for (class, heading, help) in [
        (
            "",
            "OWNER",
            "workload of the processes: pod, else container, else systemd unit or session, else path of the cgroup",
        ),
        (" class=\"n\"", "PROCESSES", "processes that have contexts"),
        (" class=\"n\"", "CONTEXTS", "number of their contexts"),
        (" class=\"n\"", "RESERVED", "slots reserved of fs.aio-max-nr: the sum of max_reqs"),
        (" class=\"n\"", "SHARE", "share of the limit fs.aio-max-nr"),
        (" class=\"n\"", "IN_FLIGHT", "requests submitted and not completed"),
    ] {
        let _ = write!(out, "<th scope=\"col\"{class} title=\"{help}\">{heading}</th>");
    }
}

/// The owners of a picture.
pub(super) struct Owners<'a> {
    contexts: &'a [ContextView],
    groups: Vec<OwnerGroup>,
    limit: u64,
}

impl<'a> Owners<'a> {
    /// Sums them.
    pub(super) fn of(picture: &'a Picture) -> Self {
        let contexts = picture.contexts.as_slice();
        let groups = by_owner(contexts, 0..contexts.len());
        Self { contexts, groups, limit: picture.system.aio_max_nr }
    }

    /// Appends the rows, [`MOST_OWNERS`] at most.
    pub(super) fn rows(&self, query: &PageQuery, out: &mut String) {
        for owner in self.groups.iter().take(MOST_OWNERS) {
            let example = self.contexts.get(owner.example);
            row(example.map(|example| (owner, example, self.limit)), query, out);
        }
    }

    /// What the rows leave out.
    pub(super) fn more(&self) -> String {
        let rest = self.groups.iter().skip(MOST_OWNERS);
        let slots =
            rest.fold(0_u64, |sum, owner| sum.saturating_add(owner.sums.reserved.value().unwrap_or(0)));
        match self.groups.len().saturating_sub(MOST_OWNERS) {
            0 => String::new(),
            1 => format!("1 more owner reserves {slots}"),
            more => format!("{more} more owners reserve {slots}"),
        }
    }
}

/// Appends the row of an owner; of none, the row that page.js copies and fills.
pub(super) fn row(owner: Option<(&OwnerGroup, &ContextView, u64)>, query: &PageQuery, out: &mut String) {
    let name = owner.map_or_else(String::new, |(_, example, _)| owner_name(example).into_owned());
    let is_open = owner.is_some() && query.owner.as_deref() == Some(&*name);
    let open = if is_open { " class=\"open\"" } else { "" };
    // Who clicks on the owner that is chosen wants to see all again.
    let link = query.owner_link(if is_open { None } else { Some(&name) });
    let (key, link) = (text(&name), text(&link));
    let _ = write!(
        out,
        "<tr data-key=\"{key}\"{open}><td><a href=\"{link}\" data-owner=\"{key}\">{key}</a></td>"
    );
    let cells = owner.map_or_else(Default::default, |(owner, _, limit)| {
        let sums = &owner.sums;
        let share = sums.reserved.value().map_or_else(|| "-".to_owned(), |slots| percent(slots, limit));
        [
            sums.processes.to_string(),
            sums.contexts.to_string(),
            sum(sums.reserved),
            share,
            sum(sums.in_flight),
        ]
    });
    for cell in cells {
        out.push_str("<td class=\"n\">");
        put(&cell, out);
        out.push_str("</td>");
    }
    out.push_str("</tr>\n");
}

/// `-` if nothing is known, `5+` if there is more that is not.
fn sum(sum: Sum) -> String {
    let more = if sum.has_gaps() { "+" } else { "" };
    sum.value().map_or_else(|| "-".to_owned(), |number| format!("{number}{more}"))
}
