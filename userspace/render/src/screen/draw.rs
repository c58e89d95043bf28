//! Where everything is on the screen, however small it is.
//!
//! ```text
//! aio-nr [||||||......................................] 2272 of 65536 3.4%
//! unattributed 0  attributed 2272  hook fentry  at 12:00:00 UTC
//! processes ..
//! contexts ..
//! events ..
//! keys
//! ```

use std::borrow::Cow;

use ratatui::buffer::Buffer;

use crate::screen::canvas::{Canvas, width};
use crate::screen::grid::Grid;
use crate::screen::head::Head;
use crate::screen::processes::Grouping;
use crate::screen::rows::{OF_CONTEXTS, columns_of};
use crate::screen::search::Search;
use crate::screen::sparks::Sparks;
use crate::screen::theme::{Theme, Tone};
use crate::screen::{Pane, Screen, detail, help};
use crate::{event_line, time};
use aioinspect_model::event::Event;
use aioinspect_model::event_rows::EventRow;

/// Lower screens show one table at a time.
const BOTH: usize = 18;
/// Lower screens have no line of the time that went by.
const TALL: usize = 20;
/// Lower screens have no names above their tables, no events, and one line about the host.
const ROOMY: usize = 9;

/// Keys of a recording.
const REPLAY_KEYS: [(&str, &str); 9] = [
    ("?", "help"),
    ("q", "quit"),
    ("t", "next"),
    ("T", "previous"),
    ("j", "jump"),
    ("/", "filter"),
    ("Enter", "detail"),
    ("s", "sort"),
    ("Tab", "pane"),
];

/// Lines from `y` on.
#[derive(Clone, Copy, Debug)]
struct Lines {
    y: usize,
    height: usize,
}

impl Lines {
    /// The first lines of it, and the rest.
    fn split(self, height: usize) -> (Lines, Lines) {
        let height = height.min(self.height);
        let rest = Lines { y: self.y.saturating_add(height), height: self.height.saturating_sub(height) };
        (Lines { height, ..self }, rest)
    }
}

impl Screen {
    /// Draws everything.
    pub fn draw(&mut self, buffer: &mut Buffer) {
        let mut canvas = Canvas::new(buffer, self.theme);
        let all = Lines { y: 0, height: canvas.height() };
        let roomy = all.height >= ROOMY;
        let head = if roomy { 2 } else { usize::from(all.height != 2 || !self.typing) };
        let (head, rest) = all.split(head);
        let tall = all.height >= TALL;
        let history = self.paused_history.as_ref().unwrap_or(&self.history);
        let sparks = Sparks::of(history, self.shown.status.taken_unix_ns).filter(|_| tall);
        let (line, rest) = rest.split(usize::from(sparks.is_some()));
        if let Some(sparks) = sparks {
            sparks.draw(&mut canvas, line.y);
        }
        let (body, foot) =
            rest.split(rest.height.saturating_sub(usize::from(all.height >= 4 || self.typing)));
        Head {
            picture: self.shown.picture.as_ref(),
            status: &self.shown.status,
            paused: self.paused.as_ref().map(|waiting| waiting.events.len()),
            ended: self.ended,
            recording: self.recording.as_ref(),
            replay: self.replay.as_ref(),
        }
        .draw(&mut canvas, head.y, head.height);
        if self.help.is_some() {
            self.draw_help(&mut canvas, body);
        } else if self.detail.is_some() {
            self.draw_detail(&mut canvas, body);
        } else {
            self.draw_tables(&mut canvas, body, roomy, all.height >= BOTH);
        }
        if foot.height > 0 {
            self.draw_foot(&mut canvas, foot.y);
        }
    }

    fn draw_help(&mut self, canvas: &mut Canvas<'_>, body: Lines) {
        let page = help::page(canvas.width(), self.theme, self.replay.is_some());
        let (title, body) = body.split(1);
        self.page = body.height;
        self.scrollable = page.len().saturating_sub(body.height);
        let top = self.help.unwrap_or(0).min(self.scrollable);
        self.help = Some(top);
        if title.height > 0 {
            let shown = position(top, body.height, page.len());
            draw_title(canvas, title.y, &[named("help", true), (shown.into(), Tone::Plain)]);
        }
        page.draw(canvas, body.y, body.height, top);
    }

    fn draw_detail(&mut self, canvas: &mut Canvas<'_>, body: Lines) {
        let Some(open) = &mut self.detail else { return };
        let context = &open.last;
        let picture = self.shown.picture.as_ref().filter(|_| open.there);
        let page = detail::page(context, picture, canvas.width(), self.theme);
        let (title, body) = body.split(1);
        self.page = body.height;
        self.scrollable = page.len().saturating_sub(body.height);
        open.top = open.top.min(self.scrollable);
        if title.height > 0 {
            let name = format!(" {} {} {} ", context.pid, self.theme.name(&context.comm), context.context);
            let shown = position(open.top, body.height, page.len());
            draw_title(canvas, title.y, &[(name.into(), Tone::Focus), (shown.into(), Tone::Plain)]);
        }
        page.draw(canvas, body.y, body.height, open.top);
    }

