//! One run of CRIU, and what is left of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use super::processes;
use super::scripts::{self, Action};

/// A run that has ended.
#[derive(Clone, Debug)]
pub struct Round {
    /// Exit code; 124 where it hung and was ended.
    pub code: i32,
    /// CRIU's log, with what scripts said.
    pub log: String,
    /// The actions, in order.
    pub actions: Vec<Action>,
    /// How long CRIU held the tasks, by its own statistics; 0 where it wrote none.
    pub frozen_us: u64,
}

impl Round {
    /// The names of the actions.
    pub fn names(&self) -> Vec<&str> {
        self.actions.iter().map(|action| action.name.as_str()).collect()
    }

    /// How long the hook took at an action; `None` where it did not come, or CRIU ended there.
    pub fn took(&self, action: &str) -> Option<Duration> {
        let action = self.actions.iter().find(|noted| noted.name == action)?;
        action.took_us.map(Duration::from_micros)
    }

    /// The lines of the log that are not CRIU's own, which begin with a time: what the hook said.
    pub fn said(&self) -> String {
        let own =
            |line: &&str| !line.starts_with('(') && !line.starts_with("pie:") && !line.starts_with("Error (");
        self.log.lines().filter(own).collect::<Vec<_>>().join("\n")
    }
}

/// A run that goes on.
#[derive(Debug)]
pub struct Running {
    pub(super) child: Child,
    pub(super) dir: PathBuf,
    pub(super) images: PathBuf,
    pub(super) log: &'static str,
}

impl Running {
    /// Waits until it has ended.
    ///
    /// # Panics
    /// If it cannot be waited for.
    pub fn wait(mut self) -> Round {
        let status = self.child.wait().unwrap_or_else(|error| panic!("criu: {error}"));
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        Round {
            code: status.code().or(signal.map(|signal| 128 + signal)).unwrap_or(i32::MIN),
            log: text(&self.images.join(self.log)),
            actions: scripts::noted(&self.dir),
            frozen_us: frozen_us(&self.images.join("stats-dump")).unwrap_or(0),
        }
    }

    /// Waits until a process of that name descends from it: `criu` has another, its dynamic linker's.
    ///
    /// # Panics
    /// If that takes more than 20 s.
    pub fn await_process(&mut self, name: &str) -> u32 {
        let begun = Instant::now();
        loop {
            let all = processes::descendants(self.child.id());
            if let Some(pid) =
                all.into_iter().find(|pid| processes::status(*pid, "Name").as_deref() == Some(name))
            {
                return pid;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "no {name}: {}",
                text(&self.images.join(self.log))
            );
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until an action has begun.
    ///
    /// # Panics
    /// If that takes more than 20 s.
    pub fn await_action(&mut self, name: &str) {
        let begun = Instant::now();
        while !scripts::noted(&self.dir).iter().any(|action| action.name == name) {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "no {name}: {}",
                text(&self.images.join(self.log))
            );
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// CRIU's own process.
    ///
    /// # Panics
    /// If it is not there.
    pub fn criu(&self) -> u32 {
        let all = processes::descendants(self.child.id());
        let is_criu = |pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut words = line.split(|byte| *byte == 0);
            let program = words.next().unwrap_or_default();
            program.ends_with(b"/criu") || String::from_utf8_lossy(program).contains("ld-linux")
        };
        all.into_iter().find(is_criu).unwrap_or_else(|| panic!("CRIU has ended"))
    }
}

fn text(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

/// `frozen_time` of CRIU's statistics: two words of magic, the size, then stats_entry { dump = 1 { freezing_time = 1, frozen_time = 2, .. } }.
pub(super) fn frozen_us(path: &Path) -> Option<u64> {
    let bytes = fs::read(path).ok()?;
    let entry = field(bytes.get(12..)?, 1)?.1;
    Some(field(entry, 2)?.0)
}

/// A field of a message, as a number and as bytes.
fn field(mut message: &[u8], wanted: u64) -> Option<(u64, &[u8])> {
    loop {
        let key = varint(&mut message)?;
        let number = varint(&mut message)?;
        let mut bytes: &[u8] = &[];
        if key & 7 == 2 {
            (bytes, message) = message.split_at_checked(usize::try_from(number).ok()?)?;
        }
        if key >> 3 == wanted {
            return Some((number, bytes));
        }
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
