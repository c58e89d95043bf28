//! The screen of `watch`: what it shows and how it answers to keys. Pure: it draws into a buffer of cells, and knows neither
//! a terminal nor the time.

mod canvas;
mod cursor;
mod detail;
mod draw;
mod grid;
mod head;
mod help;
pub mod key;
mod keys;
mod page;
mod processes;
mod replay;
pub(super) mod ring;
mod row;
mod rows;
mod search;
mod sparks;
mod theme;
pub(super) mod tone;
pub mod typed;

use aioinspect_model::event::{Event, Timed, WatchStatus};
use aioinspect_model::event_rows::EventRows;
use aioinspect_model::groups::GroupKey;
use aioinspect_model::history::History;
use aioinspect_model::picture::{ContextView, Picture};
use aioinspect_model::units::Pid;

use crate::fields::Field;
use crate::fields::order::Order;
use crate::screen::cursor::Cursor;
use crate::screen::replay::Replay;
use crate::screen::rows::{ContextKey, Rows, key_of};
use crate::screen::search::Search;

pub use crate::screen::theme::Theme;

/// Events that are kept for the feed; no terminal has as many lines.
const KEPT_EVENTS: usize = 1000;

/// Which table takes the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pane {
    Processes,
    Contexts,
}

/// Everything the screen is.
#[derive(Debug)]
pub struct Screen {
    theme: Theme,
    /// Processes it is limited to, and those under which they are shown; empty: all.
    only: Vec<Pid>,
    shown: Told,
    /// What was reserved and what failed since it began.
    history: History,
    /// The same when it was paused.
    paused_history: Option<History>,
    /// What came while it was paused.
    paused: Option<Told>,
    ended: bool,
    /// Whether what is shown is also recorded; why not, if it was to be.
    recording: Option<Result<(), String>>,
    /// Where in a recording this is, if it is one.
    replay: Option<Replay>,
    rows: Rows,
    pane: Pane,
    process_order: Order,
    /// That of the upper table's other rows: owners while it shows processes.
    other_order: Order,
    context_order: Order,
    process: Cursor<Option<GroupKey>>,
    context: Cursor<ContextKey>,
    search: Search,
    /// The text of the search.
    typed: String,
    /// Whether it is being typed.
    typing: bool,
    detail: Option<Detail>,
    /// The help's first line that is seen, while it is seen.
    help: Option<usize>,
    /// Whether the feed has more of the screen than usual.
    more_events: bool,
    /// Lines of a page of text when it was last drawn, and how many there are to scroll; no bound before it was.
    page: usize,
    scrollable: usize,
}

/// What was told.
#[derive(Debug, Default)]
struct Told {
    picture: Option<Picture>,
    events: EventRows,
    status: WatchStatus,
}

/// The context that is shown in detail.
#[derive(Debug)]
struct Detail {
    /// As it was last seen.
    last: ContextView,
    /// Whether it still is.
    there: bool,
    /// First line that is seen.
    top: usize,
}

impl Screen {
    /// A screen that knows nothing yet. `only`: the processes to show; empty: all.
    pub fn new(theme: Theme, only: Vec<Pid>) -> Self {
        Self {
            theme,
            only,
            shown: Told::default(),
            history: History::default(),
            paused_history: None,
            paused: None,
            ended: false,
            recording: None,
            replay: None,
            rows: Rows::default(),
            pane: Pane::Processes,
            process_order: Order::by(Field::MaxReqs),
            other_order: Order::by(Field::MaxReqs),
            context_order: Order::by(Field::MaxReqs),
            process: Cursor::default(),
            context: Cursor::default(),
            search: Search::All,
            typed: String::new(),
            typing: false,
            detail: None,
            help: None,
            more_events: false,
            page: 0,
            scrollable: 0,
        }
    }

