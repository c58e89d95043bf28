//! Who runs aioinspect, and which file systems it sees: other users, few capabilities, private mounts.
#![expect(unsafe_code, reason = "credentials and mounts of a child or a thread are set by raw calls")]

use std::ffi::CStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::Path;
use std::thread;

pub use aioinspect_tests::yard::{NOBODY, Yard};

/// Mounts to be made: type, place, options.
pub type Mount<'a> = (&'a CStr, &'a CStr, &'a CStr);

/// Does the work on a thread that has these mounts for itself; programs it starts have them too.
pub fn with_mounts<T: Send>(mounts: &[Mount<'_>], work: impl FnOnce() -> T + Send) -> T {
    let on_thread = || {
        // SAFETY: only this thread leaves the mount namespace (and with it, the others' working directory).
        let left = unsafe { libc::unshare(libc::CLONE_NEWNS) };
        assert_eq!(left, 0, "unshare: {}", io::Error::last_os_error());
        mount(c"none", c"/", c"", libc::MS_REC | libc::MS_PRIVATE);
        for (kind, place, options) in mounts {
            mount(kind, place, options, 0);
        }
        work()
    };
    thread::scope(|scope| scope.spawn(on_thread).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Makes what is mounted there read-only, in this namespace.
pub fn read_only(place: &CStr) {
    mount(c"none", place, c"", libc::MS_REMOUNT | libc::MS_RDONLY);
}

fn mount(kind: &CStr, place: &CStr, options: &CStr, flags: libc::c_ulong) {
    // SAFETY: strings that live through the call.
    let done = unsafe {
        libc::mount(c"none".as_ptr(), place.as_ptr(), kind.as_ptr(), flags, options.as_ptr().cast())
    };
    assert_eq!(done, 0, "mount {kind:?} on {place:?}: {}", io::Error::last_os_error());
}

/// A terminal of that many columns: our end, and the end for a program.
pub fn pty(columns: u16) -> (File, OwnedFd) {
    let (mut ours, mut theirs) = (-1, -1);
    let size = libc::winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let (name, modes) = (std::ptr::null_mut(), std::ptr::null());
    // SAFETY: room for two descriptors; no name and no modes; a size.
    let done = unsafe { libc::openpty(&raw mut ours, &raw mut theirs, name, modes, &raw const size) };
    assert_eq!(done, 0, "openpty: {}", io::Error::last_os_error());
    // SAFETY: fresh descriptors, owned by nobody else.
    let ends = unsafe { (OwnedFd::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) };
    for end in [&ends.0, &ends.1] {
        // A copy in the child would keep the terminal open.
        rustix::io::fcntl_setfd(end, rustix::io::FdFlags::CLOEXEC).unwrap();
    }
    (File::from(ends.0), ends.1)
}

/// The names in a directory, sorted.
pub fn names_in(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
