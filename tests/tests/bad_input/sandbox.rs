//! Who runs aioinspect, and which file systems it sees: other users, few capabilities, private mounts.
#![expect(unsafe_code, reason = "credentials and mounts of a child or a thread are set by raw calls")]

use std::ffi::CStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::thread;

use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};

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

/// Has a program run without these capabilities, which even root's cannot get back.
pub fn without(command: &mut Command, lost: CapabilitySet) -> &mut Command {
    let lose = move || {
        for one in lost.iter() {
            remove_capability_from_bounding_set(one)?;
        }
        Ok(())
    };
    // SAFETY: the closure makes system calls only.
    unsafe { command.pre_exec(lose) }
}

/// Has a program run under a seccomp filter that answers EPERM to these system calls, and lets all others pass.
pub fn forbid<'c>(command: &'c mut Command, calls: &[libc::c_long]) -> &'c mut Command {
    let word = |code: u32, k: u32| libc::sock_filter { code: u16::try_from(code).unwrap(), jt: 0, jf: 0, k };
    // The number of the call is the first word of struct seccomp_data.
    let mut program = vec![word(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0)];
    for call in calls {
        let number = u32::try_from(*call).unwrap();
        program
            .push(libc::sock_filter { jf: 1, ..word(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, number) });
        program.push(word(libc::BPF_RET, libc::SECCOMP_RET_ERRNO | u32::try_from(libc::EPERM).unwrap()));
    }
    program.push(word(libc::BPF_RET, libc::SECCOMP_RET_ALLOW));
    let filter = move || {
        let len = u16::try_from(program.len()).map_err(io::Error::other)?;
        let filter = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
        // SAFETY: a program of that length; the kernel copies it.
        let done =
            unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter, 0, 0) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // SAFETY: the closure makes one system call.
    unsafe { command.pre_exec(filter) }
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
