//! One ring as a circle: entry 0 at the top, then clockwise; completions behind tail, requests in flight before it.
//!
//! Every element is always there, and only its attributes differ: so page.js redraws it without making any.

use std::fmt::Write as _;

use crate::screen::ring::Ring;
use aioinspect_model::picture::ContextView;

/// Degrees below which an arc of a few among many entries would not be seen.
const LEAST: f64 = 5.0;
/// Rings of up to so many entries show each of them.
const COUNTABLE: u64 = 200;

/// Where things are drawn, in degrees from the top.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Drawing {
    /// `None` where unknown.
    pub head: Option<f64>,
    /// `None` where unknown.
    pub tail: Option<f64>,
    /// Start and length of the completions that nobody reaped.
    pub done: (f64, f64),
    /// The same of the requests in flight.
    pub flight: (f64, f64),
    /// Degrees of an entry, where entries are drawn one by one.
    pub entry: Option<f64>,
    /// Whether all that it holds is known.
    pub known: bool,
}

impl Drawing {
    /// What is known of the context's ring; of no context, nothing.
    pub(super) fn of(context: Option<&ContextView>) -> Drawing {
        let Some(ring) = context.and_then(Ring::of) else {
            let (head, tail, nothing) = (None, None, (0.0, 0.0));
            return Drawing { head, tail, done: nothing, flight: nothing, entry: None, known: false };
        };
        let degrees = |entry: u64| float(entry) * 360.0 / float(ring.entries).max(1.0);
        let (head, tail) = (ring.head.map(degrees), ring.tail.map(degrees));
        let at = tail.unwrap_or(0.0);
        let len = |arc: Option<(u64, u64)>| arc.map_or(0.0, |(_, len)| degrees(len));
        let seen = |len: f64| if len > 0.0 { len.max(LEAST) } else { 0.0 };
        let flight_least = seen(len(ring.flight)).min(LEAST);
        let done = seen(len(ring.done)).min(360.0 - flight_least);
        let flight = seen(len(ring.flight)).min(360.0 - done);
        Drawing {
            head,
            tail,
            done: ((at - done).rem_euclid(360.0), done),
            flight: (at, flight),
            entry: (ring.entries <= COUNTABLE).then(|| degrees(1)),
            known: ring.done.is_some() && ring.flight.is_some(),
        }
    }

    /// Appends the drawing; `percent` stands in its middle.
    pub(super) fn write(&self, percent: &str, says: &str, out: &mut String) {
        let base = if self.known { "free" } else { "unknown" };
        let _ = write!(
            out,
            "<svg id=\"ring\" viewBox=\"-132 -122 264 240\" role=\"img\" aria-label=\"{says}\">\
             <g transform=\"rotate(-90)\"><circle class=\"base {base}\" r=\"80\"/>"
        );
        arc("flight", self.flight, out);
        arc("done", self.done, out);
        let (entry, shown) = self.entry.map_or((360.0, "none"), |entry| (entry, "inline"));
        let _ = write!(
            out,
            "<circle class=\"entries\" r=\"80\" pathLength=\"360\" stroke-dasharray=\"0.5 {:.3}\" display=\"{shown}\"/></g>\
             <path class=\"zero\" d=\"M0-92v-6\"/>",
            entry - 0.5
        );
        marker("head", self.head, "M0-93l6-11h-12z", 114.0, out);
        marker("tail", self.tail, "M0-67l6 11h-12z", 44.0, out);
        let _ = write!(out, "<text class=\"mid\" y=\"7\">{percent}</text></svg>");
    }
}

/// The circle is turned to where the arc begins: of a dash that is moved there instead, whose pattern fills the circle
/// exactly, Chromium begins another one a hair before the circle closes, and draws that as a splinter.
fn arc(class: &str, (start, len): (f64, f64), out: &mut String) {
    let _ = write!(
        out,
        "<circle class=\"{class}\" r=\"80\" pathLength=\"360\" stroke-dasharray=\"{len:.2} 720\" transform=\"rotate({start:.2})\"/>"
    );
}

