//! Pure: no I/O, no clock, no unsafe. Parsers of what was read, and the judge.

pub mod finding;
pub mod kioctx;
pub mod picture;
pub mod units;
pub mod witness;
