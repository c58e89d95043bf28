//! The ids of tracepoints, from tracefs: where it is mounted, or else from an instance of our own that is mounted nowhere.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};
use rustix::process::geteuid;

use crate::bpf::denial::Denial;
use crate::bpf::error::ProbeError;
use crate::bpf::lockdown::Lockdown;
use crate::host::caps::{self, Capability};
use aioinspect_parse::proc::mountinfo;

/// Where debugfs mounts it for whoever looks, if it does.
const AUTOMOUNT: &str = "/sys/kernel/debug/tracing";

/// A tracefs, mounted by somebody or detached and ours.
#[derive(Debug)]
pub struct Tracefs {
    root: OwnedFd,
    mounted_at: Option<PathBuf>,
}

impl Tracefs {
    /// Opens the one that is mounted. If none is, or it is closed to us, a detached one is made: it is in no mount
    /// table, and gone when this is dropped or we are killed. That takes CAP_SYS_ADMIN; who is not root needs CAP_DAC_READ_SEARCH for either.
    ///
    /// No instance is made where its release may kill the kernel ([`Lockdown`]). To pass through the mount point of an old kernel in
    /// debugfs makes one too (kernel/trace/trace.c:trace_automount), so that is not tried either before the mount table shows it.
    pub fn open() -> Result<Self, ProbeError> {
        let mut is_closed_to_us = false;
        for place in mounted() {
            match at(&place) {
                Ok(Some(root)) => return Ok(Self { root, mounted_at: Some(place) }),
                Ok(None) => {}
                Err(_) => is_closed_to_us = true,
            }
        }
        let lockdown = Lockdown::of_this_kernel();
        if !lockdown.allows_tracefs_instance() {
            let action = "create an instance of tracefs (releasing it would crash the kernel)";
            let known = lockdown == Lockdown::Confidentiality;
            let why = if known { Denial::Lockdown } else { Denial::MaybeLockdown };
            return Err(ProbeError::NotPermitted { action, why });
        }
        if let Ok(Some(root)) = at(Path::new(AUTOMOUNT)) {
            return Ok(Self { root, mounted_at: Some(AUTOMOUNT.into()) });
        }
        match detached() {
            Ok(root) => Ok(Self { root, mounted_at: None }),
            Err(Errno::NODEV) => Err(ProbeError::Lacks { what: "tracefs (CONFIG_TRACING)".to_owned() }),
            Err(Errno::PERM | Errno::ACCESS) if is_closed_to_us => {
                Err(not_permitted("read tracefs", &[Capability::DacReadSearch]))
            }
            Err(Errno::PERM | Errno::ACCESS) => {
                // Its files are root's.
                let needed = [Capability::SysAdmin, Capability::DacReadSearch];
                let needed = if geteuid().is_root() { &needed[..1] } else { &needed };
                Err(not_permitted("create an instance of tracefs", needed))
            }
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
        let sorted = |error: io::Error| match error.raw_os_error() {
            Some(libc::ENOENT) => {
                ProbeError::Lacks { what: format!("the tracepoint {group}:{name} (CONFIG_FTRACE_SYSCALLS)") }
            }
            Some(libc::EPERM | libc::EACCES) => {
                not_permitted("read the id of a tracepoint", &[Capability::DacReadSearch])
            }
            Some(_) | None => ProbeError::Io { action: "read the id of a tracepoint", error },
        };
        let text = file
            .map_err(io::Error::from)
            .and_then(|file| io::read_to_string(std::fs::File::from(file)))
            .map_err(sorted)?;
        text.trim().parse().map_err(|_| ProbeError::Lacks { what: format!("a number in tracefs's {path}") })
    }
}

/// Where it is mounted already.
fn mounted() -> Vec<PathBuf> {
    let text = std::fs::read("/proc/thread-self/mountinfo").unwrap_or_default();
    mountinfo::places_of(&text, b"tracefs")
}

/// The capabilities that are wanting, or who forbids it although it is there: lockdown keeps the files of a mounted one closed.
fn not_permitted(action: &'static str, needed: &[Capability]) -> ProbeError {
    let why = match caps::missing(needed) {
        Ok(missing) if !missing.is_empty() => Denial::Missing(missing),
        Ok(_) | Err(_) => Denial::of_ours(),
    };
    ProbeError::NotPermitted { action, why }
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
