//! What a row is sorted by.

/// What a row is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank<'a> {
    /// A number: the greatest first, or the least, as the field has it.
    Number(u64),
    /// A name, by its bytes.
    Text(&'a [u8]),
    /// Not known, or nothing.
    Unknown,
}
