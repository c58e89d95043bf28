//! The plot of the last hours: what owners reserved, one above the other, under the limit; and below it what failed.
//!
//! ```text
//! 65536 - - - - - - - - - - - - -  limit
//!                   ____          owners not known
//!        __________|    |_______   not attributed
//!        ________________________  others
//!        ________________________  mariadb.service
//!            |          ||         failed calls of io_setup
//!      12:00        12:05    UTC
//! ```
//!
//! It is drawn here and nowhere else: page.js asks for this section again. Each layer of the stack is drawn down to the base, and the
//! lower ones over it. All lengths are whole, most of them relative, and what does not change from column to column takes no place:
//! so the plot weighs little, whatever it shows.

use std::collections::HashMap;
use std::fmt::Write as _;

use aioinspect_model::history::{Column, History, Moment};

use crate::page::html::{put, text};
use crate::page::query::PageQuery;
use crate::page::span::{COLUMNS, Span};
use crate::time;

/// Owners that have a colour of their own.
const LAYERS: usize = 8;
/// For how long what was measured holds: `serve` measures every five seconds.
const HOLD_NS: u64 = 20_000_000_000;

/// Where everything is.
const LEFT: u64 = 62;
const COLUMN: u64 = 8;
const RIGHT: u64 = LEFT + COLUMN * COLUMNS as u64;
const TOP: u64 = 14;
const BASE: u64 = 174;
const FAILURES_TOP: u64 = 184;
const FAILURES_BASE: u64 = 206;
const HEIGHT: u64 = 226;

/// A part of the stack.
struct Layer {
    /// Its owner; `None`: all others, or nobody.
    owner: Option<String>,
    says: &'static str,
    class: String,
    slots: Vec<Option<u64>>,
    /// What it is now.
    now: u64,
}

