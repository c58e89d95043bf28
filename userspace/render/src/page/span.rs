//! How far back the plot reaches.

use aioinspect_model::history::History;

const SECOND_NS: u64 = 1_000_000_000;

/// Columns of the plot.
pub(super) const COLUMNS: usize = 120;

/// A stretch of time up to now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// Twenty minutes, a column each ten seconds.
    Minutes20,
    /// An hour, a column each thirty seconds.
    Hour,
    /// Six hours, a column each three minutes.
    Hours6,
}

impl Span {
    pub(super) const ALL: [Span; 3] = [Span::Minutes20, Span::Hour, Span::Hours6];

    /// Its name in addresses.
    pub(super) fn word(self) -> &'static str {
        match self {
            Span::Minutes20 => "20m",
            Span::Hour => "1h",
            Span::Hours6 => "6h",
        }
    }

    /// Its name on the page.
    pub(super) fn says(self) -> &'static str {
        match self {
            Span::Minutes20 => "20 min",
            Span::Hour => "1 h",
            Span::Hours6 => "6 h",
        }
    }

    /// The one of this name.
    pub(super) fn named(word: &str) -> Option<Span> {
        Span::ALL.into_iter().find(|span| span.word() == word)
    }

    /// The shortest that has all that is known, as of now.
    pub(super) fn of(history: &History, now_ns: u64) -> Span {
        let known = now_ns.saturating_sub(history.since_ns().unwrap_or(now_ns));
        let reaches =
            |span: &Span| known <= span.step_ns().saturating_mul(u64::try_from(COLUMNS).unwrap_or(u64::MAX));
        Span::ALL.into_iter().find(reaches).unwrap_or(Span::Hours6)
    }

    /// Time of a column.
    pub(super) fn step_ns(self) -> u64 {
        SECOND_NS
            * match self {
                Span::Minutes20 => 10,
                Span::Hour => 30,
                Span::Hours6 => 180,
            }
    }

    /// Time between two labels.
    pub(super) fn label_ns(self) -> u64 {
        SECOND_NS
            * match self {
                Span::Minutes20 => 5 * 60,
                Span::Hour => 10 * 60,
                Span::Hours6 => 3600,
            }
    }
}
