//! What a freeze cost, and whom it held.

use aioinspect_model::units::{Instant, Tid};

/// What a freeze cost, and whom it held.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct FreezeReport {
    /// When the first thread was asked to stop.
    pub begun_at: Instant,
    /// From then until the last thread was let go, in nanoseconds.
    pub pause_ns: u64,
    /// From the first seize to the last detach, in nanoseconds. Seizing stops nobody, but a seized thread that gets a
    /// signal or makes a thread stops there and then: no thread was stopped for longer than this.
    pub seized_ns: u64,
    /// The threads that were held, ascending. A thread that the kernel's word names and this does not was not held.
    pub tids: Vec<Tid>,
    /// How many of them were gone when they were to be let go: killed while held.
    pub lost: u32,
    /// Attempts before this one that were given up because a thread fell into uninterruptible sleep.
    pub earlier_attempts: u32,
    /// What those cost, in nanoseconds of pause.
    pub earlier_pause_ns: u64,
}