impl Layer {
    /// `of`: how high it is at a moment.
    fn new(
        (columns, now): (&[Column], &Moment),
        (owner, says, class): (Option<String>, &'static str, String),
        of: impl Fn(&Moment) -> Option<u64>,
    ) -> Self {
        let slots = columns.iter().map(|column| of(column.moment.as_ref()?)).collect();
        Self { owner, says, class, slots, now: of(now).unwrap_or(0) }
    }

    fn name(&self) -> &str {
        self.owner.as_deref().unwrap_or(self.says)
    }
}

/// Appends the section: the picture, and a legend that leads to the owners.
pub(super) fn section(history: &History, now_ns: u64, query: &PageQuery, out: &mut String) {
    let span = query.span.unwrap_or_else(|| Span::of(history, now_ns));
    let columns = history.columns(now_ns, span.step_ns(), COLUMNS, HOLD_NS);
    let _ = write!(
        out,
        "<section id=\"history\" aria-label=\"slots over time\" data-span=\"{}\"><header><h2>Last {}</h2><nav aria-label=\"time\">",
        span.word(),
        span.says()
    );
    for one in Span::ALL {
        let current = if one == span { " aria-current=\"true\"" } else { "" };
        let link = text(&query.span_link(one));
        let _ = write!(out, "<a href=\"{link}\" data-span=\"{}\"{current}>{}</a>", one.word(), one.says());
    }
    out.push_str("</nav></header>");
    // Columns have the fullest moments: of what shrinks, the last of them tells what was.
    let last = columns.iter().rev().find_map(|column| column.moment.as_ref());
    let Some(now) = history.now(now_ns, HOLD_NS).or(last) else {
        out.push_str("<p class=\"note\">nothing is known of this time</p></section>");
        return;
    };
    let layers = layers(&columns, now, query.owner.as_deref());
    let failed = columns.iter().fold(0_u64, |sum, column| sum.saturating_add(column.failures));
    Picture { columns: &columns, layers: &layers, now, failed, now_ns, span }.draw(out);
    legend(&layers, failed, query, out);
    out.push_str("</section>");
}

/// The parts of the stack, from the lowest: the owner that is chosen, the largest others, the rest, what was found at nobody,
/// and what nobody looked at.
fn layers(columns: &[Column], now: &Moment, chosen: Option<&str>) -> Vec<Layer> {
    let mut greatest: HashMap<String, u64> = HashMap::new();
    let moments = columns.iter().filter_map(|column| column.moment.as_ref()).chain([now]);
    for holders in moments.filter_map(|moment| moment.holders.as_ref()) {
        for (name, slots) in holders.owners() {
            match greatest.get_mut(name) {
                Some(known) => *known = (*known).max(slots),
                None => drop(greatest.insert(name.to_owned(), slots)),
            }
        }
    }
    let mut owners: Vec<(String, u64)> = greatest.into_iter().collect();
    owners.sort_by(|(one, a), (other, b)| {
        let is_chosen = |name: &String| chosen == Some(name.as_str());
        (is_chosen(other), b).cmp(&(is_chosen(one), a)).then_with(|| one.cmp(other))
    });
    owners.truncate(LAYERS);
    let has_chosen = owners.iter().any(|(name, _)| chosen == Some(name.as_str()));
    let mut layers = Vec::new();
    for (place, (name, _)) in owners.iter().enumerate() {
        let faint = if has_chosen && place > 0 { " faint" } else { "" };
        let of = |moment: &Moment| Some(moment.holders.as_ref()?.of(name));
        layers.push(Layer::new((columns, now), (Some(name.clone()), "", format!("o{place}{faint}")), of));
    }
    let faint = if has_chosen { " faint" } else { "" };
    let others = |moment: &Moment| {
        let holders = moment.holders.as_ref()?;
        let told = owners.iter().fold(0_u64, |sum, (name, _)| sum.saturating_add(holders.of(name)));
        Some(holders.sum().saturating_sub(told))
    };
    let rest = |says, class: &str| (None, says, format!("{class}{faint}"));
    let drawn = (columns, now);
    for layer in [
        Layer::new(drawn, rest("other owners", "others"), others),
        Layer::new(drawn, rest("not attributed", "nobodys"), Moment::unattributed),
        // Where nobody looked, all is.
        Layer::new(drawn, rest("owners not known", "unknown"), |moment| Some(moment.unknown)),
    ] {
        if layer.slots.iter().flatten().chain([&layer.now]).any(|slots| *slots > 0) {
            layers.push(layer);
        }
    }
    layers
}

struct Picture<'a> {
    columns: &'a [Column],
    layers: &'a [Layer],
    now: &'a Moment,
    failed: u64,
    now_ns: u64,
    span: Span,
}

