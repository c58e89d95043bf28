//! An owner that grows, in a sentence and in JSON: the same in every output.

use std::time::Duration;

use serde::Serialize;

use aioinspect_model::owner_growth::{Growing, Rate};
use aioinspect_model::units::age;

use crate::count::count;
use crate::time;

/// `64000 slots in 64 contexts, 12000 more in 3 h 5 min, 4000 an hour: at the rate of all that grow no slot is free in 2 h 10 min`.
pub fn in_words(of: &Growing) -> String {
    let contexts = count(of.owner.contexts, "context");
    let what = match of.owner.slots {
        0 => format!("{contexts}, {} more", of.more_contexts()),
        slots => format!("{slots} slots in {contexts}, {} more", of.more_slots()),
    };
    let until = match of.limit_in_ns {
        Some(0) => "; no slot is free now".to_owned(),
        Some(ns) => format!(": at the rate of all that grow no slot is free in {}", long(ns)),
        None => String::new(),
    };
    format!("{what} in {}, {}{until}", long(of.for_ns), rate(of.rate))
}

/// `4000 an hour`, `0.5 a day`.
pub fn rate(rate: Rate) -> String {
    let hour = rate.per_hour();
    if hour >= 10.0 {
        format!("{hour:.0} an hour")
    } else if hour >= 1.0 {
        format!("{hour:.1} an hour")
    } else {
        format!("{:.1} a day", hour * 24.0)
    }
}

/// An age, of which days are days.
fn long(ns: u64) -> String {
    const DAY: u64 = 86_400_000_000_000;
    if ns < 2 * DAY {
        return age(ns);
    }
    format!("{} days", ns / DAY)
}

/// Its growth, with the keys that every document has it under.
#[derive(Serialize)]
pub(crate) struct GrowthKeys {
    since: String,
    grew_seconds: f64,
    contexts_before: u64,
    slots_before: Option<u64>,
    slots_per_hour: Option<f64>,
    full_in_seconds: Option<f64>,
}

impl From<&Growing> for GrowthKeys {
    fn from(of: &Growing) -> Self {
        let seconds = |ns| Duration::from_nanos(ns).as_secs_f64();
        // A context has at least one slot: 0 means that their number is not known.
        let known = of.owner.slots > 0 && (of.since.slots > 0 || of.since.contexts == 0);
        Self {
            since: time::full(of.since.unix_ns),
            grew_seconds: seconds(of.for_ns),
            contexts_before: of.since.contexts,
            slots_before: Some(of.since.slots).filter(|_| known),
            slots_per_hour: Some(of.rate.per_hour()).filter(|_| known),
            full_in_seconds: of.limit_in_ns.map(seconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_specimens;

    /// Check that an owner that did not exist before had 0 slots, and that where slots are not known all about them is null.
    #[test]
    fn slots_before() {
        let keys = |slots, since_slots, since_contexts| {
            let mut of = event_specimens::growing();
            (of.owner.slots, of.since.slots, of.since.contexts) = (slots, since_slots, since_contexts);
            let keys = GrowthKeys::from(&of);
            (keys.slots_before, keys.slots_per_hour.is_some())
        };
        assert_eq!(keys(70, 10, 1), (Some(10), true));
        assert_eq!(keys(70, 0, 0), (Some(0), true));
        assert_eq!(keys(0, 0, 0), (None, false));
        assert_eq!(keys(0, 0, 4), (None, false));
        assert_eq!(keys(70, 0, 4), (None, false));
    }

    /// Check the sentence, and rates and times from an hour to a year.
    #[test]
    fn words() {
        let growing = event_specimens::growing();
        let expected = "63000 slots in 63 contexts, 12000 more in 3 h 5 min, 4000 an hour: at the rate of all that grow no slot is free in 38 min 6 s";
        assert_eq!(in_words(&growing), expected);
        let of_contexts = |contexts| {
            let mut of = growing.clone();
            (of.owner.slots, of.owner.contexts, of.since.slots, of.limit_in_ns) = (0, contexts, 0, None);
            in_words(&of)
        };
        assert_eq!(of_contexts(63), "63 contexts, 12 more in 3 h 5 min, 4000 an hour");
        let rated = |more, hours: u64| rate(Rate { more, ns: hours * 3_600_000_000_000 });
        assert_eq!(
            [rated(99, 10), rated(10, 1), rated(1, 48), rated(0, 0)],
            ["9.9 an hour", "10 an hour", "0.5 a day", "0.0 a day"]
        );
        assert_eq!((long(u64::MAX), long(0)), ("213503 days".to_owned(), "0 s".to_owned()));
        let full = Growing { limit_in_ns: Some(0), ..growing };
        assert!(in_words(&full).ends_with("4000 an hour; no slot is free now"));
    }
}
