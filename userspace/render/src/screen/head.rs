//! The first lines of the screen: how much of fs.aio-nr is taken, and how the watch itself is doing.

use crate::{moment, time};
use aioinspect_model::event::WatchStatus;
use aioinspect_model::evidence::CensusSource;
use aioinspect_model::picture::{Picture, SystemView};

use crate::screen::canvas::{Canvas, width};
use crate::screen::replay::Replay;
use crate::screen::theme::Tone;

/// A bar with fewer cells says nothing.
const SHORTEST_BAR: usize = 5;

/// What the first lines tell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'a> {
    /// The host, once it was looked at.
    pub picture: Option<&'a Picture>,
    /// What the watch says of itself.
    pub status: &'a WatchStatus,
    /// Whether the screen stands still, and how many events wait meanwhile.
    pub paused: Option<usize>,
    /// Whether nothing new will come.
    pub ended: bool,
    /// Whether it is also recorded; why not, if it was to be.
    pub recording: Option<&'a Result<(), String>>,
    /// Where in a recording this is.
    pub replay: Option<&'a Replay>,
}

impl Head<'_> {
    /// Draws it from line `y` on, on one line or two; what must not be overlooked is on the first if there is one only.
    pub(super) fn draw(&self, canvas: &mut Canvas<'_>, y: usize, lines: usize) {
        match lines {
            0 => {}
            1 => {
                let used = facts(canvas, y, 0, &self.alarms());
                let gap = if used > 0 { 2 } else { 0 };
                self.bar(canvas, used.saturating_add(gap), y);
            }
            _ => {
                self.bar(canvas, 0, y);
                let mut all = self.alarms();
                all.extend(self.state());
                facts(canvas, y.saturating_add(1), 0, &all);
            }
        }
    }

    fn bar(&self, canvas: &mut Canvas<'_>, x: usize, y: usize) {
        let Some(picture) = self.picture else {
            canvas.write(x, y, "aio-nr: looking", Tone::Faint);
            return;
        };
        let system = &picture.system;
        let room = canvas.width().saturating_sub(x);
        let tone = match permille(system) {
            Some(0..=499) => Tone::Good,
            Some(500..=899) => Tone::Pending,
            Some(900..) => Tone::Bad,
            None => Tone::Plain,
        };
        let number_tone = if tone == Tone::Good { Tone::Strong } else { tone };
        let (label, numbers) = ("aio-nr ", numbers(system));
        let all = width(label).saturating_add(width(&numbers));
        if all > room {
            let shorter = if width(&numbers) > room { percent(system) } else { numbers };
            canvas.write(x, y, &shorter, number_tone);
            return;
        }
        let mut at = x.saturating_add(canvas.write(x, y, label, Tone::Strong));
        // The frame of the bar and a blank after it.
        if let Some(cells) = room.checked_sub(all.saturating_add(3)).filter(|cells| *cells >= SHORTEST_BAR) {
            let used = taken(system, cells);
            let signs = canvas.signs();
            let rest = signs.unused.repeat(cells.saturating_sub(used));
            let parts = [
                ("[".into(), Tone::Strong),
                (signs.used.repeat(used).into(), tone),
                (rest.into(), Tone::Faint),
                ("] ".into(), Tone::Strong),
            ];
            at = at.saturating_add(canvas.parts(at, y, &parts, room));
        }
        canvas.write(at, y, &numbers, number_tone);
    }

    /// What is never left out.
    fn alarms(&self) -> Vec<(String, Tone)> {
        let mut facts = Vec::new();
        match self.paused {
            None => {}
            Some(0) => facts.push(("PAUSED".to_owned(), Tone::Focus)),
            Some(1) => facts.push(("PAUSED, 1 event waits".to_owned(), Tone::Focus)),
            Some(waiting) => facts.push((format!("PAUSED, {waiting} events wait"), Tone::Focus)),
        }
        if let Some(Err(why)) = self.recording {
            facts.push((format!("NOT RECORDED: {why}"), Tone::Bad));
        }
        if self.status.lost > 0 {
            facts.push((format!("lost {}", self.status.lost), Tone::Bad));
        }
        if self.status.healed > 0 {
            facts.push((format!("healed {}", self.status.healed), Tone::Pending));
        }
        facts
    }

    /// The rest, the most important first.
    fn state(&self) -> Vec<(String, Tone)> {
        let mut facts = Vec::new();
        if let Some(replay) = self.replay {
            facts.push((replay.place(), Tone::Focus));
            facts.push((format!("at {}", moment::in_words(self.status.taken_unix_ns)), Tone::Strong));
        }
        if let Some(picture) = self.picture {
            let system = &picture.system;
            let odd = system.unattributed.is_some_and(|missing| missing != 0);
            let number = system.unattributed.map_or("-".to_owned(), |missing| missing.to_string());
            facts.push((format!("unattributed {number}"), if odd { Tone::Pending } else { Tone::Plain }));
            let number = system.attributed.map_or("-".to_owned(), |found| found.to_string());
            facts.push((format!("attributed {number}"), Tone::Plain));
            if system.source == CensusSource::Proc {
                facts.push(("no BPF: in flight unknown".to_owned(), Tone::Pending));
            }
            if !picture.ghosts.is_empty() {
                facts.push((format!("ghost rings {}", picture.ghosts.len()), Tone::Pending));
            }
        }
        match (self.status.hook, self.ended) {
            ("", _) if self.replay.is_some() => {}
            ("", _) => facts.push(("recorded".to_owned(), Tone::Plain)),
            (hook, false) => facts.push((format!("hook {hook}"), Tone::Plain)),
            (hook, true) => facts.push((format!("hook {hook}, ended"), Tone::Pending)),
        }
        if self.recording.is_some_and(Result::is_ok) {
            facts.push(("recording".to_owned(), Tone::Plain));
        }
        if self.status.taken_unix_ns > 0 && self.replay.is_none() {
            let time = time::of_day(self.status.taken_unix_ns);
            facts.push((format!("at {} UTC", time.get(..8).unwrap_or(&time)), Tone::Plain));
        }
        if self.status.scan_ns > 0 {
            let us = self.status.scan_ns / 1000;
            facts.push((format!("scan {}.{} ms", us / 1000, us % 1000 / 100), Tone::Faint));
        }
        facts
    }
}

