//! The ids of tracepoints, from tracefs: where it is mounted, or else from an instance of our own that is mounted nowhere.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use super::probe_error::ProbeError;

/// Where systems mount it.
const PLACES: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// A tracefs.
#[derive(Debug)]
pub struct Tracefs {
    root: OwnedFd,
    mounted_at: Option<PathBuf>,
}

impl Tracefs {
    /// Opens the one that is mounted. If none is, or it is closed to us, a detached one is made: it is in no mount
    /// table, and gone when this is dropped or we are killed. That takes CAP_SYS_ADMIN, the other at most CAP_DAC_READ_SEARCH.
    pub fn open() -> Result<Self, ProbeError> {
        let mut refused = None;
        for place in PLACES.map(Path::new) {
            match at(place) {
                Ok(Some(root)) => return Ok(Self { root, mounted_at: Some(place.to_owned()) }),
                Ok(None) => {}
                Err(error) => refused = Some(error),
            }
        }
        match detached() {
            Ok(root) => Ok(Self { root, mounted_at: None }),
            Err(Errno::NODEV) => Err(ProbeError::Lacks { what: "tracefs (CONFIG_TRACING)".to_owned() }),
            Err(Errno::PERM | Errno::ACCESS) => Err(ProbeError::Io {
                action: "read tracefs: CAP_DAC_READ_SEARCH is needed where it is mounted, CAP_SYS_ADMIN where it is not",
                error: refused.unwrap_or(Errno::PERM).into(),
            }),
            Err(error) => Err(ProbeError::Io { action: "open tracefs", error: error.into() }),
        }
    }

    /// Where it is mounted; `None`: it is our own, and mounted nowhere.
    pub fn mounted_at(&self) -> Option<&Path> {
        self.mounted_at.as_deref()
    }

    /// The id by which perf_event_open(2) knows a tracepoint.
    pub fn id(&self, group: &str, name: &str) -> Result<u64, ProbeError> {
        let path = format!("events/{group}/{name}/id");
        let file = openat(&self.root, &path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let file = file.map_err(|error| match error {
            Errno::NOENT => {
                ProbeError::Lacks { what: format!("the tracepoint {group}:{name} (CONFIG_FTRACE_SYSCALLS)") }
            }
            other => ProbeError::Io { action: "read the id of a tracepoint", error: other.into() },
        })?;
        let text = io::read_to_string(std::fs::File::from(file))
            .map_err(|error| ProbeError::Io { action: "read the id of a tracepoint", error })?;
        text.trim().parse().map_err(|_| ProbeError::Lacks { what: format!("a number in tracefs's {path}") })
    }
}

/// Opens a directory if it is the root of a tracefs; an empty mount point is none.
fn at(place: &Path) -> Result<Option<OwnedFd>, Errno> {
    let open = |path: &Path| {
        rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
    };
    let events = place.join("events");
    match open(&events) {
        Ok(_) => open(place).map(Some),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(error),
    }
}

fn detached() -> Result<OwnedFd, Errno> {
    let context = fsopen("tracefs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_RDONLY)
}
