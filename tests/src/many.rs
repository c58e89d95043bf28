//! A host with very many contexts, and the limit raised for it.

use std::fs;
use std::io::{self, Write};

use crate::fixture::Fixture;
use crate::host::{HostLock, aio_max_nr, aio_nr, is_own_machine};

const LIMIT: &str = "/proc/sys/fs/aio-max-nr";

/// Contexts of one process that are more than 32,768, which is as far as a table was walked once; fewer in a machine of ours, which has
/// little memory.
pub fn of_one_process() -> u32 {
    if is_own_machine() { 33_000 } else { 40_000 }
}

/// `fs.aio-max-nr`, raised; dropping this sets it back, after a panic too.
#[derive(Debug)]
pub struct RaisedLimit {
    before: u64,
}

impl RaisedLimit {
    /// Raises it so that this many slots are free, with some to spare; an error where it may not be written. Nobody else measures it meanwhile.
    pub fn for_slots(_proof: &HostLock, slots: u64) -> io::Result<RaisedLimit> {
        let raised = RaisedLimit { before: aio_max_nr() };
        let wanted = aio_nr() + slots + 4096;
        if wanted > raised.before {
            fs::write(LIMIT, wanted.to_string())?;
        }
        Ok(raised)
    }

    /// Sets it to that number until this is dropped.
    pub fn set(&self, limit: u64) -> io::Result<()> {
        fs::write(LIMIT, limit.to_string())
    }
}

impl Drop for RaisedLimit {
    fn drop(&mut self) {
        if let Err(error) = fs::write(LIMIT, self.before.to_string()) {
            // A panic here would end all tests; nobody may be listening.
            let _ = writeln!(io::stderr(), "{LIMIT} is not {} again: {error}", self.before);
        }
    }
}

/// Many processes with many contexts each.
#[derive(Debug)]
pub struct Crowd {
    /// Whoever made them.
    pub fixture: Fixture,
    /// How many processes there are.
    pub processes: u32,
    /// Contexts of each, for one request.
    pub each: u32,
    // After the fixture: its contexts are within the limit.
    _limit: RaisedLimit,
}

impl Crowd {
    /// Room for a crowd of 100,000 contexts, a few thousand in a small machine; nobody is there yet.
    pub fn begin(host: &HostLock) -> io::Result<Crowd> {
        let (processes, each) = if is_own_machine() { (60, 150) } else { (100, 1000) };
        let limit = RaisedLimit::for_slots(host, u64::from(processes * each))?;
        Ok(Crowd { fixture: Fixture::spawn_alone(host), processes, each, _limit: limit })
    }

    /// All contexts of the crowd.
    pub fn contexts(&self) -> u64 {
        u64::from(self.processes * self.each)
    }

    /// Has them made; the PIDs.
    ///
    /// # Panics
    /// If that fails.
    pub fn grow(&mut self) -> Vec<u64> {
        let answer = self.fixture.run(&format!("farm {} {} 1", self.processes, self.each));
        let pids = answer.get("pids").and_then(serde_json::Value::as_array).map(Vec::as_slice);
        pids.unwrap_or_default().iter().filter_map(serde_json::Value::as_u64).collect()
    }
}
