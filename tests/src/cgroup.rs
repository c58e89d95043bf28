//! Control groups made for a test, named as managers name theirs, and removed with it.

use std::fs;
use std::path::PathBuf;
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
    /// Makes it in cgroup v2, and what is missing above it.
    ///
    /// # Panics
    /// If the host has no cgroup v2, or it takes no directories: it must be mounted and writable.
    pub fn new(path: &str) -> Cgroup {
        let v2 = hierarchies().into_iter().find(|place| place.is_v2);
        Cgroup::below(&v2.unwrap_or_else(|| panic!("no cgroup v2 is mounted here")), path)
    }

    /// The same in that hierarchy.
    ///
    /// # Panics
    /// If it takes no directories.
    pub fn below(hierarchy: &Hierarchy, path: &str) -> Cgroup {
        let mut cgroup = Cgroup { path: hierarchy.mount.clone(), made: Vec::new() };
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
    ///
    /// # Panics
    /// If it does not take it.
    pub fn take(&self, pid: u32) {
        let written = fs::write(self.path.join("cgroup.procs"), pid.to_string());
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

/// A hierarchy that takes processes into any group of it, without more ado.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// cgroup v2, not one of v1.
    pub is_v2: bool,
}

/// Those of v1 that are looked for; a cpuset, for one, must be given CPUs first.
const V1: [&str; 3] = ["pids", "freezer", "name=systemd"];

/// The hierarchies that this host has mounted, as far as a test can use them.
///
/// # Panics
/// If /proc/self/mountinfo cannot be read.
pub fn hierarchies() -> Vec<Hierarchy> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_else(|error| panic!("{error}"));
    let of = |line: &str| {
        let (place, kind) = line.split_once(" - ")?;
        let mount = PathBuf::from(place.split(' ').nth(4)?);
        let (kind, rest) = kind.split_once(' ')?;
        let options = rest.rsplit(' ').next()?;
        let is_v2 = kind == "cgroup2";
        let is_v1 = kind == "cgroup" && options.split(',').any(|option| V1.contains(&option));
        (is_v2 || is_v1).then_some(Hierarchy { mount, is_v2 })
    };
    mounts.lines().filter_map(of).collect()
}
