//! How the screen looks: the style of each kind of text, and the signs that are not letters.

use std::borrow::Cow;
use std::fmt::Write as _;

use ratatui::style::{Color, Modifier, Style};

use crate::escape::escaped;

/// What the terminal can show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Theme {
    /// Whether to use colour.
    pub color: bool,
    /// Whether nothing but ASCII may be drawn, in names too.
    pub ascii: bool,
}

/// What a text is, which decides its style.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Nothing special.
    #[default]
    Plain,
    /// Worth a look.
    Strong,
    /// Less worth a look.
    Faint,
    /// The name of a pane.
    Title,
    /// The name of the pane that takes the keys.
    Focus,
    /// Headings of a table.
    Heading,
    /// The heading it is sorted by.
    Sorted,
    /// The selected row of the pane that takes the keys.
    Selected,
    /// The selected row of another pane.
    Marked,
    /// As it should be.
    Good,
    /// Something waits.
    Pending,
    /// Something is wrong.
    Bad,
    /// A key to press.
    Key,
}

/// The signs that are not letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signs {
    /// A ring entry with a completion.
    pub done: &'static str,
    /// A ring entry that a request in flight will take.
    pub flight: &'static str,
    /// A free ring entry.
    pub free: &'static str,
    /// A ring entry of which nothing is known.
    pub unknown: &'static str,
    /// The part of a bar that is reserved.
    pub used: &'static str,
    /// The rest of it.
    pub unused: &'static str,
    /// Points down: descending, and at what is below.
    pub down: &'static str,
    /// Points up: ascending, and at what is above.
    pub up: &'static str,
    /// A line between panes.
    pub rule: &'static str,
    /// Stands for what was cut off.
    pub more: char,
}

const DRAWN: Signs = Signs {
    done: "█",
    flight: "▒",
    free: "·",
    unknown: "?",
    used: "█",
    unused: "░",
    down: "▼",
    up: "▲",
    rule: "─",
    more: '…',
};

const TYPED: Signs = Signs {
    done: "#",
    flight: "=",
    free: ".",
    unknown: "?",
    used: "|",
    unused: ".",
    down: "v",
    up: "^",
    rule: "-",
    more: '~',
};

impl Theme {
    /// The signs to draw with.
    pub fn signs(self) -> &'static Signs {
        if self.ascii { &TYPED } else { &DRAWN }
    }

    /// A name from outside as one harmless line, in ASCII if nothing else may be drawn.
    pub fn name(self, bytes: &[u8]) -> Cow<'_, str> {
        match escaped(bytes) {
            Cow::Borrowed(text) => Cow::Borrowed(text),
            Cow::Owned(text) if self.ascii => Cow::Owned(spelled(&text)),
            Cow::Owned(text) => Cow::Owned(text),
        }
    }

    /// A text of ours, which may have names in it that are escaped already.
    pub fn text(self, text: &str) -> Cow<'_, str> {
        if self.ascii && !text.is_ascii() { Cow::Owned(spelled(text)) } else { Cow::Borrowed(text) }
    }

    /// The style of a kind of text. Without colour the difference is made by weight and inversion.
    pub fn style(self, tone: Tone) -> Style {
        let plain = Style::new();
        let strong = plain.add_modifier(Modifier::BOLD);
        let turned = plain.add_modifier(Modifier::REVERSED);
        if !self.color {
            return match tone {
                Tone::Plain | Tone::Good => plain,
                Tone::Strong | Tone::Pending | Tone::Title | Tone::Bad | Tone::Key | Tone::Marked => strong,
                Tone::Faint => plain.add_modifier(Modifier::DIM),
                Tone::Heading => plain.add_modifier(Modifier::UNDERLINED),
                Tone::Sorted => strong.add_modifier(Modifier::UNDERLINED),
                Tone::Focus | Tone::Selected => turned,
            };
        }
        match tone {
            Tone::Plain => plain,
            Tone::Strong => strong,
            Tone::Faint => plain.fg(Color::DarkGray),
            Tone::Title | Tone::Key => strong.fg(Color::Cyan),
            Tone::Focus => strong.fg(Color::Black).bg(Color::Cyan),
            Tone::Heading => plain.fg(Color::Black).bg(Color::Green),
            Tone::Sorted | Tone::Selected => plain.fg(Color::Black).bg(Color::Cyan),
            Tone::Marked => plain.fg(Color::Black).bg(Color::Gray),
            Tone::Good => plain.fg(Color::Green),
            Tone::Pending => plain.fg(Color::Yellow),
            Tone::Bad => strong.fg(Color::Red),
        }
    }
}

/// Every character that is not ASCII as the bytes of its UTF-8, as [`escaped`] spells those that do harm.
fn spelled(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that names are harmless, and ASCII where they must be.
    #[test]
    fn names() {
        let both = |bytes: &'static [u8]| {
            [false, true].map(|ascii| Theme { color: false, ascii }.name(bytes).into_owned())
        };
        assert_eq!(both("grün\x1b".as_bytes()), ["grün\\x1b", "gr\\xc3\\xbcn\\x1b"]);
        assert_eq!(both(b"plain"), ["plain", "plain"]);
    }

    /// Check that no style has a colour where none is allowed.
    #[test]
    fn no_colour_is_none() {
        for tone in
            [Tone::Focus, Tone::Heading, Tone::Sorted, Tone::Selected, Tone::Marked, Tone::Bad, Tone::Good]
        {
            let style = Theme { color: false, ascii: false }.style(tone);
            assert_eq!((style.fg, style.bg, style.underline_color), (None, None, None), "{tone:?}");
        }
    }
}
