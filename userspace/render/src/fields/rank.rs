//! What a row is sorted by.

/// What a row is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank<'a> {
    /// A number.
    Number(u64),
    /// A name.
    Text(&'a [u8]),
    /// Not known, or nothing.
    Unknown,
}