impl Picture<'_> {
    fn draw(&self, out: &mut String) {
        let moments = || self.columns.iter().filter_map(|column| column.moment.as_ref());
        let height = |moment: &Moment| {
            let owners = moment.holders.as_ref().map_or(0, |of| of.sum());
            moment.reserved.max(owners.saturating_add(moment.unknown))
        };
        let peak = moments().map(height).max().unwrap_or(0);
        let limit = moments().map(|moment| moment.limit).max().unwrap_or(0);
        let scale = Scale::of(peak, limit);
        let _ = write!(
            out,
            "<svg id=\"plot\" viewBox=\"0 0 {} {HEIGHT}\" role=\"img\" aria-label=\"slots over the last {}: {} reserved now, {peak} at most, \
             limit {}; {} calls failed\">",
            RIGHT + COLUMN,
            self.span.says(),
            self.now.reserved,
            self.now.limit,
            self.failed,
        );
        self.gaps(out);
        for tick in scale.ticks() {
            let y = scale.y(tick);
            let _ = write!(
                out,
                "<path class=\"grid\" d=\"M{LEFT} {y}H{RIGHT}\"/><text class=\"y\" x=\"{}\" y=\"{}\">{tick}</text>",
                LEFT - 6,
                y.saturating_add(4),
            );
        }
        for (place, layer) in self.layers.iter().enumerate().rev() {
            let below = self.layers.get(..=place).unwrap_or_default();
            let height = |column: usize| {
                let slots = below.iter().filter_map(|layer| layer.slots.get(column).copied().flatten());
                slots.fold(0_u64, u64::saturating_add)
            };
            let edge: Vec<Option<u64>> = (layer.slots.iter().enumerate())
                .map(|(column, slots)| slots.map(|_| scale.y(height(column))))
                .collect();
            let owner = layer
                .owner
                .as_ref()
                .map_or_else(String::new, |name| format!(" data-owner=\"{}\"", text(name)));
            let _ = write!(out, "<path class=\"layer {}\"{owner} d=\"", layer.class);
            for (first, end) in stretches(&edge) {
                let _ = write!(out, "M{} {BASE}", x(first));
                steps(edge.get(first..end).unwrap_or_default(), BASE, out);
                let _ = write!(out, "V{BASE}z");
            }
            let _ = write!(out, "\"><title>{}: {} now</title></path>", text(layer.name()), layer.now);
        }
        self.limit(&scale, limit, out);
        self.failures(out);
        self.times(out);
        out.push_str("</svg>");
    }

    /// Where nothing is known.
    fn gaps(&self, out: &mut String) {
        let known: Vec<Option<u64>> =
            self.columns.iter().map(|column| column.moment.is_none().then_some(0)).collect();
        out.push_str("<path class=\"gap\" d=\"");
        for (first, end) in stretches(&known) {
            let _ = write!(out, "M{} {TOP}H{}V{BASE}H{0}z", x(first), x(end));
        }
        out.push_str("\"><title>not known</title></path>");
    }

    /// The limit, where it is not far above all that is reserved.
    fn limit(&self, scale: &Scale, highest: u64, out: &mut String) {
        let y = |limit: u64| scale.y(limit.min(scale.top));
        let edge: Vec<Option<u64>> =
            self.columns.iter().map(|column| Some(y(column.moment.as_ref()?.limit))).collect();
        let (label, limit, more) = if scale.has_limit {
            out.push_str("<path class=\"limit\" d=\"");
            for (first, end) in stretches(&edge) {
                let from = edge.get(first).copied().flatten().unwrap_or(TOP);
                let _ = write!(out, "M{} {from}", x(first));
                steps(edge.get(first..end).unwrap_or_default(), from, out);
            }
            out.push_str("\"/>");
            (y(self.now.limit), self.now.limit, "")
        } else {
            (TOP, highest, ", above the plot")
        };
        let label = label.saturating_sub(3).max(10);
        let _ =
            write!(out, "<text class=\"limit-label\" x=\"{RIGHT}\" y=\"{label}\">limit {limit}{more}</text>");
    }

    /// A bar for each column in which a call failed.
    fn failures(&self, out: &mut String) {
        let most = self.columns.iter().map(|column| column.failures).max().unwrap_or(0);
        let _ = write!(
            out,
            "<path class=\"grid\" d=\"M{LEFT} {FAILURES_BASE}H{RIGHT}\"/><text class=\"y\" x=\"{}\" y=\"{FAILURES_BASE}\">failed</text>\
             <path class=\"failed\" d=\"",
            LEFT - 6,
        );
        for (place, column) in self.columns.iter().enumerate().filter(|(_, column)| column.failures > 0) {
            // One failure among thousands is still seen.
            let height = part(column.failures, most, FAILURES_BASE - FAILURES_TOP).max(3);
            let _ = write!(out, "M{} {FAILURES_BASE}v-{height}h6v{height}z", x(place).saturating_add(1));
        }
        let _ = write!(out, "\"><title>{} calls of io_setup failed</title></path>", self.failed);
    }

    /// Times below the axis, UTC.
    fn times(&self, out: &mut String) {
        let (step, every) = (self.span.step_ns(), self.span.label_ns());
        let end = (self.now_ns / step).saturating_add(1).saturating_mul(step);
        for back in 0..COLUMNS {
            let at = end.saturating_sub(step.saturating_mul(u64::try_from(back).unwrap_or(0)));
            if !at.is_multiple_of(every) {
                continue;
            }
            let place = x(self.columns.len().saturating_sub(back));
            let label = time::of_day(at);
            let _ = write!(
                out,
                "<path class=\"grid\" d=\"M{0} {BASE}v4\"/><text class=\"x\" x=\"{0}\" y=\"{1}\">{2}</text>",
                place,
                HEIGHT - 6,
                label.get(..5).unwrap_or(&label),
            );
        }
    }
}

