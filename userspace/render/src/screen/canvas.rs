//! What is drawn on: cells of a terminal, of any size. What lies outside is not drawn.

use std::borrow::Cow;

use ratatui::buffer::Buffer;
use ratatui::style::Style;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::screen::theme::{Signs, Theme, Tone};

/// A rectangle of cells, counted from its own upper left corner.
#[derive(Debug)]
pub(super) struct Canvas<'b> {
    buffer: &'b mut Buffer,
    /// How it looks.
    pub theme: Theme,
}

impl<'b> Canvas<'b> {
    /// All of a buffer.
    pub(super) fn new(buffer: &'b mut Buffer, theme: Theme) -> Self {
        Self { buffer, theme }
    }

    /// How many columns it has.
    pub(super) fn width(&self) -> usize {
        self.buffer.area.width.into()
    }

    /// How many lines it has.
    pub(super) fn height(&self) -> usize {
        self.buffer.area.height.into()
    }

    /// The signs to draw with.
    pub(super) fn signs(&self) -> &'static Signs {
        self.theme.signs()
    }

    /// Writes a text, cut to `width` columns with a mark where something is missing; returns the columns it took.
    pub(super) fn put(&mut self, x: usize, y: usize, text: &str, width: usize, tone: Tone) -> usize {
        let room = width.min(self.width().saturating_sub(x));
        let text = self.theme.text(text);
        let text = cut(&text, room, self.signs().more);
        let (Some(column), Some(line)) = (self.column(x), self.line(y)) else { return 0 };
        if room == 0 {
            return 0;
        }
        // Nothing is left of the style of what was there.
        let style = Style::reset().patch(self.theme.style(tone));
        let (end, _) = self.buffer.set_stringn(column, line, &text, room, style);
        usize::from(end.saturating_sub(column))
    }

    /// Writes to the end of the line.
    pub(super) fn write(&mut self, x: usize, y: usize, text: &str, tone: Tone) -> usize {
        self.put(x, y, text, self.width().saturating_sub(x), tone)
    }

    /// Writes parts one after the other, up to `width` columns; returns the columns they took.
    pub(super) fn parts(
        &mut self,
        x: usize,
        y: usize,
        parts: &[(Cow<'_, str>, Tone)],
        width: usize,
    ) -> usize {
        let mut used = 0_usize;
        for (text, tone) in parts {
            used = used.saturating_add(self.put(
                x.saturating_add(used),
                y,
                text,
                width.saturating_sub(used),
                *tone,
            ));
        }
        used
    }

    /// Gives a whole line a style, blanks included.
    pub(super) fn line_tone(&mut self, y: usize, tone: Tone) {
        let blanks = " ".repeat(self.width());
        self.write(0, y, &blanks, tone);
    }

    /// A line across, from `x` on.
    pub(super) fn rule(&mut self, x: usize, y: usize) {
        let rule = self.signs().rule.repeat(self.width().saturating_sub(x));
        self.write(x, y, &rule, Tone::Faint);
    }

    fn column(&self, x: usize) -> Option<u16> {
        let area = self.buffer.area;
        u16::try_from(x).ok().filter(|x| *x < area.width).and_then(|x| area.x.checked_add(x))
    }

    fn line(&self, y: usize) -> Option<u16> {
        let area = self.buffer.area;
        u16::try_from(y).ok().filter(|y| *y < area.height).and_then(|y| area.y.checked_add(y))
    }
}

/// Columns of a text.
pub(super) fn width(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.width() }
}

/// The beginning of a text that is too long, and a mark for the rest.
pub(super) fn cut(text: &str, room: usize, more: char) -> Cow<'_, str> {
    if width(text) <= room {
        return Cow::Borrowed(text);
    }
    let mut kept = String::new();
    let mut used = 0_usize;
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if used.saturating_add(wide) >= room {
            break;
        }
        used = used.saturating_add(wide);
        kept.push(c);
    }
    if room > 0 {
        kept.push(more);
    }
    Cow::Owned(kept)
}

/// A text in lines of at most `room` columns, broken at blanks where there are any.
pub(super) fn wrapped(text: &str, room: usize) -> Vec<String> {
    let room = room.max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0_usize;
    for word in text.split(' ') {
        let wide = width(word);
        if used > 0 && used.saturating_add(1).saturating_add(wide) > room {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        if used > 0 {
            line.push(' ');
            used = used.saturating_add(1);
        }
        for c in word.chars() {
            let wide = c.width().unwrap_or(0);
            if used > 0 && used.saturating_add(wide) > room {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            line.push(c);
            used = used.saturating_add(wide);
        }
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;

    use super::*;

    /// Check that what is cut says so, and that a wide character is never halved.
    #[test]
    fn cutting() {
        assert_eq!(cut("abc", 3, '…'), "abc");
        assert_eq!(cut("abcd", 3, '…'), "ab…");
        assert_eq!(cut("名前名", 4, '…'), "名…");
        assert_eq!(cut("abc", 1, '…'), "…");
        assert_eq!(cut("abc", 0, '…'), "");
    }

    /// Check that lines are broken at blanks, and words that are too long anywhere.
    #[test]
    fn wrapping() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrapped("", 3), [""]);
        assert_eq!(wrapped("名前", 1), ["名", "前"]);
    }

    /// Check that nothing is drawn outside, whatever is asked for, and that ASCII is kept.
    #[test]
    fn clipping() {
        for (columns, lines) in [(0, 0), (1, 1), (5, 2)] {
            let mut buffer = Buffer::empty(Rect::new(3, 4, columns, lines));
            let mut canvas = Canvas::new(&mut buffer, Theme { color: true, ascii: true });
            for (x, y) in [(0, 0), (4, 1), (5, 0), (0, 2), (usize::MAX, usize::MAX)] {
                canvas.write(x, y, "ü名前", Tone::Bad);
                canvas.put(x, y, "x", usize::MAX, Tone::Plain);
            }
            canvas.line_tone(9, Tone::Heading);
            canvas.rule(2, 0);
            assert!(buffer.content.iter().all(|cell| cell.symbol().is_ascii()));
        }
    }
}
