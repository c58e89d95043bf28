//! How long a call takes: by the wall, and of its thread's CPU time.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::figures::Figures;

/// Wall-clock and CPU time of the same runs, in milliseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times {
    /// By the wall.
    pub wall: Figures,
    /// On a CPU.
    pub cpu: Figures,
}

impl Times {
    /// Measures one call on this thread.
    pub(crate) fn of<R>(&mut self, call: impl FnOnce() -> R) -> R {
        let (wall, cpu) = (Instant::now(), thread_cpu());
        let result = call();
        self.push(wall.elapsed(), thread_cpu().saturating_sub(cpu));
        result
    }

    /// Takes in what was measured elsewhere.
    pub(crate) fn push(&mut self, wall: Duration, cpu: Duration) {
        self.wall.push(milliseconds(wall));
        self.cpu.push(milliseconds(cpu));
    }
}

/// A duration as a figure.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A duration as a figure.
pub(crate) fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn thread_cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}