/// Appends an edge, from the height `before`: a step down or up, and so far to the right as it does not change.
fn steps(edge: &[Option<u64>], mut before: u64, out: &mut String) {
    let mut right = 0_u64;
    let go = |right: &mut u64, out: &mut String| {
        if *right > 0 {
            let _ = write!(out, "h{right}");
        }
        *right = 0;
    };
    for y in edge.iter().filter_map(|y| *y) {
        if y != before {
            go(&mut right, out);
            let sign = if y < before { "-" } else { "" };
            let _ = write!(out, "v{sign}{}", y.abs_diff(before));
            before = y;
        }
        right = right.saturating_add(COLUMN);
    }
    go(&mut right, out);
}

/// Where values are known: first place, and the place after the last.
fn stretches<T>(values: &[Option<T>]) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (place, _) in values.iter().enumerate().filter(|(_, value)| value.is_some()) {
        match found.last_mut() {
            Some((_, end)) if *end == place => *end = place.saturating_add(1),
            _ => found.push((place, place.saturating_add(1))),
        }
    }
    found
}

/// What the height stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Scale {
    top: u64,
    has_limit: bool,
}

impl Scale {
    /// Up to the limit, unless all that is reserved would be too flat to be seen below it.
    fn of(peak: u64, limit: u64) -> Scale {
        let has_limit = peak.saturating_mul(5) >= limit;
        let highest = if has_limit { peak.max(limit) } else { peak };
        let top = highest.saturating_add((highest / 12).max(1));
        Scale { top, has_limit }
    }

    fn y(&self, slots: u64) -> u64 {
        BASE.saturating_sub(part(slots.min(self.top), self.top, BASE - TOP))
    }

    /// Round numbers, five at most.
    fn ticks(&self) -> impl Iterator<Item = u64> {
        let mut step = 1_u64;
        'found: loop {
            for times in [1, 2, 5] {
                let tried = step.saturating_mul(times);
                if self.top / tried <= 4 {
                    step = tried;
                    break 'found;
                }
            }
            step = step.saturating_mul(10);
        }
        let top = self.top;
        (0..=4_u64).map(move |nth| nth.saturating_mul(step)).take_while(move |tick| *tick <= top)
    }
}

/// The left edge of a column.
fn x(place: usize) -> u64 {
    LEFT.saturating_add(COLUMN.saturating_mul(u64::try_from(place).unwrap_or(0)))
}

/// How much of a length stands for a part of something, rounded.
fn part(of: u64, all: u64, length: u64) -> u64 {
    let (of, all, length) = (u128::from(of), u128::from(all.max(1)), u128::from(length));
    let rounded = of.saturating_mul(length).saturating_add(all / 2).checked_div(all);
    rounded.and_then(|part| u64::try_from(part).ok()).unwrap_or(0)
}

/// Names and colours; each owner's leads to its contexts.
fn legend(layers: &[Layer], failed: u64, query: &PageQuery, out: &mut String) {
    out.push_str("<ul class=\"legend\">");
    for layer in layers {
        let _ = write!(out, "<li><i class=\"{}\"></i>", layer.class);
        match &layer.owner {
            Some(owner) => {
                let is_chosen = query.owner.as_ref() == Some(owner);
                let link = query.owner_link(if is_chosen { None } else { Some(owner) });
                let _ = write!(out, "<a href=\"{}\" data-owner=\"{1}\">{1}</a>", text(&link), text(owner));
            }
            None => put(layer.says, out),
        }
        let _ = write!(out, " <b>{}</b></li>", layer.now);
    }
    let _ = write!(out, "<li><i class=\"failed\"></i>failed io_setup calls <b>{failed}</b></li></ul>");
}

#[cfg(test)]
mod tests;
