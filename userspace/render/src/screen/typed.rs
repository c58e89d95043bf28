//! What a terminal sends for each key: xterm's sequences, and those of its kin and of the Linux console.
//!
//! ```text
//! A                 the letter            ESC [ A, ESC O A   up
//! 0x01 to 0x1a      Ctrl and a letter     ESC [ 5 ~          page up
//! ESC, and no more  Escape                ESC [ [ A          F1 of the Linux console
//! ```

use crate::screen::key::Key;

const ESC: u8 = 0x1b;
/// No sequence of a key is longer.
const LONGEST: usize = 32;

/// Reads bytes as they come: a sequence may come in two pieces.
#[derive(Debug, Default)]
pub struct Typed {
    pending: Vec<u8>,
}

impl Typed {
    /// The keys that are complete with these bytes.
    pub fn read(&mut self, bytes: &[u8]) -> Vec<Key> {
        self.pending.extend_from_slice(bytes);
        let pending = std::mem::take(&mut self.pending);
        let mut rest = pending.as_slice();
        let mut keys = Vec::new();
        while let Some((key, used)) = first(rest) {
            keys.extend(key);
            rest = rest.get(used.max(1)..).unwrap_or_default();
        }
        self.pending = rest.to_vec();
        keys
    }

    /// Whether a sequence has begun.
    pub fn is_waiting(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The rest does not come: what begins like a sequence was the key Escape.
    pub fn give_up(&mut self) -> Vec<Key> {
        let pending = std::mem::take(&mut self.pending);
        if pending.first() == Some(&ESC) { vec![Key::Esc] } else { Vec::new() }
    }
}

/// The first key, if it is one we know, and its bytes; `None` while it is not complete.
fn first(bytes: &[u8]) -> Option<(Option<Key>, usize)> {
    match bytes {
        [] | [ESC] => None,
        [ESC, b'[', b'[', rest @ ..] => {
            let last = rest.first()?;
            Some(((*last == b'A').then_some(Key::F1), 4))
        }
        [ESC, b'[', rest @ ..] => sequence(rest).map(|(key, used)| (key, used.saturating_add(2))),
        [ESC, b'O', rest @ ..] => rest.first().map(|last| (named(b"", *last), 3)),
        [ESC, ..] => Some((Some(Key::Esc), 1)),
        [b'\r' | b'\n', ..] => Some((Some(Key::Enter), 1)),
        [b'\t', ..] => Some((Some(Key::Tab), 1)),
        [0x7f | 0x08, ..] => Some((Some(Key::Backspace), 1)),
        [letter @ 1..=26, ..] => Some((Some(Key::Ctrl(char::from(letter.saturating_add(b'a' - 1)))), 1)),
        [0..b' ', ..] => Some((None, 1)),
        [_, ..] => character(bytes),
    }
}

/// What follows `ESC [`: parameters, and a last byte that says what it is.
fn sequence(bytes: &[u8]) -> Option<(Option<Key>, usize)> {
    let Some(end) = bytes.iter().position(|byte| !(b' '..=b'?').contains(byte)) else {
        return (bytes.len() > LONGEST).then_some((None, bytes.len()));
    };
    let (parameters, last) = (bytes.get(..end)?, bytes.get(end)?);
    // A control character cannot be the last byte: the sequence was cut off.
    if *last < b'@' || *last > b'~' {
        return Some((None, end));
    }
    Some((named(parameters, *last), end.saturating_add(1)))
}

fn named(parameters: &[u8], last: u8) -> Option<Key> {
    let number = parameters.split(|byte| *byte == b';').next().unwrap_or_default();
    match (last, number) {
        (b'A', _) => Some(Key::Up),
        (b'B', _) => Some(Key::Down),
        (b'H', _) | (b'~', b"1" | b"7") => Some(Key::Home),
        (b'F', _) | (b'~', b"4" | b"8") => Some(Key::End),
        (b'~', b"5") => Some(Key::PageUp),
        (b'~', b"6") => Some(Key::PageDown),
        (b'P', _) | (b'~', b"11") => Some(Key::F1),
        (b'M', b"") => Some(Key::Enter),
        (b'Z', _) => Some(Key::Tab),
        _ => None,
    }
}

/// A character in UTF-8; bytes that are none are passed over.
fn character(bytes: &[u8]) -> Option<(Option<Key>, usize)> {
    for len in 1..=4.min(bytes.len()) {
        let Some(part) = bytes.get(..len) else { break };
        match std::str::from_utf8(part) {
            Ok(text) => return Some((text.chars().next().map(Key::Char), len)),
            // Not wrong yet, only too short.
            Err(error) if error.error_len().is_none() => {}
            Err(_) => return Some((None, 1)),
        }
    }
    (bytes.len() >= 4).then_some((None, 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut typed = Typed::default();
        let mut keys = typed.read(bytes);
        keys.extend(typed.give_up());
        keys
    }

    /// Check each key in each of its spellings.
    #[test]
    fn each_key() {
        for (bytes, key) in [
            (&b"q"[..], Key::Char('q')),
            ("名".as_bytes(), Key::Char('名')),
            (b"\x03", Key::Ctrl('c')),
            (b"\x1a", Key::Ctrl('z')),
            (b"\r", Key::Enter),
            (b"\x1bOM", Key::Enter),
            (b"\t", Key::Tab),
            (b"\x1b[Z", Key::Tab),
            (b"\x7f", Key::Backspace),
            (b"\x1b", Key::Esc),
            (b"\x1b[A", Key::Up),
            (b"\x1bOB", Key::Down),
            (b"\x1b[1;5A", Key::Up),
            (b"\x1b[5~", Key::PageUp),
            (b"\x1b[6~", Key::PageDown),
            (b"\x1b[1~", Key::Home),
            (b"\x1b[H", Key::Home),
            (b"\x1bOF", Key::End),
            (b"\x1bOP", Key::F1),
            (b"\x1b[11~", Key::F1),
            (b"\x1b[[A", Key::F1),
        ] {
            assert_eq!(keys(bytes), [key], "{bytes:?}");
        }
        for bytes in [&b"\x1b[C"[..], b"\x1b[3~", b"\x1b[200~", b"\0", b"\x1c", b"\xff", b"\xe5\x90"] {
            assert_eq!(keys(bytes), [], "{bytes:?}");
        }
    }

    /// Check that keys typed at once are told apart, and that Escape is one at once where another key follows.
    #[test]
    fn several() {
        assert_eq!(keys(b"/a\x1b[Bq"), [Key::Char('/'), Key::Char('a'), Key::Down, Key::Char('q')]);
        assert_eq!(keys(b"\x1bq"), [Key::Esc, Key::Char('q')]);
        assert_eq!(keys(b"\x1b\x1b[A"), [Key::Esc, Key::Up]);
        assert_eq!(keys(b"\xffq"), [Key::Char('q')]);
    }

    proptest! {
        /// Check that it does not matter in which pieces bytes come, and that nothing is kept for ever.
        #[test]
        fn any_pieces(bytes: Vec<u8>, at: proptest::sample::Index) {
            let (one, other) = bytes.split_at(at.index(bytes.len() + 1));
            let mut typed = Typed::default();
            let mut found = typed.read(one);
            found.extend(typed.read(other));
            let mut whole = Typed::default();
            prop_assert_eq!(found, whole.read(&bytes));
            prop_assert!(whole.pending.len() <= LONGEST + 2);
            whole.give_up();
            prop_assert!(!whole.is_waiting());
        }
    }
}
