//! Names from outside, made safe to print: any process may call itself a terminal escape sequence.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::Path;

/// `bytes` as one line of text that does nothing to a terminal and reads unambiguously.
///
/// Newline and tab become `\n` and `\t`, a backslash `\\`; every other control character, every character
/// that turns the direction of writing, ends a line or cannot be seen, and every byte that is not UTF-8 becomes `\xNN`.
pub fn escape(bytes: &[u8]) -> String {
    escaped(bytes).into_owned()
}

/// [`escape`] without a copy where nothing needs escaping, which is nearly always.
pub fn escaped(bytes: &[u8]) -> Cow<'_, str> {
    let plain = |byte: &u8| matches!(byte, b' '..=b'~') && *byte != b'\\';
    match std::str::from_utf8(bytes) {
        Ok(text) if bytes.iter().all(plain) => Cow::Borrowed(text),
        Ok(_) | Err(_) => Cow::Owned(spelled_out(bytes)),
    }
}

/// A path, escaped.
pub fn escape_path(path: &Path) -> String {
    escape(path.as_os_str().as_encoded_bytes())
}

fn spelled_out(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '\\' => out.push_str("\\\\"),
                c if c.is_control() || is_unseen(c) => hex(c.encode_utf8(&mut [0; 4]).as_bytes(), &mut out),
                c => out.push(c),
            }
        }
        hex(chunk.invalid(), &mut out);
    }
    out
}

/// Line and paragraph separators, direction marks, joiners, tags, fillers and the byte order mark: what makes a name
/// look like another one, or a line like two.
fn is_unseen(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{180b}'..='\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

fn hex(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(out, "\\x{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Check that names people use are left alone.
    #[test]
    fn what_is_harmless_stays() {
        assert_eq!(escape(b"io-worker/1 [x]"), "io-worker/1 [x]");
        assert_eq!(escape("größe 名前".as_bytes()), "größe 名前");
        assert!(matches!(escaped(b"io-worker/1 [x]"), Cow::Borrowed(_)));
    }

    /// Check that every kind of harm is spelled out.
    #[test]
    fn what_is_not_is_spelled_out() {
        assert_eq!(escape(b"a\nb\tc\\d"), "a\\nb\\tc\\\\d");
        assert_eq!(escape(b"\x1b[31m\x07\x7f\r"), "\\x1b[31m\\x07\\x7f\\x0d");
        assert_eq!(escape(b"\xff\xc3(\xe2\x82"), "\\xff\\xc3(\\xe2\\x82");
        assert_eq!(escape("\u{9b}\u{202e}".as_bytes()), "\\xc2\\x9b\\xe2\\x80\\xae");
        assert_eq!(escape("a\u{200d}b\u{ad}".as_bytes()), "a\\xe2\\x80\\x8db\\xc2\\xad");
    }

    /// The bytes that a text of ours stands for.
    fn read_back(text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((first, after)) = rest.split_first() {
            let (byte, used) = match (first, after) {
                (b'\\', [b'n', ..]) => (b'\n', 1),
                (b'\\', [b't', ..]) => (b'\t', 1),
                (b'\\', [b'\\', ..]) => (b'\\', 1),
                (b'\\', [b'x', a, b, ..]) => {
                    (u8::from_str_radix(std::str::from_utf8(&[*a, *b]).unwrap(), 16).unwrap(), 3)
                }
                (byte, _) => (*byte, 0),
            };
            bytes.push(byte);
            rest = &after[used..];
        }
        bytes
    }

    proptest! {
        /// Check that nothing harmful is left, and that two different names never read alike.
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            let text = escape(&bytes);
            prop_assert!(!text.chars().any(|c| c.is_control() || is_unseen(c)));
            prop_assert_eq!(read_back(&text), bytes);
        }
    }
}
