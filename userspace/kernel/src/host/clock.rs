//! The one place that reads a clock.

use rustix::time::{ClockId, clock_gettime};

use aioinspect_model::units::Instant;

fn nanoseconds(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0))
}

/// Now, on CLOCK_MONOTONIC.
pub fn now() -> Instant {
    Instant(nanoseconds(ClockId::Monotonic))
}

/// Now, in nanoseconds since 1970.
pub fn unix_now() -> u64 {
    nanoseconds(ClockId::Realtime)
}

/// An instant of CLOCK_MONOTONIC as nanoseconds after boot, time asleep included, as `task_struct.start_boottime` counts.
pub fn since_boot(instant: Instant) -> u64 {
    let asleep = nanoseconds(ClockId::Boottime).saturating_sub(nanoseconds(ClockId::Monotonic));
    instant.0.saturating_add(asleep)
}
