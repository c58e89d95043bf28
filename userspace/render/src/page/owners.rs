//! The table of owners: who has the slots reserved, the one with the most of them first.
//!
//! page.js makes the same rows of the same contexts: name, sums with `+` where not all numbers are known, and shares only where all are.

use std::fmt::Write as _;

use aioinspect_model::groups::{Group, Grouping, groups};
use aioinspect_model::picture::{ContextView, Picture};

use crate::groups::{share_text, sum_text};
use crate::owner_name::owner_name;
use crate::page::html::{put, text};
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
    groups: Vec<Group>,
    limit: u64,
}

impl<'a> Owners<'a> {
    /// Sums them.
    pub(super) fn of(picture: &'a Picture) -> Self {
        let contexts = picture.contexts.as_slice();
        let groups = groups(contexts, 0..contexts.len(), Grouping::Owner);
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
pub(super) fn row(owner: Option<(&Group, &ContextView, u64)>, query: &PageQuery, out: &mut String) {
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
        [
            sums.processes.to_string(),
            sums.contexts.to_string(),
            sum_text(sums.reserved),
            share_text(sums.reserved, limit),
            sum_text(sums.in_flight),
        ]
    });
    for cell in cells {
        out.push_str("<td class=\"n\">");
        put(&cell, out);
        out.push_str("</td>");
    }
    out.push_str("</tr>\n");
}