/// An arrow at the ring, and its name beside it, upright.
fn marker(class: &str, at: Option<f64>, path: &str, radius: f64, out: &mut String) {
    let display = if at.is_some() { "inline" } else { "none" };
    let degrees = at.unwrap_or(0.0);
    let (x, y) = (radius * degrees.to_radians().sin(), 4.0 - radius * degrees.to_radians().cos());
    let _ = write!(
        out,
        "<g class=\"{class}\" display=\"{display}\"><path d=\"{path}\" transform=\"rotate({degrees:.2})\"/>\
         <text x=\"{x:.1}\" y=\"{y:.1}\">{class}</text></g>"
    );
}

/// Ring entries are numbered by 32 bits, which f64 holds exactly.
fn float(entry: u64) -> f64 {
    f64::from(u32::try_from(entry).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use crate::screen::specimen::context;

    use super::*;

    fn drawn(
        entries: Option<u32>,
        head: Option<u32>,
        tail: Option<u32>,
        done: Option<u32>,
        flight: Option<u32>,
    ) -> Drawing {
        let view = ContextView {
            nr_events: entries,
            head,
            tail,
            unreaped: done,
            in_flight: flight,
            ..context(1, 1)
        };
        Drawing::of(Some(&view))
    }

    /// Check an empty ring: both marks at one place, and no arc.
    #[test]
    fn empty() {
        let drawing = drawn(Some(360), Some(90), Some(90), Some(0), Some(0));
        assert_eq!((drawing.head, drawing.tail), (Some(90.0), Some(90.0)));
        assert_eq!((drawing.done.1, drawing.flight.1, drawing.known), (0.0, 0.0, true));
    }

    /// Check a full ring: the arcs meet, and leave the one entry that stays empty.
    #[test]
    fn full() {
        let drawing = drawn(Some(360), Some(0), Some(180), Some(180), Some(179));
        assert_eq!((drawing.done, drawing.flight), ((0.0, 180.0), (180.0, 179.0)));
    }

    /// Check completions that wrap around the end of the ring.
    #[test]
    fn wrapped() {
        let drawing = drawn(Some(360), Some(340), Some(20), Some(40), Some(10));
        assert_eq!((drawing.done, drawing.flight), ((340.0, 40.0), (20.0, 10.0)));
    }

    /// Check that few among many are seen, and never take the place of the others.
    #[test]
    fn few() {
        let drawing = drawn(Some(36_000), Some(0), Some(1), Some(1), Some(1));
        assert_eq!((drawing.done.1, drawing.flight.1), (LEAST, LEAST));
        let drawing = drawn(Some(36_000), Some(0), Some(35_998), Some(35_998), Some(1));
        assert_eq!((drawing.done.1, drawing.flight.1), (355.0, LEAST));
    }

    /// Check that the pattern of an arc cannot begin again within the circle.
    #[test]
    fn one_dash() {
        let mut svg = String::new();
        drawn(Some(127), Some(0), Some(2), Some(2), Some(4)).write("4%", "x", &mut svg);
        let done = "class=\"done\" r=\"80\" pathLength=\"360\" stroke-dasharray=\"5.67 720\" transform=\"rotate(0.00)\"";
        assert!(svg.contains(done) && !svg.contains("stroke-dashoffset"), "{svg}");
    }

    /// Check that what is not known is not drawn.
    #[test]
    fn unknown() {
        let drawing = drawn(Some(360), None, Some(7), None, Some(3));
        assert_eq!((drawing.head, drawing.tail, drawing.known), (None, Some(7.0), false));
        assert_eq!((drawing.done.1, drawing.flight.1), (0.0, LEAST));
        assert!(!drawn(None, Some(1), Some(1), Some(1), Some(1)).known);
        // A head that the process made up is no place of this ring.
        assert_eq!(drawn(Some(360), Some(u32::MAX), Some(7), Some(3), Some(0)).head, None);
        let mut svg = String::new();
        drawing.write("-", "x", &mut svg);
        assert!(svg.contains("<g class=\"head\" display=\"none\">"), "{svg}");
        assert!(svg.contains("base unknown"), "{svg}");
    }
}
