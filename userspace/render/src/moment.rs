//! A time of a recording, as a person types it. Always UTC, as all times are shown.

use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::time;

const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400 * SECOND;
/// What can be typed, for messages.
pub const EXAMPLES: &str = "03:00, 2026-01-31T03:00, 10m ago, +10m or -1h";

/// A time that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// In nanoseconds since 1970.
    At(u64),
    /// A time of the day that is shown, in nanoseconds; of the day before if it is after the end of the recording.
    OfDay(u64),
    /// So long before now.
    Ago(u64),
    /// So long after what is shown.
    Later(u64),
    /// So long before what is shown.
    Earlier(u64),
}

/// Reads `03:00`, `03:00:30`, `2026-01-31T03:00`, the same with seconds, with a blank for the T, with Z or another zone, `10m ago`, `+10m`, `-1h30m`.
pub fn parse(text: &str) -> Result<Asked, String> {
    let text = text.trim();
    let wrong = || format!("expected a time in UTC such as {EXAMPLES}");
    if let Some(ago) = text.strip_suffix("ago") {
        return span(ago.trim()).map(Asked::Ago).ok_or_else(wrong);
    }
    if let Some(later) = text.strip_prefix('+') {
        return span(later.trim()).map(Asked::Later).ok_or_else(wrong);
    }
    if let Some(earlier) = text.strip_prefix('-') {
        return span(earlier.trim()).map(Asked::Earlier).ok_or_else(wrong);
    }
    if let Some(rest) = after_date(text) {
        // What the parsers would pass over is refused: a zone by its name, and a zone without its time.
        if text.contains('[') {
            return Err(wrong());
        }
        let at = text.parse::<Timestamp>().ok().or_else(|| {
            let text = text.strip_suffix(['Z', 'z']).filter(|_| !rest.is_empty()).unwrap_or(text);
            let is_plain = !rest.contains(['+', '-']);
            is_plain
                .then_some(text)?
                .parse::<DateTime>()
                .ok()?
                .to_zoned(TimeZone::UTC)
                .ok()
                .map(|zoned| zoned.timestamp())
        });
        let at = at.and_then(|at| u64::try_from(at.as_nanosecond()).ok());
        return at.map(Asked::At).ok_or_else(wrong);
    }
    let of_day = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    let is_plain = of_day.contains(':') && of_day.chars().all(|c| matches!(c, '0'..='9' | ':' | '.'));
    let time = is_plain.then(|| of_day.parse::<Time>().ok()).flatten().ok_or_else(wrong)?;
    let since = time.duration_since(Time::midnight());
    Ok(Asked::OfDay(nanoseconds(since)))
}