    /// Takes what is new: a picture if there is one, events oldest first. While paused it is kept, and shown later. Returns
    /// whether there is anything new to draw.
    pub fn update(&mut self, picture: Option<Picture>, events: Vec<Timed>, status: WatchStatus) -> bool {
        if let Some(picture) = &picture {
            self.widen(picture);
        }
        self.remember(picture.as_ref(), &events, &status);
        let is_new_picture = picture.is_some();
        let is_wanted = |timed: &Timed| {
            self.only.is_empty() || timed.event.actor().is_none_or(|actor| self.only.contains(&actor.pid))
        };
        let wanted: Vec<Timed> = events.into_iter().filter(is_wanted).collect();
        let is_event = !wanted.is_empty();
        let mut rows = EventRows::default();
        for timed in wanted {
            rows.push(timed, KEPT_EVENTS);
        }
        let told = Told { picture, events: rows, status };
        if let Some(waiting) = &mut self.paused {
            waiting.take(told);
            return is_event;
        }
        let is_new_status = told.status != self.shown.status;
        self.shown.take(told);
        if is_new_picture {
            self.sift();
        }
        is_new_picture || is_event || is_new_status
    }

    /// Adds to the time that went by: of the host, whoever is shown. A recording has none, for it is seen in any order, and the same more
    /// than once.
    fn remember(&mut self, picture: Option<&Picture>, events: &[Timed], status: &WatchStatus) {
        if self.replay.is_some() {
            return;
        }
        if let Some(picture) = picture {
            let system = &picture.system;
            self.history.observe(status.taken_unix_ns, system.aio_nr, system.aio_max_nr);
        }
        for timed in events {
            if let Event::SetupFailed { .. } = timed.event {
                self.history.failed(timed.unix_ns);
            }
        }
    }

    /// What is shown is also recorded, or should be: then why it is not.
    pub fn record(&mut self, recording: Result<(), String>) {
        self.recording = Some(recording);
    }

    /// Nothing new will come.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Processes that share their memory are shown under the lowest PID: who asks for another of them means that one too.
    fn widen(&mut self, picture: &Picture) {
        let shown =
            picture.spaces.iter().filter(|space| space.pids.iter().any(|pid| self.only.contains(pid)));
        let shown: Vec<Pid> = shown.filter_map(|space| space.pids.first().copied()).collect();
        for pid in shown {
            if !self.only.contains(&pid) {
                self.only.push(pid);
            }
        }
    }

    fn pause(&mut self) {
        self.paused_history = Some(self.history.clone());
        self.paused = Some(Told { status: self.shown.status.clone(), ..Told::default() });
    }

    fn resume(&mut self) {
        self.paused_history = None;
        if let Some(waiting) = self.paused.take() {
            self.shown.take(waiting);
            self.sift();
        }
    }

    /// Makes all rows anew: the picture, the search or the order of processes changed.
    fn sift(&mut self) {
        let Some(picture) = &self.shown.picture else { return };
        self.rows.sift(picture, &self.only, &self.search, self.process_order, self.theme);
        let processes = &self.rows.processes;
        self.process.settle(processes.len(), |row| processes.get(row).map(|process| process.key.clone()));
        self.choose();
        self.refresh_detail();
    }

    fn refresh_detail(&mut self) {
        let (Some(picture), Some(detail)) = (&self.shown.picture, &mut self.detail) else { return };
        let key = key_of(&detail.last);
        let now = picture.contexts.iter().find(|context| key_of(context) == key);
        detail.there = now.is_some();
        if let Some(now) = now {
            detail.last = now.clone();
        }
    }

    /// Makes the rows of the contexts anew: another process was selected, or their order changed.
    fn choose(&mut self) {
        let Some(picture) = &self.shown.picture else { return };
        let group = self.process.key().flatten();
        self.rows.choose(picture, group.as_ref(), self.context_order, self.theme);
        let rows = &self.rows;
        self.context.settle(rows.contexts.len(), |row| rows.context(picture, row).map(key_of));
    }

    fn open_detail(&mut self) {
        let context =
            self.shown.picture.as_ref().and_then(|picture| self.rows.context(picture, self.context.row()));
        self.detail = context.map(|context| Detail { last: context.clone(), there: true, top: 0 });
    }
}

impl Told {
    /// Adds what is newer.
    fn take(&mut self, newer: Told) {
        if newer.picture.is_some() {
            self.picture = newer.picture;
        }
        self.status = newer.status;
        self.events.append(newer.events, KEPT_EVENTS);
    }
}

#[cfg(test)]
pub(crate) mod specimen;

#[cfg(test)]
mod tests;
