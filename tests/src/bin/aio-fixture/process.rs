//! What a process can do to itself as a whole.
#![expect(unsafe_code, reason = "prctl, credentials, exec, exit")]

use std::fs::OpenOptions;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;
use std::{fs, io};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use serde_json::json;

use crate::children;
use crate::failure::{At, Done, Failure};
use crate::ghosts::task_state;
use crate::memory;
use crate::state::{PATIENCE, State, pid};
use crate::words::Words;

/// Takes the FIFOs `in` and `out` of a directory for standard input and output, and closes what whoever started this may have lent: CRIU can
/// dump only what was opened in the target's own namespaces.
pub(crate) fn on_its_own(dir: Option<&String>) -> Result<(), Failure> {
    let dir = Path::new(dir.ok_or_else(|| Failure::refused("on-its-own DIR"))?);
    for (name, stream) in [("in", 0), ("out", 1)] {
        let path = dir.join(name);
        let fifo = OpenOptions::new().read(true).write(true).open(&path).at(name)?;
        // SAFETY: both are descriptors, and nothing here owns a standard stream.
        if unsafe { libc::dup2(fifo.as_raw_fd(), stream) } < 0 {
            return Err(Failure::last("dup2"));
        }
    }
    // SAFETY: nothing of this process has opened a descriptor that it still has.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
    if closed == 0 { Ok(()) } else { Err(Failure::last("close_range")) }
}

/// `set-comm HEX`: any bytes, in hex.
pub(crate) fn set_comm(_: &mut State, words: &mut Words) -> Done {
    let hex = words.word("HEX")?.as_bytes();
    let digits = hex.iter().map(|digit| char::from(*digit).to_digit(16)).collect::<Option<Vec<_>>>();
    let digits = digits.ok_or_else(|| Failure::refused("HEX is not hex"))?;
    let (pairs, []) = digits.as_chunks::<2>() else {
        return Err(Failure::refused("HEX has an odd number of digits"));
    };
    let bytes = pairs.iter().map(|[high, low]| u8::try_from(high * 16 + low).unwrap_or(0));
    // The leader's name is what /proc/PID/comm shows, whichever thread we are.
    fs::write(format!("/proc/self/task/{}/comm", pid()), bytes.collect::<Vec<_>>()).at("write of comm")?;
    Ok(json!({}))
}

/// `dumpable 0|1`.
pub(crate) fn dumpable(_: &mut State, words: &mut Words) -> Done {
    let value = words.number::<u64>("0|1")?;
    // SAFETY: takes numbers.
    if unsafe { libc::prctl(libc::PR_SET_DUMPABLE, value, 0, 0, 0) } != 0 {
        return Err(Failure::last("PR_SET_DUMPABLE"));
    }
    Ok(json!({}))
}

/// `set-uid UID`: all three ids of user and group, no other groups.
pub(crate) fn set_uid(_: &mut State, words: &mut Words) -> Done {
    let uid = words.number::<u32>("UID")?;
    let parent = std::os::unix::process::parent_id();
    // SAFETY: no groups.
    if unsafe { libc::setgroups(0, std::ptr::null()) } != 0 {
        return Err(Failure::last("setgroups"));
    }
    // SAFETY: takes numbers.
    if unsafe { libc::setresgid(uid, uid, uid) } != 0 || unsafe { libc::setresuid(uid, uid, uid) } != 0 {
        return Err(Failure::last("setresuid"));
    }
    // A change of credentials forgets what the kernel was told to do when the parent dies.
    if !children::die_with_parent(parent) {
        return Err(Failure::refused("the parent is gone"));
    }
    Ok(json!({}))
}

/// `brk-grow [BYTES]`.
pub(crate) fn brk_grow(_: &mut State, words: &mut Words) -> Done {
    let bytes = words.maybe("BYTES")?.unwrap_or(1 << 16);
    Ok(json!({"brk": memory::grow_brk(bytes)?}))
}

/// `exec-self`: the same program again, with the same standard streams; the new one answers.
///
/// Slow reads are ended before: exec would wait for them (fs/exec.c:exec_mmap, fs/aio.c:exit_aio).
pub(crate) fn exec_self(state: &mut State, _: &mut Words) -> Done {
    children::end_all(state);
    Err(Failure::os("exec", &Command::new("/proc/self/exe").arg("answer").exec()))
}

/// `exec-when-held`: the same as soon as somebody who held the thread lets it go: that is what ends epoll_wait early.
pub(crate) fn exec_when_held(state: &mut State, words: &mut Words) -> Done {
    let nothing = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(io::Error::from).at("epoll_create1")?;
    let patience = Timespec { tv_sec: i64::try_from(PATIENCE.as_secs()).unwrap_or(i64::MAX), tv_nsec: 0 };
    let mut events: Vec<epoll::Event> = Vec::with_capacity(1);
    match epoll::wait(&nothing, spare_capacity(&mut events), Some(&patience)) {
        Err(Errno::INTR) => exec_self(state, words),
        _ => Err(Failure::refused("nobody held it")),
    }
}

/// Ends the process at once, children first.
pub(crate) fn exit(state: &mut State, code: i32) -> ! {
    children::end_all(state);
    // SAFETY: ends the process, all threads included, without running destructors under their feet.
    unsafe { libc::_exit(code) }
}

/// Stops this process by SIGSTOP; returns when somebody continues it.
pub(crate) fn stop_self() {
    // SAFETY: a signal to ourselves.
    unsafe { libc::kill(libc::getpid(), libc::SIGSTOP) };
}

/// Ends the calling thread alone, without the thread's destructors; others go on, or it is the last.
pub(crate) fn exit_thread() -> ! {
    loop {
        // SAFETY: ends this thread only.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    }
}

/// Waits until the leader is a zombie.
pub(crate) fn await_dead_leader() -> Result<(), Failure> {
    let begun = Instant::now();
    while task_state(&format!("/proc/self/task/{}/stat", pid()))? != 'Z' {
        if begun.elapsed() > PATIENCE {
            return Err(Failure::refused("the leader does not end"));
        }
        std::thread::yield_now();
    }
    Ok(())
}
