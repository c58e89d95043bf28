//! `watch --replay`: a recording on the screen, where keys travel in it, or its events as lines.

use std::io::Write;
use std::path::Path;

use crate::cli::WatchArgs;
use crate::commands::exit::{Exit, NotRecorded, UsageError};
use crate::commands::saved::{self, missed};
use crate::commands::watch::lines::Lines;
use aioinspect_formats::recording::{Missed, Moment, Recording};
use aioinspect_kernel::host::clock;
use aioinspect_model::reconcile::reconcile;
use aioinspect_model::units::Instant;
use aioinspect_render::moment::{self, Asked};
use aioinspect_render::screen::Screen;
use aioinspect_render::screen::key::Action;

/// Events that are read for the screen.
const SHOWN_EVENTS: usize = 1000;

/// A recording, and where in it we are.
pub(crate) struct Replay {
    recording: Recording,
    at: Moment,
}

impl Replay {
    /// Opens a recording at its first picture, or at the one of a time.
    pub(super) fn open(path: &Path, at: Option<Asked>) -> anyhow::Result<Self> {
        let recording = saved::recording(path)?;
        let mut recording = recording.ok_or_else(|| UsageError(saved::no_recording(path)))?;
        let at = match at {
            None => Moment(0),
            Some(at) => saved::moment(&mut recording, at)?.moment,
        };
        recording.last()?;
        Ok(Self { recording, at })
    }

    /// Shows the picture where we are, and the events before it.
    pub(super) fn show(&mut self, screen: &mut Screen) -> anyhow::Result<()> {
        let picture = self.recording.picture(self.at)?;
        let events = self.recording.events_until(self.at, SHOWN_EVENTS);
        let place = (self.at.0.saturating_add(1), self.recording.pictures());
        screen.show(place, reconcile(&picture.evidence), events, picture.status);
        Ok(())
    }

    /// Does what a key asks for; what cannot be done is said below the picture.
    pub(super) fn travel(&mut self, action: Action, screen: &mut Screen) -> anyhow::Result<()> {
        let last = self.recording.last()?;
        let to = match action {
            Action::Next if self.at >= last => Err("this is the last picture".to_owned()),
            Action::Previous if self.at.0 == 0 => Err("this is the first picture".to_owned()),
            Action::Next => Ok(Moment(self.at.0.saturating_add(1))),
            Action::Previous => Ok(Moment(self.at.0.saturating_sub(1))),
            Action::Jump => self.jump(&screen.asked()),
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
            screen.say(format!("picture {} cannot be read: {error:#}", to.0.saturating_add(1)));
        }
        Ok(())
    }

    /// The picture of a time that was typed.
    fn jump(&mut self, typed: &str) -> Result<Moment, String> {
        let shown = self.recording.time_of(self.at).unwrap_or(0);
        let at = moment::parse(typed)?.resolve(clock::unix_now(), shown, self.recording.end());
        match self.recording.find(at) {
            Ok(Ok(found)) => Ok(found.moment),
            Ok(Err(why)) => Err(missed(why, at)),
            Err(error) => Err(error.to_string()),
        }
    }
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
    let (mut lines, mut last) = (Lines::new(args), Instant(0));
    for place in 0.. {
        let Some(events) = recording.events_at(place) else { break };
        let events = match events {
            Ok(events) => events,
            Err(error) => {
                writeln!(err, "aioinspect: a record of events cannot be read: {error}")?;
                continue;
            }
        };
        // Its time is the one that goes by.
        for timed in events.into_iter().filter(|timed| timed.unix_ns >= from) {
            last = timed.at;
            lines.due(last, out)?;
            lines.write(vec![timed], last, out)?;
        }
    }
    lines.end(last, out)?;
    Ok(Exit::Fine)
}