    fn draw_tables(&mut self, canvas: &mut Canvas<'_>, body: Lines, roomy: bool, both: bool) {
        let feed = match (self.more_events, roomy) {
            (true, _) => body.height / 2,
            (false, true) => body.height / 4,
            (false, false) => 0,
        };
        let (tables, feed) = body.split(body.height.saturating_sub(feed));
        if both && !self.more_events {
            let (processes, contexts) = tables.split(tables.height.saturating_mul(2) / 5);
            self.draw_processes(canvas, processes, roomy);
            self.draw_contexts(canvas, contexts, roomy);
        } else if self.pane == Pane::Processes {
            self.draw_processes(canvas, tables, roomy);
        } else {
            self.draw_contexts(canvas, tables, roomy);
        }
        self.draw_feed(canvas, feed);
    }

    fn draw_processes(&mut self, canvas: &mut Canvas<'_>, lines: Lines, titled: bool) {
        let focus = self.pane == Pane::Processes;
        let (title, lines) = lines.split(usize::from(titled));
        let processes = self.rows.processes.len().saturating_sub(1);
        if title.height > 0 {
            let name = match self.rows.grouping {
                Grouping::Processes => "processes",
                Grouping::Owners => "owners",
            };
            let mut parts = vec![named(name, focus), (format!(" {processes}").into(), Tone::Plain)];
            parts.extend(self.filtered());
            draw_title(canvas, title.y, &parts);
        }
        let Some((grid, picture)) = lines.height.checked_sub(1).zip(self.shown.picture.as_ref()) else {
            return;
        };
        self.process.scroll(grid, self.rows.processes.len());
        let rows = &self.rows;
        Grid {
            fields: columns_of(self.rows.grouping),
            order: self.process_order,
            y: lines.y,
            page: grid,
            top: self.process.top(),
            selected: self.process.row(),
            focus,
        }
        .draw(canvas, |field| rows.process_needs.get(field), |row| rows.process(picture, row));
    }

    fn draw_contexts(&mut self, canvas: &mut Canvas<'_>, lines: Lines, titled: bool) {
        let focus = self.pane == Pane::Contexts;
        let (title, lines) = lines.split(usize::from(titled));
        let Some(picture) = self.shown.picture.as_ref() else { return };
        if title.height > 0 {
            let selected = self.rows.process(picture, self.process.row());
            let of = selected
                .and_then(|row| row.name(self.theme))
                .map_or_else(String::new, |of| format!(" of {of}"));
            let count = if self.rows.contexts.len() == self.rows.known {
                format!(" {}", self.rows.known)
            } else {
                format!(" {} of {}", self.rows.contexts.len(), self.rows.known)
            };
            let mut parts =
                vec![named("contexts", focus), (of.into(), Tone::Strong), (count.into(), Tone::Plain)];
            parts.extend(self.filtered());
            draw_title(canvas, title.y, &parts);
        }
        let Some(page) = lines.height.checked_sub(1) else { return };
        self.context.scroll(page, self.rows.contexts.len());
        let rows = &self.rows;
        Grid {
            fields: &OF_CONTEXTS,
            order: self.context_order,
            y: lines.y,
            page,
            top: self.context.top(),
            selected: self.context.row(),
            focus,
        }
        .draw(canvas, |field| rows.context_needs.get(field), |row| rows.context(picture, row));
        if rows.contexts.is_empty() && page > 0 {
            let says = match (&self.search, self.search.wrong()) {
                (Search::All, _) if self.only.is_empty() => "no contexts".into(),
                (Search::All, _) => "no contexts of the processes asked for".into(),
                (Search::Expression(_) | Search::Text { .. }, None) => "no context matches the filter".into(),
                (Search::Expression(_) | Search::Text { .. }, Some(wrong)) => {
                    let wrong = self.theme.name(wrong.as_bytes());
                    Cow::Owned(format!("no match, and not a valid filter: {wrong}"))
                }
            };
            canvas.write(0, lines.y.saturating_add(1), &says, Tone::Faint);
        }
    }

    /// What the title of a filtered table says.
    fn filtered(&self) -> Option<(Cow<'static, str>, Tone)> {
        match &self.search {
            Search::All => None,
            Search::Expression(_) | Search::Text { .. } => {
                Some((format!(" /{}", self.theme.name(self.typed.as_bytes())).into(), Tone::Pending))
            }
        }
    }

    fn draw_feed(&self, canvas: &mut Canvas<'_>, lines: Lines) {
        let (title, lines) = lines.split(1);
        if title.height == 0 {
            return;
        }
        draw_title(canvas, title.y, &[named("events", false), (" UTC".into(), Tone::Plain)]);
        let first = self.shown.events.len().saturating_sub(lines.height);
        for (nth, row) in self.shown.events.iter().skip(first).enumerate() {
            draw_event(canvas, lines.y.saturating_add(nth), row);
        }
    }

