//! `watch --replay`: a recording on the screen, where keys travel in it, or its events as lines.

use std::io::Write;
use std::path::Path;

use crate::cli::WatchArgs;
use crate::commands::exit::{Exit, NotRecorded, UsageError};
use crate::commands::saved::{self, missed};
use crate::commands::watch::lines::Lines;
use aioinspect_formats::recording::{Found, Missed, Moment, Recording};
use aioinspect_kernel::host::clock;
use aioinspect_model::event::{Event, Timed};
use aioinspect_model::reconcile::reconcile;
use aioinspect_model::units::Instant;
use aioinspect_render::moment::{self, Asked};
use aioinspect_render::screen::Screen;
use aioinspect_render::screen::key::Action;

/// Events that are read for the screen.
const SHOWN_EVENTS: usize = 1000;
/// Events are not quite in the order of their times; a clock that was set back is another matter.
const SET_BACK_NS: u64 = 10_000_000_000;

/// A recording, and where in it we are.
pub(crate) struct Replay {
    recording: Recording,
    at: Moment,
    /// What is to be said of the picture at which it begins.
    says: String,
}

impl Replay {
    /// Opens a recording at its first picture, or at the one of a time.
    pub(super) fn open(path: &Path, at: Option<Asked>) -> anyhow::Result<Self> {
        let recording = saved::recording(path)?;
        let mut recording = recording.ok_or_else(|| UsageError(saved::no_recording(path)))?;
        recording.last()?;
        let (at, says) = match at {
            None => (Moment(0), String::new()),
            Some(at) => {
                let asked = saved::time(&recording, at);
                let found = saved::moment_at(&mut recording, asked)?;
                (found.moment, gap(&mut recording, found, asked))
            }
        };
        Ok(Self { recording, at, says })
    }

    /// Shows the picture at which it begins; if that cannot be read, the next one that can.
    pub(super) fn begin(&mut self, screen: &mut Screen) -> anyhow::Result<()> {
        let last = self.recording.last()?;
        let mut says = std::mem::take(&mut self.says);
        while let Err(error) = self.show(screen) {
            if self.at >= last {
                return Err(error);
            }
            says = unreadable(self.at, &error);
            self.at = Moment(self.at.0.saturating_add(1));
        }
        screen.say(says);
        Ok(())
    }

    /// Shows the picture where we are, and the events before it.
    fn show(&mut self, screen: &mut Screen) -> anyhow::Result<()> {
        let picture = self.recording.picture(self.at)?;
        let events = self.recording.events_until(self.at, SHOWN_EVENTS);
        let place = (self.at.0.saturating_add(1), self.recording.pictures());
        screen.show(place, reconcile(&picture.evidence), events, picture.status);
        Ok(())
    }

    /// Does what a key asks for; what cannot be done is said below the picture.
    pub(super) fn travel(&mut self, action: Action, screen: &mut Screen) -> anyhow::Result<()> {
        let last = self.recording.last()?;
        let mut says = String::new();
        let to = match action {
            Action::Next if self.at >= last => Err("this is the last picture".to_owned()),
            Action::Previous if self.at.0 == 0 => Err("this is the first picture".to_owned()),
            Action::Next => Ok(Moment(self.at.0.saturating_add(1))),
            Action::Previous => Ok(Moment(self.at.0.saturating_sub(1))),
            Action::Jump => self.jump(&screen.asked()).map(|(to, gap)| {
                says = gap;
                to
            }),
            Action::Nothing | Action::Draw | Action::Repaint | Action::Suspend | Action::Quit => {
                return Ok(());
            }
        };
        let to = match to {
            Ok(to) => to,
            Err(says) => {
                screen.say(says);
                return Ok(());
            }
        };
        self.at = to;
        if let Err(error) = self.show(screen) {
            says = unreadable(to, &error);
        }
        screen.say(says);
        Ok(())
    }

    /// The picture of a time that was typed, and what is to be said of it.
    fn jump(&mut self, typed: &str) -> Result<(Moment, String), String> {
        let shown = self.recording.time_of(self.at).unwrap_or(0);
        let at = moment::parse(typed)?.resolve(clock::unix_now(), shown, self.recording.end());
        match self.recording.find(at) {
            Ok(Ok(found)) => Ok((found.moment, gap(&mut self.recording, found, at))),
            Ok(Err(why)) => Err(missed(why, at)),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// That there is no picture for long after the one that was found; nothing, if there is.
fn gap(recording: &mut Recording, found: Found, asked: u64) -> String {
    let every_ns = recording.picture(found.moment).map_or(0, |picture| picture.every_ns);
    let until = found.gap(asked, every_ns).filter(|_| every_ns > 0);
    until.map(saved::gap_until).unwrap_or_default()
}

fn unreadable(moment: Moment, error: &anyhow::Error) -> String {
    format!("picture {} cannot be read: {error:#}", moment.0.saturating_add(1))
}

/// Writes the events of a recording, from a time on, with the times at which they happened.
pub(super) fn lines(
    path: &Path,
    args: &WatchArgs,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<Exit> {
    let recording = saved::recording(path)?;
    let mut recording = recording.ok_or_else(|| UsageError(saved::no_recording(path)))?;
    let from = match args.at {
        None => 0,
        Some(at) => saved::time(&recording, at),
    };
    if args.at.is_some() {
        match recording.find(from)? {
            Ok(_) => {}
            // What came later is what was asked for, too.
            Err(why @ Missed::Before(_)) => writeln!(err, "aioinspect: {}", missed(why, from))?,
            Err(why @ Missed::After(_)) => return Err(NotRecorded(missed(why, from)).into()),
        }
    }
    for note in saved::notes(path, &recording) {
        writeln!(err, "aioinspect: {note}")?;
    }
    let mut told = Told { lines: Lines::new(args), is_json: args.ndjson, now: 0 };
    for place in 0.. {
        let Some(events) = recording.events_at(place) else { break };
        let events = match events {
            Ok(events) => events,
            Err(error) => {
                writeln!(err, "aioinspect: a record of events cannot be read: {error}")?;
                continue;
            }
        };
        for timed in events.into_iter().filter(|timed| timed.unix_ns >= from) {
            told.tell(timed, out)?;
        }
    }
    told.end(recording.end(), out)?;
    Ok(Exit::Fine)
}

/// Lines of events that happened long ago. The time of day in the recording is the one that goes by: the other clock begins anew with each boot.
struct Told<'a> {
    lines: Lines<'a>,
    is_json: bool,
    /// Nanoseconds since 1970.
    now: u64,
}

impl Told<'_> {
    fn tell(&mut self, timed: Timed, out: &mut dyn Write) -> std::io::Result<()> {
        let at = timed.unix_ns;
        // A wait is dated when it began; whatever else is long before what came before it was told by a clock that was set back.
        if at.saturating_add(SET_BACK_NS) < self.now && !matches!(timed.event, Event::Dying { .. }) {
            self.lines.end(Instant(self.now), out)?;
            self.now = at;
        }
        self.now = self.now.max(at);
        self.lines.due_until(Instant(self.now), out)?;
        let timed = if self.is_json { timed } else { Timed { at: Instant(at), ..timed } };
        self.lines.write(vec![timed], Instant(self.now), out)
    }

    fn end(mut self, end: u64, out: &mut dyn Write) -> std::io::Result<()> {
        self.now = self.now.max(end);
        self.lines.due_until(Instant(self.now), out)?;
        self.lines.end(Instant(self.now), out)
    }
}

#[cfg(test)]
mod tests;
