//! Child processes: how they are made, told what to do, and how none is left behind.
//!
//! Each is told to die with the thread that made it (PR_SET_PDEATHSIG), and ends when its socket does.
#![expect(unsafe_code, reason = "fork, prctl and wait")]

use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use aioinspect_tests::truth::{ChildTruth, GhostTruth, OwnContext};
use serde_json::{Value, json};

use crate::failure::{At, Done, Failure};
use crate::reading::Reading;
use crate::state::{PATIENCE, State};
use crate::words::Words;

/// A living child.
#[derive(Debug)]
pub(crate) struct Child {
    /// PID of the child.
    pub pid: u32,
    /// What it is.
    pub kind: &'static str,
    /// Rings it inherited.
    pub ghosts: Vec<GhostTruth>,
    /// Contexts of its own.
    pub contexts: Vec<OwnContext>,
    /// Files to be removed when it is gone.
    pub litter: Option<(String, String)>,
    link: BufReader<UnixStream>,
}

impl Child {
    /// A child at the other end of `link`.
    pub(crate) fn new(pid: u32, kind: &'static str, link: UnixStream) -> Result<Self, Failure> {
        link.set_read_timeout(Some(PATIENCE)).at("socket")?;
        Ok(Child {
            pid,
            kind,
            ghosts: Vec::new(),
            contexts: Vec::new(),
            litter: None,
            link: BufReader::new(link),
        })
    }

    /// Tells the child one line and returns its answer.
    pub(crate) fn ask(&mut self, line: &str) -> Done {
        self.tell(line)?;
        self.answer()
    }

    /// Tells the child one line.
    pub(crate) fn tell(&mut self, line: &str) -> Result<(), Failure> {
        self.link.get_mut().write_all(format!("{line}\n").as_bytes()).at("write to a child")
    }

    /// The child's next line.
    pub(crate) fn answer(&mut self) -> Done {
        let mut line = String::new();
        self.link.read_line(&mut line).at("answer of a child")?;
        let answer: Value = serde_json::from_str(&line)
            .map_err(|_| Failure::refused(format!("child {} said {line:?}", self.pid)))?;
        match answer.get("error") {
            Some(error) => {
                let errno = answer.get("errno").and_then(Value::as_i64).unwrap_or(0);
                Err(Failure::refused(format!("child {}: {error} ({errno})", self.pid)))
            }
            None => Ok(answer),
        }
    }

    /// What is true of it.
    pub(crate) fn truth(&self) -> ChildTruth {
        ChildTruth {
            pid: self.pid,
            kind: self.kind.to_owned(),
            ghosts: self.ghosts.clone(),
            contexts: self.contexts.clone(),
        }
    }

    /// Lets it end and waits until it is gone.
    fn end(self) -> Result<i32, Failure> {
        drop(self.link);
        let status = wait_for(self.pid)?;
        if let Some((file, directory)) = self.litter {
            // Best effort: whoever set TMPDIR removes the rest.
            let _ = std::fs::remove_file(file);
            let _ = std::fs::remove_dir(directory);
        }
        Ok(status)
    }
}

/// Ends all children, the server of slow reads too: reads in flight then fail.
pub(crate) fn end_all(state: &mut State) {
    state.reads.forget_server();
    state.readings.clear();
    // The server was made before any child that reads, and so ends before them.
    for child in std::mem::take(&mut state.children) {
        // What cannot be waited for any more is gone.
        let _ = child.end();
    }
    state.farm = None;
    state.caller_of_32_bits = None;
}

/// Waits for a child of ours to be gone; its wait status.
pub(crate) fn wait_for(pid: u32) -> Result<i32, Failure> {
    let mut status = 0;
    loop {
        // SAFETY: `status` is an int.
        if unsafe { libc::waitpid(pid.cast_signed(), &raw mut status, libc::__WALL) } >= 0 {
            return Ok(status);
        }
        let error = std::io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::EINTR) {
            return Err(error).at("waitpid");
        }
    }
}

