//! Credits of a context that lie on another CPU than the one that submits.

use anyhow::Context;
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::Value;

use crate::fixture::Fixture;

/// What a process found that was brought there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strand {
    /// Requests that were in flight when io_submit failed.
    pub in_flight: u64,
    /// errno of that.
    pub errno: u64,
}

/// Polls of the fixture's first context, which must be idle, are submitted on CPU `from`, complete on CPU `to` and are reaped, a few times: each time
/// some credits stay on `to` (fs/aio.c:put_reqs_available). Then `from` submits until io_submit fails.
pub fn strand(fixture: &mut Fixture, from: usize, to: usize) -> anyhow::Result<Strand> {
    let pid = i32::try_from(fixture.pid()).ok().and_then(Pid::from_raw).context("pid")?;
    let before = sched_getaffinity(Some(pid))?;
    for _ in 0..24 {
        fixture.run(&format!("poll #0 16 {from}"));
        let mut only = CpuSet::new();
        only.set(to);
        sched_setaffinity(Some(pid), &only)?;
        fixture.run("complete #0 16");
        sched_setaffinity(Some(pid), &before)?;
        fixture.run("reap #0 16");
    }
    let filled = fixture.run(&format!("poll #0 100000 {from}"));
    let number =
        |name: &str| filled.get(name).and_then(Value::as_u64).with_context(|| format!("{name}: {filled}"));
    Ok(Strand { in_flight: number("submitted")?, errno: number("errno")? })
}
