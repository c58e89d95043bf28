//! Asynchronous I/O of a process that is not native AIO: found, not looked at. Read from /proc while nobody is held.
//!
//! An io_uring has a descriptor, or where that is registered and closed, a mapping of its rings or a thread of the kernel's (io_uring/io-wq.c,
//! io_uring/sqpoll.c). POSIX AIO is nothing that the kernel knows: the C library's threads read and write for the program (glibc: rt/aio_misc.c,
//! musl: src/aio/aio.c). They have the program's name and stack, but each library blocks every signal in them, and a request that is
//! under way is a thread inside a read, write or sync.

use std::collections::BTreeSet;

use rustix::fs::{AtFlags, Mode, OFlags, openat, readlinkat, statat};

use crate::proc::files::{ProcDir, ProcError, SMAPS_MAX};
use aioinspect_model::evidence::NotLookedAt;
use aioinspect_model::units::{Pid, Tid};
use aioinspect_parse::proc::status::Status;

/// The name of an io_uring's file.
const IO_URING: &[u8] = b"anon_inode:[io_uring]";
/// How the kernel's threads for one are called (their own number follows).
const WORKERS: [&[u8]; 2] = [b"iou-wrk-", b"iou-sqp-"];
/// All signals from 1 to 31 but SIGKILL and SIGSTOP, which nobody can block, a bit each from signal 1 on.
const EVERY_SIGNAL: u64 = 0x7ffb_feff;
/// The system calls by which the C libraries serve a request.
const SERVING: [libc::c_long; 8] = [
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
];

/// Looks into each process of an address space.
pub(crate) fn find(processes: impl IntoIterator<Item = Pid>) -> NotLookedAt {
    let (mut urings, mut threads) = (Some(0_u32), Some(0_u32));
    let add = |sum: &mut Option<u32>, more: Option<u32>| {
        *sum = sum.zip(more).map(|(sum, more)| sum.saturating_add(more));
    };
    for pid in processes {
        match ProcDir::open(pid) {
            Ok(dir) => {
                add(&mut urings, io_urings(&dir));
                add(&mut threads, posix_aio_threads(&dir).ok());
            }
            // Gone, and its I/O with it.
            Err(ProcError::NoSuchProcess(_)) => {}
            Err(_) => (urings, threads) = (None, None),
        }
    }
    NotLookedAt { io_urings: urings, posix_aio_threads: threads }
}

/// The instances of one process: descriptors and mappings of one inode are one of them. Kernels before 5.12 have one inode for all, and
/// several count as one there. `None`: not permitted.
fn io_urings(dir: &ProcDir) -> Option<u32> {
    let mut inodes = BTreeSet::new();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fds = openat(dir, "fd", flags, Mode::empty()).ok()?;
    for entry in rustix::fs::Dir::read_from(&fds).ok()? {
        let entry = entry.ok()?;
        if entry.file_name().to_bytes().starts_with(b".") {
            continue;
        }
        match readlinkat(&fds, entry.file_name(), Vec::new()) {
            Ok(name) if name.as_bytes() == IO_URING => {
                let found = statat(&fds, entry.file_name(), AtFlags::empty()).ok()?;
                inodes.insert(found.st_ino);
            }
            // Another file, or closed meanwhile.
            Ok(_) | Err(rustix::io::Errno::NOENT) => {}
            Err(_) => return None,
        }
    }
    let maps = dir.read(&format!("task/{}/maps", dir.live_thread().ok()?), SMAPS_MAX).ok()?;
    let is_ring = |line: &&[u8]| line.ends_with(IO_URING);
    for line in maps.split(|byte| *byte == b'\n').filter(is_ring) {
        let inode = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).nth(4);
        inodes.extend(inode.and_then(|word| str::from_utf8(word).ok()?.parse::<u64>().ok()));
    }
    let known = u32::try_from(inodes.len()).unwrap_or(u32::MAX);
    // Registered, its descriptor closed and its rings not mapped: its threads alone are left.
    if known == 0 && has_workers(dir).ok()? { Some(1) } else { Some(known) }
}

fn has_workers(dir: &ProcDir) -> Result<bool, ProcError> {
    for tid in dir.threads()? {
        let is_worker = dir.state_of(tid).is_ok_and(aioinspect_parse::proc::stat::TaskState::is_worker);
        let name = dir.read(&format!("task/{tid}/comm"), 64);
        // The program can call its own threads so, but not make them the kernel's.
        if is_worker && name.is_ok_and(|name| WORKERS.iter().any(|begins| name.starts_with(begins))) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The threads that may serve a request of POSIX AIO now.
fn posix_aio_threads(dir: &ProcDir) -> Result<u32, ProcError> {
    let mut count = 0_u32;
    for tid in dir.threads()? {
        match may_serve(dir, tid) {
            Ok(serves) => count = count.saturating_add(u32::from(serves)),
            // Gone meanwhile.
            Err(ProcError::NoSuchProcess(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

fn may_serve(dir: &ProcDir, tid: Tid) -> Result<bool, ProcError> {
    let status = Status::parse(&dir.read(&format!("task/{tid}/status"), 1 << 20)?).unwrap_or_default();
    // No library makes the first thread one of its helpers.
    if tid.0 == dir.pid().0 || status.sig_blk.is_none_or(|blocked| blocked & EVERY_SIGNAL != EVERY_SIGNAL) {
        return Ok(false);
    }
    let state = dir.state_of(tid)?;
    if state.is_worker() || state.is_dead() {
        return Ok(false);
    }
    Ok(serves(&dir.read(&format!("task/{tid}/syscall"), 4096)?))
}

/// Whether a thread with this `syscall` may serve a request: it is in a call that serves one, or in none (`running`, `-1`), which may be between
/// two of them or in the fault of one. A helper without a request waits in a futex.
fn serves(syscall: &[u8]) -> bool {
    let word = syscall.split(u8::is_ascii_whitespace).next().and_then(|word| str::from_utf8(word).ok());
    match word.and_then(|word| word.parse::<libc::c_long>().ok()) {
        Some(number) if number >= 0 => SERVING.contains(&number),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check what the kernel prints of a thread in a call, in another one, and in none.
    #[test]
    fn calls() {
        let read = format!("{} 0x3 0x7f00 0x8 0x0 0x0 0x0 0x7ffd 0x7f01\n", libc::SYS_read);
        let futex = format!("{} 0x3 0x7f00 0x8 0x0 0x0 0x0 0x7ffd 0x7f01\n", libc::SYS_futex);
        assert!(serves(read.as_bytes()) && !serves(futex.as_bytes()));
        assert!(serves(b"running\n") && serves(b"-1 0x7ffd 0x7f01\n"));
    }

    /// Check our own process, which has neither.
    #[test]
    fn ours() {
        let found = find([Pid(std::process::id())]);
        assert_eq!((found.io_urings, found.posix_aio_threads.is_some()), (Some(0), true));
    }

    /// Check that a process that is gone adds nothing.
    #[test]
    fn nobody() {
        assert_eq!(find([Pid(u32::MAX)]), NotLookedAt { io_urings: Some(0), posix_aio_threads: Some(0) });
    }
}