/// The child of that PID.
pub(crate) fn of_pid(children: &mut [Child], pid: u32) -> Result<&mut Child, Failure> {
    children
        .iter_mut()
        .find(|child| child.pid == pid)
        .ok_or_else(|| Failure::refused(format!("no child {pid}")))
}

/// `child-exit PID`: the child ends; returns when it is reaped.
pub(crate) fn exit(state: &mut State, words: &mut Words) -> Done {
    let pid = words.number::<u32>("PID")?;
    let at = state.children.iter().position(|child| child.pid == pid);
    let at = at.ok_or_else(|| Failure::refused(format!("no child {pid}")))?;
    let serves = state.children.get(at).is_some_and(|child| child.kind == "fuse");
    if serves && (state.reads.pending() > 0 || state.readings.iter().any(Reading::waits)) {
        return Err(Failure::refused("slow reads are in flight: finish-reads and finish-dying first"));
    }
    if state.readings.iter().any(|reading| reading.pid == pid && reading.waits()) {
        return Err(Failure::refused("its slow reads are in flight: finish-dying first"));
    }
    state.readings.retain(|reading| reading.pid != pid);
    let child = state.children.remove(at);
    if child.kind == "fuse" {
        state.reads.forget_server();
    }
    Ok(json!({"status": child.end()?}))
}

/// Starts this program again as a helper of that kind, which speaks on its standard input.
///
/// Not by fork: a fork would copy the rings, and the helper would hold ghosts.
pub(crate) fn helper(kind: &'static str, args: &[&str]) -> Result<(Child, Value), Failure> {
    let (ours, theirs) = UnixStream::pair().at("socketpair")?;
    let process = Command::new("/proc/self/exe")
        .arg("helper")
        .args(args)
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .spawn()
        .at("spawn of a helper")?;
    let mut child = Child::new(process.id(), kind, ours)?;
    match child.answer() {
        Ok(said) => {
            let name = |i| said.pointer(&format!("/litter/{i}")).and_then(Value::as_str).map(str::to_owned);
            child.litter = name(0).zip(name(1));
            Ok((child, said))
        }
        Err(failure) => {
            let _ = child.end();
            Err(failure)
        }
    }
}

/// Makes the calling process die with the thread that made it; false if that is already gone.
pub(crate) fn die_with_parent(parent: u32) -> bool {
    // SAFETY: takes numbers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    parent == std::os::unix::process::parent_id()
}

/// Closes every descriptor but standard error and `keep`, so that no end of a pipe is held by accident.
///
/// # Safety
/// No Rust object that owns another descriptor is used afterwards, and the table is not shared.
pub(crate) unsafe fn keep_only(keep: RawFd) {
    let keep = keep.cast_unsigned();
    for (first, last) in [(0, 1), (3, keep.saturating_sub(1)), (keep.saturating_add(1), u32::MAX)] {
        if first <= last {
            // SAFETY: as the caller vouches.
            unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        }
    }
}

/// Forks; the child runs `run` with its end of the socket and exits with what it returns.
pub(crate) fn fork(kind: &'static str, run: fn(UnixStream) -> i32) -> Result<Child, Failure> {
    let (ours, theirs) = UnixStream::pair().at("socketpair")?;
    let parent = std::process::id();
    // SAFETY: glibc's fork keeps the allocator usable in the child; `run` takes no other lock.
    match unsafe { libc::fork() } {
        -1 => Err(Failure::last("fork")),
        0 => {
            let mut code = 1;
            if die_with_parent(parent) {
                // SAFETY: the child uses nothing but `theirs`; fork gave it a descriptor table of its own.
                unsafe { keep_only(theirs.as_raw_fd()) };
                code = run(theirs);
            }
            // SAFETY: ends the child without running the parent's destructors.
            unsafe { libc::_exit(code) }
        }
        pid => {
            drop(theirs);
            Child::new(pid.cast_unsigned(), kind, ours)
        }
    }
}
