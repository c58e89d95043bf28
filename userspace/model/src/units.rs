//! The numbers this program is about, each with a type of its own.

use std::fmt;

/// Size in bytes of `struct aio_ring`, the header at the start of every ring.
pub const RING_HEADER_LEN: usize = 32;
/// Size in bytes of one `struct io_event`: a ring entry.
pub const IO_EVENT_LEN: u64 = 32;

/// The one number that is `aio_context_t`, the ring's address in its owner, and `kioctx.user_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ContextId(pub u64);

impl ContextId {
    /// Stands for a context that is there and cannot be named: no ring lies at address 0. Shown as null, or `-`.
    pub const UNKNOWN: Self = Self(0);

    /// Whether it is the id of a context.
    pub fn is_known(self) -> bool {
        self != Self::UNKNOWN
    }
}

impl fmt::Display for ContextId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_known() { write!(f, "{:#x}", self.0) } else { f.write_str("-") }
    }
}

/// A process id (thread-group id) as the PID namespace of the observer numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Pid(pub u32);

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A thread id as the PID namespace of the observer numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tid(pub u32);

impl fmt::Display for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// An address space (`struct mm_struct`), named by an ordinal that means nothing outside one evidence.
///
/// The kernel's own address of it never leaves the crate `kernel`: it would tell where the kernel lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MmId(pub u32);

/// An instant of `CLOCK_MONOTONIC`, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(pub u64);

/// `12 s`, `2 min 5 s`, `3 h 5 min`: how long something has gone on, cut off and not rounded. page.js does the same.
pub fn age(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match (minutes, hours) {
        (0, _) => format!("{seconds} s"),
        (_, 0) => format!("{minutes} min {} s", seconds % 60),
        (_, _) => format!("{hours} h {} min", minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check ages at the borders of their units.
    #[test]
    fn ages() {
        let table = [(0, "0 s"), (59, "59 s"), (60, "1 min 0 s"), (3599, "59 min 59 s"), (3600, "1 h 0 min")];
        for (seconds, text) in table {
            assert_eq!(age(seconds * 1_000_000_000 + 999_999_999), text);
        }
    }
}
