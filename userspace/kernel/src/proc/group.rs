//! Processes that belong together: a tree, or what is in a control group.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::proc::error::ProcError;
use crate::proc::files::{ProcDir, processes};
use aioinspect_model::units::{Pid, Tid};
use aioinspect_parse::proc::mountinfo::places_of;
use aioinspect_parse::proc::status::Status;

/// Deeper no hierarchy of control groups is looked into.
const DEEPEST: usize = 64;

/// Processes that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Group {
    /// A process and all its descendants.
    Tree(Pid),
    /// What is in a control group and those below it: its directory, or its path as `/proc/PID/cgroup` shows it.
    Cgroup(PathBuf),
}

/// Why the members of a group are not known.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// The root of the tree, or who is in it.
    #[error(transparent)]
    Proc(#[from] ProcError),
    /// There is no such control group.
    #[error("no control group {}: expected a directory with cgroup.procs, or a path as in /proc/PID/cgroup", .0.display())]
    NoCgroup(PathBuf),
    /// Members that have no number here.
    #[error("control group {} has processes of another PID namespace: run aioinspect in the outermost one", .0.display())]
    Elsewhere(PathBuf),
    /// Anything else.
    #[error("cannot read {}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        error: io::Error,
    },
}

impl Group {
    /// Its processes now, in ascending order; zombies are among them.
    pub fn members(&self) -> Result<Vec<Pid>, GroupError> {
        match self {
            Group::Tree(root) => tree(*root),
            Group::Cgroup(path) => cgroup(path),
        }
    }
}

/// A process and its descendants.
fn tree(root: Pid) -> Result<Vec<Pid>, GroupError> {
    drop(ProcDir::open(root)?);
    if !lists_children() {
        return by_parent(root);
    }
    let mut found = BTreeSet::from([root]);
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        let Ok(dir) = ProcDir::open(pid) else { continue };
        let threads: Vec<Tid> = dir.threads().unwrap_or_default();
        let children = threads.into_iter().flat_map(|tid| dir.children_of(tid));
        open.extend(children.filter(|child| found.insert(*child)));
    }
    Ok(found.into_iter().collect())
}

/// Whether this kernel has `/proc/PID/task/TID/children` (CONFIG_PROC_CHILDREN).
fn lists_children() -> bool {
    fs::exists("/proc/thread-self/children").unwrap_or(false)
}

/// The same by `PPid` of every process there is.
fn by_parent(root: Pid) -> Result<Vec<Pid>, GroupError> {
    let io = |error| GroupError::Io { path: PathBuf::from("/proc"), error };
    let mut parents = Vec::new();
    for pid in processes().map_err(io)? {
        let status = fs::read(format!("/proc/{pid}/status")).ok();
        let status = status.and_then(|text| Status::parse(&text).ok());
        parents.extend(status.and_then(|status| status.parent).map(|parent| (pid, parent)));
    }
    let mut found = BTreeSet::from([root]);
    loop {
        let before = found.len();
        let born = parents.iter().filter(|(_, parent)| found.contains(parent)).map(|(pid, _)| *pid);
        let born: Vec<Pid> = born.collect();
        found.extend(born);
        if found.len() == before {
            return Ok(found.into_iter().collect());
        }
    }
}

fn cgroup(path: &Path) -> Result<Vec<Pid>, GroupError> {
    let dir = place_of(path).ok_or_else(|| GroupError::NoCgroup(path.to_owned()))?;
    let mut found = BTreeSet::new();
    add_members(&dir, DEEPEST, &mut found)?;
    Ok(found.into_iter().collect())
}

/// The directory of a control group.
fn place_of(path: &Path) -> Option<PathBuf> {
    if path.as_os_str().is_empty() {
        return None;
    }
    let is_cgroup = |dir: &Path| dir.join("cgroup.procs").is_file();
    if is_cgroup(path) {
        return Some(path.to_owned());
    }
    let mounts = fs::read("/proc/self/mountinfo").ok()?;
    let inner = path.strip_prefix("/").unwrap_or(path);
    let places = [&b"cgroup2"[..], b"cgroup"].into_iter().flat_map(|kind| places_of(&mounts, kind));
    places.map(|place| place.join(inner)).find(|dir| is_cgroup(dir))
}

fn add_members(dir: &Path, deep: usize, found: &mut BTreeSet<Pid>) -> Result<(), GroupError> {
    let path = dir.join("cgroup.procs");
    match fs::read_to_string(&path) {
        Ok(text) => {
            for line in text.lines() {
                match line.parse::<u32>() {
                    Ok(0) => return Err(GroupError::Elsewhere(dir.to_owned())),
                    Ok(pid) => drop(found.insert(Pid(pid))),
                    Err(_) => {}
                }
            }
        }
        // Its processes are shown in the domain that it is in (Documentation/admin-guide/cgroup-v2.rst, "Threads").
        Err(error) if Errno::from_io_error(&error) == Some(Errno::OPNOTSUPP) => {}
        // It was removed, and so it was empty.
        Err(error) if is_removed(&error) => return Ok(()),
        Err(error) => return Err(GroupError::Io { path, error }),
    }
    let Some(deeper) = deep.checked_sub(1) else { return Ok(()) };
    let io = |error| GroupError::Io { path: dir.to_owned(), error };
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if is_removed(&error) => return Ok(()),
        Err(error) => return Err(io(error)),
    };
    for entry in entries {
        let entry = entry.map_err(io)?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            add_members(&entry.path(), deeper, found)?;
        }
    }
    Ok(())
}

fn is_removed(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || Errno::from_io_error(error) == Some(Errno::NODEV)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    /// A shell with a child of its own, both ended when it is dropped.
    struct Family(Child);

    impl Family {
        fn new() -> Self {
            Self(Command::new("sh").args(["-c", "sleep 60 & wait"]).spawn().unwrap())
        }
    }

    impl Drop for Family {
        fn drop(&mut self) {
            let members = tree(Pid(self.0.id())).unwrap();
            for pid in members {
                let pid = rustix::process::Pid::from_raw(pid.0.try_into().unwrap()).unwrap();
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
            let _ = self.0.wait();
        }
    }

    /// Check that a tree has its root and its descendants, by both ways, and nobody else.
    #[test]
    fn a_tree_has_its_descendants() {
        let family = Family::new();
        let root = Pid(family.0.id());
        let members = loop {
            let members = tree(root).unwrap();
            if members.len() == 2 {
                break members;
            }
            std::thread::yield_now();
        };
        assert!(members.contains(&root));
        assert!(!members.contains(&Pid(std::process::id())));
        assert_eq!(by_parent(root).unwrap(), members);
    }

    /// Check that a tree without a root and a control group that is none are errors.
    #[test]
    fn nothing_there() {
        let gone = Group::Tree(Pid(0x003f_ffff)).members();
        assert!(matches!(gone, Err(GroupError::Proc(ProcError::NoSuchProcess(_)))), "{gone:?}");
        for path in ["/nonesuch/group", "", "/proc"] {
            let none = Group::Cgroup(path.into()).members();
            assert!(matches!(none, Err(GroupError::NoCgroup(_))), "{none:?}");
        }
    }
}