/// Draws facts with gaps between them, as many as fit; the first is cut if need be. Returns the columns they took.
fn facts(canvas: &mut Canvas<'_>, y: usize, x: usize, facts: &[(String, Tone)]) -> usize {
    let mut used = 0_usize;
    for (text, tone) in facts {
        let gap = if used == 0 { 0 } else { 2 };
        let at = x.saturating_add(used).saturating_add(gap);
        if used > 0 && at.saturating_add(width(text)) > canvas.width() {
            continue;
        }
        used = used.saturating_add(gap).saturating_add(canvas.write(at, y, text, *tone));
    }
    used
}

/// `2272 of 65536  3.4%`
fn numbers(system: &SystemView) -> String {
    format!("{} of {} {}", system.aio_nr, system.aio_max_nr, percent(system))
}

fn percent(system: &SystemView) -> String {
    permille(system).map_or("-".to_owned(), |permille| format!("{}.{}%", permille / 10, permille % 10))
}

/// Thousandths of the limit that are taken, more than 1000 where the limit was lowered; `None` of a limit of 0. Something is
/// never 0, and less than the limit never 1000.
fn permille(system: &SystemView) -> Option<u128> {
    let (taken, limit) = (u128::from(system.aio_nr), u128::from(system.aio_max_nr));
    let exact = taken.saturating_mul(1000).checked_div(limit)?;
    Some(if taken == 0 { 0 } else { exact.max(1) })
}

/// Cells of a bar that are taken: all of them only where nothing is free, and one at least where something is taken.
fn taken(system: &SystemView, cells: usize) -> usize {
    if system.aio_nr >= system.aio_max_nr {
        return cells;
    }
    let wide = u128::try_from(cells).unwrap_or(0).saturating_mul(system.aio_nr.into());
    let exact = wide.checked_div(system.aio_max_nr.into()).and_then(|cells| usize::try_from(cells).ok());
    exact.unwrap_or(0).max(usize::from(system.aio_nr > 0)).min(cells.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::specimen::host;

    fn system(aio_nr: u64, aio_max_nr: u64) -> SystemView {
        SystemView { aio_nr, aio_max_nr, ..host().system }
    }

    /// Check the numbers at both ends, beyond the limit, and without one.
    #[test]
    fn ratios() {
        assert_eq!(numbers(&system(2272, 65_536)), "2272 of 65536 3.4%");
        assert_eq!(numbers(&system(1, 65_536)), "1 of 65536 0.1%");
        assert_eq!(numbers(&system(0, 65_536)), "0 of 65536 0.0%");
        assert_eq!(numbers(&system(65_535, 65_536)), "65535 of 65536 99.9%");
        assert_eq!(numbers(&system(300, 200)), "300 of 200 150.0%");
        assert_eq!(numbers(&system(5, 0)), "5 of 0 -");
        assert!(numbers(&system(u64::MAX, 1)).ends_with("00.0%"));
    }

    /// Check that a bar is full only where nothing is free, and empty only where nothing is taken.
    #[test]
    fn bars() {
        let bar = |nr, limit| taken(&system(nr, limit), 10);
        assert_eq!([bar(0, 100), bar(1, 100), bar(50, 100), bar(99, 100), bar(100, 100)], [0, 1, 5, 9, 10]);
        assert_eq!([bar(7, 0), bar(0, 0), bar(200, 100), bar(u64::MAX, u64::MAX)], [10; 4]);
    }
}
