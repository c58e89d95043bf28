//! A page of text that is longer than the screen: paragraphs, facts and drawings, wrapped to the width and scrolled.

use crate::screen::canvas::{Canvas, width, wrapped};
use crate::screen::theme::Tone;

/// Columns of the names of facts.
const NAMES: usize = 14;

/// A line: where each part begins, its text and its style.
pub(super) type Line = Vec<(usize, String, Tone)>;

/// Lines for a screen of a certain width.
#[derive(Debug)]
pub(super) struct Page {
    width: usize,
    lines: Vec<Line>,
}

impl Page {
    /// An empty page of so many columns.
    pub(super) fn new(width: usize) -> Self {
        Self { width, lines: Vec::new() }
    }

    /// How many columns it was made for.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// How many lines it has so far.
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// Adds an empty line.
    pub(super) fn gap(&mut self) {
        self.lines.push(Line::new());
    }

    /// Adds a line as it is; what does not fit is cut.
    pub(super) fn line(&mut self, line: Line) {
        self.lines.push(line);
    }

    /// Adds a heading.
    pub(super) fn heading(&mut self, text: &str) {
        self.text(0, text, Tone::Title);
    }

    /// Adds a text, wrapped, that many columns from the left.
    pub(super) fn text(&mut self, indent: usize, text: &str, tone: Tone) {
        for line in wrapped(text, self.width.saturating_sub(indent)) {
            self.lines.push(vec![(indent, line, tone)]);
        }
    }

    /// Adds a name and what is to be said to it.
    pub(super) fn fact(&mut self, name: &str, text: &str, tone: Tone) {
        self.pair(NAMES, name, Tone::Faint, text, tone);
    }

    /// Adds a name in a column of that width, and what is to be said to it, which is wrapped beside it.
    pub(super) fn pair(&mut self, names: usize, name: &str, name_tone: Tone, text: &str, tone: Tone) {
        // Beside a name there must be room for more than a word or two.
        if self.width < names.saturating_mul(5) / 2 {
            if !name.is_empty() {
                self.text(0, name, name_tone);
            }
            self.text(2, text, tone);
            return;
        }
        let at = names.max(width(name).saturating_add(2));
        let mut first = Some((0, name.to_owned(), name_tone));
        for line in wrapped(text, self.width.saturating_sub(at)) {
            self.lines.push(first.take().into_iter().chain([(at, line, tone)]).collect());
        }
    }

    /// Draws the lines from number `top` on, from line `y` on.
    pub(super) fn draw(&self, canvas: &mut Canvas<'_>, y: usize, height: usize, top: usize) {
        for (nth, line) in self.lines.iter().skip(top).take(height).enumerate() {
            for (x, text, tone) in line {
                canvas.write(*x, y.saturating_add(nth), text, *tone);
            }
        }
    }
}