/// What follows a date such as `2026-01-31`; `None`: it does not begin with one.
fn after_date(text: &str) -> Option<&str> {
    let (date, rest) = text.split_at_checked(10)?;
    let is_date = date.bytes().zip(0_u8..).all(|(byte, place)| match place {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    is_date.then_some(rest)
}

impl Asked {
    /// The time that is meant, in nanoseconds since 1970: where a picture of `shown` is seen of a recording that ends at `end`, and now it is `now`.
    pub fn resolve(self, now: u64, shown: u64, end: u64) -> u64 {
        match self {
            Asked::At(at) => at,
            Asked::OfDay(since) => {
                let midnight = shown.checked_div(DAY).unwrap_or(0).saturating_mul(DAY);
                let at = midnight.saturating_add(since);
                if at > end { at.saturating_sub(DAY) } else { at }
            }
            Asked::Ago(span) => now.saturating_sub(span),
            Asked::Later(span) => shown.saturating_add(span),
            Asked::Earlier(span) => shown.saturating_sub(span),
        }
    }
}

/// `2026-01-31T03:00:05.000000000Z`, as in all JSON.
pub fn full(unix_ns: u64) -> String {
    time::full(unix_ns)
}

/// `2026-01-31 03:00:05 UTC`.
pub fn in_words(unix_ns: u64) -> String {
    let full = time::full(unix_ns);
    format!("{} UTC", full.get(..19).unwrap_or(&full).replacen('T', " ", 1))
}

/// `90s`, `10m`, `1h30m`, `2d`, also with blanks in between; in nanoseconds, at most a thousand years.
fn span(text: &str) -> Option<u64> {
    let mut sum = 0_u64;
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at_checked(digits)?;
        let after = after.trim_start();
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(letters)?;
        let seconds = match unit {
            "s" | "sec" => 1,
            "m" | "min" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return None,
        };
        let part = number.parse::<u64>().ok()?.checked_mul(seconds)?.checked_mul(SECOND)?;
        sum = sum.checked_add(part)?;
        rest = after.trim_start();
    }
    Some(sum)
}

fn nanoseconds(duration: SignedDuration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026-01-31 03:00:00.
    const THREE: u64 = 1_769_828_400 * SECOND;

    /// Check each way to say a time, and what is none.
    #[test]
    fn each_way() {
        for text in [
            "2026-01-31T03:00",
            "2026-01-31T03:00:00",
            "2026-01-31T03:00Z",
            "2026-01-31T03:00:00Z",
            "2026-01-31 03:00",
            "2026-01-31 03:00:00Z",
            "2026-01-31T04:00:00+01:00",
            "2026-01-31T04:00+01:00",
            "2026-01-31T01:00-02",
            " 2026-01-31T03:00:00.000000000Z ",
        ] {
            assert_eq!(parse(text), Ok(Asked::At(THREE)), "{text}");
        }
        assert_eq!(parse("2026-01-31"), Ok(Asked::At(THREE - 3 * 3600 * SECOND)));
        for (text, hours) in [("03:00", 3), ("03:00:00", 3), ("00:00", 0), ("23:00Z", 23)] {
            assert_eq!(parse(text), Ok(Asked::OfDay(hours * 3600 * SECOND)), "{text}");
        }
        for (text, seconds) in [
            ("10m ago", 600),
            ("90s ago", 90),
            ("1h30m ago", 5400),
            ("1h 30m ago", 5400),
            ("2 d ago", 172_800),
        ] {
            assert_eq!(parse(text), Ok(Asked::Ago(seconds * SECOND)), "{text}");
        }
        assert_eq!(parse("+10m"), Ok(Asked::Later(600 * SECOND)));
        assert_eq!(parse("-1h"), Ok(Asked::Earlier(3600 * SECOND)));
        for text in [
            "",
            "3",
            "03",
            "3 o'clock",
            "25:00",
            "03:60",
            "2026-02-30T03:00",
            "ago",
            "10 ago",
            "m ago",
            "+",
            "-",
            "+1y",
            "1960-01-01T00:00",
            "99999999999999999999d ago",
            "+18446744073709551615s",
            "2026-01-31T",
            "yesterday",
            "ä:ö",
            "20260131T03:00",
            "2026-0131T03:00",
            "+002026-01-31T03:00",
            "03:00+01:00",
            "03:00-01:00",
            "T03:00",
            "T03:00Z",
            "03:00[Europe/Berlin]",
            "2026-01-31T04:00[Europe/Berlin]",
            "2026-01-31T04:00+01:00[Europe/Berlin]",
            "2026-01-31T04:00Z[Europe/Berlin]",
            "2026-01-31[Europe/Berlin]",
            "2026-01-31+01:00",
            "2026-01-31T04:00+99:00",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    /// Check what a time of the day means: of the day that is shown, and never what was not yet.
    #[test]
    fn of_day() {
        let hour = 3600 * SECOND;
        let three = parse("03:00").unwrap();
        assert_eq!(three.resolve(0, THREE + 5 * hour, THREE + 50 * hour), THREE);
        assert_eq!(three.resolve(0, THREE - hour, THREE + 50 * hour), THREE);
        assert_eq!(three.resolve(0, THREE - hour, THREE - hour), THREE - 24 * hour);
        assert_eq!(parse("+10m").unwrap().resolve(0, THREE, 0), THREE + hour / 6);
        assert_eq!(parse("-1h").unwrap().resolve(0, THREE, 0), THREE - hour);
        assert_eq!(parse("1h ago").unwrap().resolve(THREE, 5, 9), THREE - hour);
        assert_eq!(parse("1h ago").unwrap().resolve(0, 5, 9), 0);
        assert_eq!(in_words(THREE + 5_999_999_999), "2026-01-31 03:00:05 UTC");
    }

    proptest! {
        /// Check that no text ends the program, and that what is said in words is understood.
        #[test]
        fn any_text(text: String, some in "[-+0-9:TZdhms ago]{0,24}", seconds in 0_u64..4_000_000_000) {
            let _ = (parse(&text), parse(&some));
            let at = seconds * SECOND;
            prop_assert_eq!(parse(in_words(at).trim_end_matches(" UTC")), Ok(Asked::At(at)));
            if let Ok(asked) = parse(&some) {
                asked.resolve(u64::MAX, u64::MAX, 0);
                asked.resolve(0, 0, u64::MAX);
            }
        }
    }
}
