//! The target: a fixture that is driven through FIFOs, which CRIU opens again by their names.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::Value;

use super::processes;
use crate::truth::Truth;

/// Longer than any command takes, the disk being slow.
const PATIENCE: Duration = Duration::from_secs(40);

/// Whether a target has a network namespace of its own: only then does CRIU run network-lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Net {
    /// As containers have.
    Own,
    /// CRIU's own: that of the host.
    Hosts,
}

/// A fixture in a [`super::Home`]. It ends with the home.
#[derive(Debug)]
pub struct Target {
    /// Its PID in the home, which a restore gives it again.
    pub inner: u32,
    reaper: u32,
    input: File,
    output: BufReader<File>,
}

impl Target {
    pub(super) fn new(reaper: u32, dir: &Path) -> Target {
        let fifo = |name: &str| {
            let path = dir.join(name);
            let opened = OpenOptions::new().read(true).write(true).open(&path);
            opened.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let mut target = Target { inner: 0, reaper, input: fifo("in"), output: BufReader::new(fifo("out")) };
        let inner = target.run("truth").get("pid").and_then(Value::as_u64);
        target.inner = inner.and_then(|pid| u32::try_from(pid).ok()).unwrap_or_else(|| panic!("no PID"));
        target
    }

    /// Its PID as this process sees it; `None` where it is gone, or a zombie.
    pub fn pid(&self) -> Option<u32> {
        let is_it = |pid: &u32| processes::inner(*pid) == Some(self.inner);
        let pid = processes::children(self.reaper).into_iter().find(is_it)?;
        (!state_of(pid).starts_with('Z')).then_some(pid)
    }

    /// The letter of its state, as `/proc/PID/status` has it; empty where it is gone.
    pub fn state(&self) -> String {
        self.pid().map(state_of).unwrap_or_default()
    }

    /// Gives one command and waits for its answer; the fixture's own refusals come as they are: `{"error":..}`.
    ///
    /// # Panics
    /// If there is no answer within 40 s.
    pub fn ask(&mut self, line: &str) -> Value {
        let asked = self.input.write_all(format!("{line}\n").as_bytes());
        asked.unwrap_or_else(|error| panic!("{line:?}: {error}"));
        self.await_answer(line);
        let mut text = String::new();
        let read = self.output.read_line(&mut text);
        read.unwrap_or_else(|error| panic!("{line:?}: {error}"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{line:?}: {text:?}: {error}"))
    }

    fn await_answer(&self, line: &str) {
        let begun = Instant::now();
        while self.output.buffer().is_empty() {
            let limit = Timespec { tv_sec: 1, tv_nsec: 0 };
            match poll(&mut [PollFd::new(self.output.get_ref(), PollFlags::IN)], Some(&limit)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return,
                Err(error) => panic!("{line:?}: poll: {error}"),
            }
            let waited = begun.elapsed();
            assert!(waited < PATIENCE, "{line:?}: no answer in {waited:?}; the target is {:?}", self.state());
        }
    }

    /// Gives one command that must succeed.
    ///
    /// # Panics
    /// If it fails, with the line.
    pub fn run(&mut self, line: &str) -> Value {
        let mut answer = self.ask(line);
        match answer.get_mut("ok") {
            Some(ok) => ok.take(),
            None => panic!("{line:?}: {answer}"),
        }
    }

    /// What the target knows of itself.
    ///
    /// # Panics
    /// If the answer is no `Truth`.
    pub fn truth(&mut self) -> Truth {
        let answer = self.run("truth");
        serde_json::from_value(answer).unwrap_or_else(|error| panic!("truth: {error}"))
    }

    /// Reaps what `disk` submitted to its context `handle`, for at most so long: how many were right, wrong, and did not come.
    ///
    /// # Panics
    /// If the target does not answer.
    pub fn reap_disk(&mut self, handle: u32, patience: Duration) -> (u64, u64, u64) {
        let answer = self.run(&format!("disk-reap #{handle} {}", patience.as_millis()));
        let number = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or(u64::MAX);
        (number("right"), number("wrong"), number("missing"))
    }
}

fn state_of(pid: u32) -> String {
    processes::status(pid, "State").unwrap_or_default()
}