    fn draw_foot(&self, canvas: &mut Canvas<'_>, y: usize) {
        if self.typing {
            draw_prompt(canvas, y, &self.typed, &self.search, self.theme);
            return;
        }
        if let Some(replay) = &self.replay
            && replay.draw(canvas, y)
        {
            return;
        }
        let keys: &[(&str, &str)] = if self.help.is_some() {
            &[("Esc", "back"), ("Up/Down", "scroll"), ("^C", "quit")]
        } else if self.detail.is_some() {
            &[("Esc", "back"), ("Up/Down", "scroll"), ("p", "pause"), ("?", "help"), ("q", "quit")]
        } else if self.replay.is_some() {
            &REPLAY_KEYS
        } else {
            let other = match self.rows.grouping {
                Grouping::Processes => "owners",
                Grouping::Owners => "processes",
            };
            let enter = if self.pane == Pane::Processes { "contexts" } else { "detail" };
            &[
                ("?", "help"),
                ("q", "quit"),
                ("/", "filter"),
                ("Enter", enter),
                ("o", other),
                ("s", "sort"),
                ("Tab", "pane"),
                ("p", "pause"),
                ("S", "reverse"),
                ("Esc", "back"),
                ("e", "events"),
            ]
        };
        let mut x = 0_usize;
        for (key, does) in keys {
            let wide = width(key).saturating_add(width(does)).saturating_add(1);
            if x > 0 && x.saturating_add(wide) > canvas.width() {
                break;
            }
            let parts =
                [((*key).into(), Tone::Key), (" ".into(), Tone::Plain), ((*does).into(), Tone::Plain)];
            x = x.saturating_add(canvas.parts(x, y, &parts, canvas.width())).saturating_add(2);
        }
    }
}

fn named(name: &'static str, focus: bool) -> (Cow<'static, str>, Tone) {
    (format!(" {name} ").into(), if focus { Tone::Focus } else { Tone::Title })
}

/// A line with a name, and a rule to its end.
fn draw_title(canvas: &mut Canvas<'_>, y: usize, parts: &[(Cow<'_, str>, Tone)]) {
    canvas.rule(0, y);
    let used = canvas.parts(0, y, parts, canvas.width());
    canvas.put(used, y, " ", 1, Tone::Plain);
}

/// Which lines of a longer page are seen; nothing where all are.
fn position(top: usize, height: usize, len: usize) -> String {
    if len <= height {
        return String::new();
    }
    format!(" lines {} to {} of {len}", top.saturating_add(1), top.saturating_add(height).min(len))
}

fn draw_event(canvas: &mut Canvas<'_>, y: usize, row: &EventRow) {
    let timed = &row.timed;
    let tone = match timed.event {
        Event::Existing { .. } => Tone::Faint,
        Event::Setup { .. } | Event::Destroy { .. } | Event::Exec { .. } | Event::Exit { .. } => Tone::Plain,
        Event::Healed { .. } | Event::Gone { .. } | Event::Growth { .. } => Tone::Pending,
        Event::SetupFailed { .. } | Event::SubmitFailed { .. } | Event::Dying { .. } | Event::Lost { .. } => {
            Tone::Bad
        }
    };
    let time = time::of_day(timed.unix_ns);
    let time = format!("{} ", time.get(..8).unwrap_or(&time));
    // Without room for all of it, what happened matters more than when.
    let wide = canvas.width() >= 40;
    let used = if wide { canvas.write(0, y, &time, Tone::Faint) } else { 0 };
    canvas.write(used, y, &event_line::row(row), tone);
}

/// The line in which a search is typed: its end is always seen, and why it finds nothing.
fn draw_prompt(canvas: &mut Canvas<'_>, y: usize, typed: &str, search: &Search, theme: Theme) {
    let text = theme.name(typed.as_bytes());
    let mut shown: &str = &text;
    while width(shown).saturating_add(2) > canvas.width() && !shown.is_empty() {
        let mut chars = shown.chars();
        chars.next();
        shown = chars.as_str();
    }
    let mut x = canvas.write(0, y, "/", Tone::Key);
    x = x.saturating_add(canvas.write(x, y, shown, Tone::Strong));
    x = x.saturating_add(canvas.write(x, y, " ", Tone::Selected)).saturating_add(1);
    let says = match (search, search.wrong()) {
        (Search::All, _) => "a word, or an expression as MAX_REQS > 100  Enter keep  Esc drop",
        (Search::Expression(_), _) => "expression",
        (Search::Text { .. }, Some(wrong)) => wrong,
        (Search::Text { .. }, None) => "text",
    };
    let says = theme.name(says.as_bytes()).into_owned();
    canvas.write(x, y, &says, Tone::Faint);
}
