//! The file systems of a test machine.

use std::ffi::{CString, c_ulong};
use std::fs;
use std::io;

use anyhow::{Context, Result, bail};

/// Type and place of each file system, in an order in which a place exists when it is used.
const MOUNTS: [(&str, &str); 9] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("securityfs", "/sys/kernel/security"),
    ("devtmpfs", "/dev"),
    ("devpts", "/dev/pts"),
    ("tmpfs", "/dev/shm"),
    ("tmpfs", "/tmp"),
    ("tmpfs", "/run"),
    ("cgroup2", CGROUPS),
];
const CGROUPS: &str = "/sys/fs/cgroup";

/// Mounts them all.
pub(crate) fn all() -> Result<()> {
    for (kind, place) in MOUNTS {
        if let Err(error) = mount(kind, place, "", 0) {
            // A kernel may have mounted devtmpfs itself.
            let cause = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
            if cause != Some(libc::EBUSY) {
                return Err(error);
            }
        }
    }
    // Which shows how the kernel preempts. Where nobody looks for it: a walk into its `tracing` would make a tracefs.
    drop(mount("debugfs", "/run/debug", "", 0));
    Ok(())
}

/// Gives /proc other options.
pub(crate) fn proc(options: &str) -> Result<()> {
    mount("proc", "/proc", options, libc::MS_REMOUNT)
}

/// Has the hierarchies of cgroup v1 instead of cgroup2, as systemd's "legacy" lays them out.
pub(crate) fn cgroup(version: &str) -> Result<()> {
    if version != "v1" {
        bail!("no cgroup {version}");
    }
    let place = CString::new(CGROUPS)?;
    // SAFETY: a string ended by NUL that outlives the call.
    if unsafe { libc::umount2(place.as_ptr(), 0) } != 0 {
        return Err(io::Error::last_os_error()).context("cannot unmount cgroup2");
    }
    mount("tmpfs", CGROUPS, "", 0)?;
    // name, #hierarchy, #cgroups, enabled. A kernel may leave out the v1 side of some controllers.
    let controllers = fs::read_to_string("/proc/cgroups").context("cannot read /proc/cgroups")?;
    for line in controllers.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        if let (Some(name), Some("1")) = (words.next(), words.nth(2)) {
            mount("cgroup", &format!("{CGROUPS}/{name}"), name, 0)?;
        }
    }
    mount("cgroup", &format!("{CGROUPS}/systemd"), "none,name=systemd", 0)
}

fn mount(kind: &str, place: &str, options: &str, flags: c_ulong) -> Result<()> {
    fs::create_dir_all(place).with_context(|| format!("cannot make {place}"))?;
    let [kind_c, place_c, options_c] = [CString::new(kind)?, CString::new(place)?, CString::new(options)?];
    // SAFETY: four strings ended by NUL that outlive the call.
    let result = unsafe {
        libc::mount(kind_c.as_ptr(), place_c.as_ptr(), kind_c.as_ptr(), flags, options_c.as_ptr().cast())
    };
    if result == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    Err(error).with_context(|| format!("cannot mount {kind} on {place} with `{options}`"))
}
