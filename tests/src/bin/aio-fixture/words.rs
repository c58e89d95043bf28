//! The words of one command line.

use std::str::{FromStr, SplitWhitespace};

use crate::failure::Failure;

/// What is left of a command line.
#[derive(Debug)]
pub(crate) struct Words<'a>(SplitWhitespace<'a>);

impl<'a> Words<'a> {
    /// Cuts a line at white space.
    pub(crate) fn new(line: &'a str) -> Self {
        Words(line.split_whitespace())
    }

    /// The next word, if any.
    pub(crate) fn next(&mut self) -> Option<&'a str> {
        self.0.next()
    }

    /// The next word, which must be there.
    pub(crate) fn word(&mut self, name: &str) -> Result<&'a str, Failure> {
        self.next().ok_or_else(|| Failure::refused(format!("{name} is missing")))
    }

    /// The next word as a number, decimal or `0x` hex.
    pub(crate) fn number<T: FromStr + TryFrom<u64>>(&mut self, name: &str) -> Result<T, Failure> {
        number(self.word(name)?).ok_or_else(|| Failure::refused(format!("{name} is not such a number")))
    }

    /// The next word as a number, if there is one.
    pub(crate) fn maybe<T: FromStr + TryFrom<u64>>(&mut self, name: &str) -> Result<Option<T>, Failure> {
        self.next()
            .map(|word| number(word).ok_or_else(|| Failure::refused(format!("{name} {word:?} is no number"))))
            .transpose()
    }
}

/// A number, decimal or `0x` hex.
pub(crate) fn number<T: FromStr + TryFrom<u64>>(word: &str) -> Option<T> {
    match word.strip_prefix("0x") {
        Some(hex) => T::try_from(u64::from_str_radix(hex, 16).ok()?).ok(),
        None => word.parse().ok(),
    }
}
