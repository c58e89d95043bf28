//! One line of the time that went by: what was reserved, and what failed.
//!
//! ```text
//! reserved ▁▁▂▂▂▅▅▅▆▆██ peak 64000  failed          ▂█ 12  10 min
//! ```

use std::borrow::Cow;

use aioinspect_model::history::{Column, History};

use crate::screen::canvas::{Canvas, width};
use crate::screen::theme::Tone;

const SECOND_NS: u64 = 1_000_000_000;
/// Time of a sign: the shortest with which all that is known has room.
const STEPS: [u64; 9] = [10, 20, 30, 60, 120, 180, 300, 600, 1800];
/// For how long what was measured holds: pictures may be a minute apart.
const HOLD_NS: u64 = 120 * SECOND_NS;
/// Signs of a row: more say nothing more, fewer say nothing.
const MOST: usize = 60;
const FEWEST: usize = 8;
/// Below this width only what was reserved is shown.
const BOTH: usize = 60;

const DRAWN: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
const TYPED: [&str; 8] = [".", ":", "-", "=", "+", "*", "%", "#"];

/// What the line tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sparks<'a> {
    history: &'a History,
    now_ns: u64,
    since_ns: u64,
}

impl<'a> Sparks<'a> {
    /// The line of a history up to now; `None` before there is anything to compare.
    pub(super) fn of(history: &'a History, now_ns: u64) -> Option<Self> {
        let mut known = history.cells().filter(|cell| cell.from_ns <= now_ns && cell.moment.is_some());
        let since_ns = known.next()?.from_ns;
        known.next()?;
        Some(Self { history, now_ns, since_ns })
    }

    /// Draws it on a line.
    pub(super) fn draw(&self, canvas: &mut Canvas<'_>, y: usize) {
        let room = canvas.width();
        let both = room >= BOTH;
        let numbers = |columns: &[Column]| {
            let (peak, failed) = numbers(columns);
            (format!(" peak {peak}"), format!(" {failed}"))
        };
        // Numbers first: the signs take what they leave. Those of fewer signs are no longer.
        let (peak, failed) = numbers(&self.columns(MOST).0);
        let words = width("reserved ").saturating_add(width(&peak)).saturating_add(width("  100 min"));
        let more = width("  failed ").saturating_add(width(&failed));
        let cells = if both {
            room.saturating_sub(words).saturating_sub(more) / 2
        } else {
            room.saturating_sub(words)
        };
        if cells < FEWEST {
            return;
        }
        let (columns, step) = self.columns(cells.min(MOST));
        let (peak, failed) = numbers(&columns);
        let signs = if canvas.theme.ascii { &TYPED } else { &DRAWN };
        let most = |of: fn(&Column) -> u64| columns.iter().map(of).max().unwrap_or(0);
        let limit = most(|column| column.moment.as_ref().map_or(0, |moment| moment.limit));
        let highest = most(|column| column.moment.as_ref().map_or(0, |moment| moment.reserved));
        // Under the limit, unless all of it would be flat there.
        let top = if highest.saturating_mul(5) >= limit { highest.max(limit) } else { highest };
        let reserved: String = (columns.iter())
            .map(|column| column.moment.as_ref().map_or(" ", |moment| sign(signs, moment.reserved, top)))
            .collect();
        let most_failed = most(|column| column.failures);
        let failures: String = (columns.iter())
            .map(|column| if column.failures == 0 { " " } else { sign(signs, column.failures, most_failed) })
            .collect();
        let minutes = step.saturating_mul(u64::try_from(columns.len()).unwrap_or(0)).div_ceil(60);
        let mut parts: Vec<(Cow<'_, str>, Tone)> = vec![
            ("reserved ".into(), Tone::Faint),
            (
                reserved.into(),
                if highest.saturating_mul(10) >= limit.saturating_mul(9) { Tone::Bad } else { Tone::Good },
            ),
            (peak.into(), Tone::Plain),
        ];
        if both {
            let tone = if most_failed > 0 { Tone::Bad } else { Tone::Plain };
            parts.extend([("  failed ".into(), Tone::Faint), (failures.into(), tone), (failed.into(), tone)]);
        }
        parts.push((format!("  {minutes} min").into(), Tone::Faint));
        canvas.parts(0, y, &parts, room);
    }

    /// Columns from the beginning up to now, so many at most, and the seconds of each.
    fn columns(&self, most: usize) -> (Vec<Column>, u64) {
        let needed = |step: u64| {
            let of = |at: u64| (at / SECOND_NS).checked_div(step).unwrap_or(0);
            usize::try_from(of(self.now_ns).saturating_sub(of(self.since_ns)).saturating_add(1))
                .unwrap_or(usize::MAX)
        };
        let step = STEPS.into_iter().find(|step| needed(*step) <= most).unwrap_or(1800);
        let count = needed(step).min(most);
        (self.history.columns(self.now_ns, step.saturating_mul(SECOND_NS), count, HOLD_NS), step)
    }
}

/// The highest number of slots, and the sum of failures.
fn numbers(columns: &[Column]) -> (u64, u64) {
    let moments = columns.iter().filter_map(|column| column.moment.as_ref());
    let failed = columns.iter().fold(0_u64, |sum, column| sum.saturating_add(column.failures));
    (moments.map(|moment| moment.reserved).max().unwrap_or(0), failed)
}

/// A sign as high as a number among others, and never none.
fn sign(signs: &[&'static str; 8], number: u64, top: u64) -> &'static str {
    let part = u128::from(number).saturating_mul(8).div_ceil(u128::from(top.max(1))).clamp(1, 8);
    let place = usize::try_from(part).unwrap_or(8).saturating_sub(1);
    signs.get(place).copied().unwrap_or(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check the heights at both ends and between.
    #[test]
    fn heights() {
        let of = |number, top| sign(&TYPED, number, top);
        assert_eq!(
            [of(0, 100), of(1, 100), of(13, 100), of(50, 100), of(99, 100), of(100, 100)],
            [".", ".", ":", "=", "#", "#"]
        );
        assert_eq!([of(7, 0), of(u64::MAX, 1)], ["#", "#"]);
    }
}
