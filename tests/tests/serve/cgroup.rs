//! Control groups of v2 made for a test, named as managers name theirs, and removed with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// A group of our own making and the ones above it. Dropping it removes those that we made; its processes must have ended or left by then.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    /// Innermost last.
    made: Vec<PathBuf>,
}

impl Cgroup {
    /// Makes it, and what is missing above it.
    ///
    /// # Panics
    /// If the host has no cgroup v2, or it takes no directories: it must be mounted and writable.
    pub fn new(path: &str) -> Cgroup {
        let mut cgroup = Cgroup { path: mount(), made: Vec::new() };
        for part in path.split('/') {
            cgroup.path.push(part);
            if !cgroup.path.is_dir() {
                fs::create_dir(&cgroup.path)
                    .unwrap_or_else(|error| panic!("{}: {error}", cgroup.path.display()));
                cgroup.made.push(cgroup.path.clone());
            }
        }
        cgroup
    }

    /// Moves a process, one of ours, into it.
    pub fn take(&self, pid: u32) {
        self.write(&self.path, pid);
    }

    fn write(&self, group: &Path, pid: u32) {
        let written = fs::write(group.join("cgroup.procs"), pid.to_string());
        written.unwrap_or_else(|error| panic!("{}: {pid}: {error}", self.path.display()));
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for path in self.made.iter().rev() {
            // One that is being left is busy for a moment.
            for _ in 0..200 {
                if fs::remove_dir(path).is_ok() {
                    break;
                }
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// Where cgroup v2 is mounted.
fn mount() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let found = mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        kind.starts_with("cgroup2 ").then(|| PathBuf::from(place.split(' ').nth(4).unwrap_or_default()))
    });
    found.unwrap_or_else(|| panic!("no cgroup v2 is mounted here"))
}
