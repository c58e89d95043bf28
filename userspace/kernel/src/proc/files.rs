//! Files of one process in `/proc`, read through a directory opened once, so that a recycled PID cannot be taken for it.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, StatxFlags, openat, statat, statx};
use rustix::io::Errno;

use crate::proc::barrier::Barrier;
use aioinspect_model::evidence::Process;
use aioinspect_model::units::{Pid, Tid};
use aioinspect_parse::proc::stat::{Stat, TaskState};
use aioinspect_parse::proc::status::Status;

pub use crate::proc::error::ProcError;

/// Bytes that are asked for at a time: most files are shorter, and read at once.
const PAGE: usize = 4096;
/// Most bytes of a small file (stat, status, comm, auxv, cgroup).
const SMALL: u64 = 1 << 20;
/// Most bytes of `smaps`: about 700,000 mappings, ten times the default `vm.max_map_count`.
pub const SMAPS_MAX: u64 = 1 << 29;
/// How long `/proc` may take to answer for a process that sleeps uninterruptibly.
const ANSWER: Duration = Duration::from_millis(200);

/// A process of `/proc`. Once the process has been reaped every read answers [`ProcError::NoSuchProcess`].
#[derive(Debug)]
pub struct ProcDir {
    pid: Pid,
    dir: OwnedFd,
    ns_pids: Vec<u32>,
}

impl AsFd for ProcDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

impl ProcDir {
    /// Opens `/proc/PID`. A thread id that is no process id is refused as no such process.
    pub fn open(pid: Pid) -> Result<Self, ProcError> {
        let (found, status) = Self::open_unasked(pid)?;
        if status.state == Some(b'D') && !found.answers() {
            return Err(ProcError::Locked(pid));
        }
        Ok(found)
    }

    /// The same with what its `status` says, which is read at once whatever the process waits for. Its other files may not be.
    pub(crate) fn open_unasked(pid: Pid) -> Result<(Self, Status), ProcError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(format!("/proc/{pid}"), flags, Mode::empty())
            .map_err(|error| explain(pid, "", error))?;
        // /proc/TID opens for any thread; only a leader is among its own tasks under the same number as its process.
        let mut found = Self { pid, dir, ns_pids: Vec::new() };
        let status = Status::parse(&found.read("status", SMALL)?).unwrap_or_default();
        found.ns_pids = status.ns_pids.iter().map(|pid| pid.0).collect();
        if status.tgid != Some(pid) {
            return Err(ProcError::NoSuchProcess(pid));
        }
        Ok((found, status))
    }

    /// Whether its files can be read soon. Who waits inside exec holds `signal->exec_update_lock`, and readers of most of its files wait with it
    /// (fs/exec.c:exec_mmap, which waits in exit_aio for requests in flight; fs/proc/array.c, kernel/fork.c:mm_access).
    fn answers(&self) -> bool {
        let Ok(dir) = self.dir.try_clone() else { return true };
        let (tell, told) = std::sync::mpsc::channel();
        // Opening the first takes the lock, and so does reading the second where reading `stat` does; that one anybody may open. Who waits there
        // can be killed: it ends with us. A reader of `stat` would not.
        let reader = std::thread::Builder::new().spawn(move || {
            let open = |file| openat(&dir, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
            drop(open("auxv"));
            let _ = open("wchan").map(|wchan| File::from(wchan).read(&mut [0; 64]));
            let _ = tell.send(());
        });
        // Without a thread, as it was: whoever reads waits.
        reader.is_err() || told.recv_timeout(ANSWER).is_ok()
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Its process id in each PID namespace that it is in, from ours inwards; empty where the kernel does not say.
    pub fn ns_pids(&self) -> Vec<u32> {
        self.ns_pids.clone()
    }

    /// A file below `/proc/PID`, such as `status` or `task/12/stat`, of at most `max` bytes.
    pub fn read(&self, file: &str, max: u64) -> Result<Vec<u8>, ProcError> {
        let opened = self.open_file(file)?;
        read_all(self.pid, file, opened, max)
    }

    /// Opens a file below `/proc/PID` for reading.
    pub fn open_file(&self, file: &str) -> Result<File, ProcError> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        match openat(&self.dir, file, flags, Mode::empty()) {
            Ok(opened) => Ok(File::from(opened)),
            Err(error) => Err(explain(self.pid, file, error)),
        }
    }

    /// The text of `stat`.
    pub fn stat(&self) -> Result<Vec<u8>, ProcError> {
        self.read("stat", SMALL)
    }

    /// The text of `status`.
    pub fn status(&self) -> Result<Vec<u8>, ProcError> {
        self.read("status", SMALL)
    }

    /// The text of `cgroup`.
    pub fn cgroup(&self) -> Result<Vec<u8>, ProcError> {
        self.read("cgroup", SMALL)
    }

    /// The process's name, without the line end that the kernel adds: up to 15 bytes, any but NUL.
    pub fn comm(&self) -> Result<Vec<u8>, ProcError> {
        let mut name = self.read("comm", SMALL)?;
        if name.last() == Some(&b'\n') {
            name.pop();
        }
        Ok(name)
    }

    /// The text of `smaps`, from a thread that still has the address space; at most [`SMAPS_MAX`] bytes.
    pub fn smaps(&self) -> Result<Vec<u8>, ProcError> {
        let file = format!("task/{}/smaps", self.live_thread()?);
        self.read(&file, SMAPS_MAX)
    }

    /// The bytes of `auxv`. It is not per thread: with a dead leader it is empty, and [`ProcError::Zombie`] says so.
    pub fn auxv(&self) -> Result<Vec<u8>, ProcError> {
        let tid = self.live_thread()?;
        if tid.0 == self.pid.0 {
            return self.read("auxv", SMALL);
        }
        // /proc/TID of any thread has all files of a process; this one is looked up by number, so make sure it is ours.
        let file = format!("/proc/{tid}/auxv");
        let opened = rustix::fs::open(&file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| explain(self.pid, "auxv", error))?;
        let bytes = read_all(self.pid, "auxv", File::from(opened), SMALL)?;
        self.state_of(tid)?;
        Ok(bytes)
    }

    /// Opens `maps` of a thread that still has the address space. The descriptor stays with that address space.
    pub fn open_maps(&self) -> Result<File, ProcError> {
        self.open_file(&format!("task/{}/maps", self.live_thread()?))
    }

    /// Who traces thread `tid`, 0 for nobody, as a thread id of the tracer.
    pub fn tracer_of(&self, tid: Tid) -> Result<Tid, ProcError> {
        let status = self.read(&format!("task/{tid}/status"), SMALL)?;
        Ok(Status::parse(&status).unwrap_or_default().tracer.unwrap_or(Tid(0)))
    }

    /// The state of thread `tid`.
    pub fn state_of(&self, tid: Tid) -> Result<TaskState, ProcError> {
        let file = format!("task/{tid}/stat");
        let stat = self.read(&file, SMALL)?;
        Stat::parse(&stat).map(|stat| stat.state).map_err(|why| ProcError::Io {
            pid: self.pid,
            file,
            source: io::Error::new(io::ErrorKind::InvalidData, why),
        })
    }

    /// Its threads, dead ones that are not reaped included, in the kernel's order: oldest first.
    pub fn threads(&self) -> Result<Vec<Tid>, ProcError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let task = openat(&self.dir, "task", flags, Mode::empty())
            .map_err(|error| explain(self.pid, "task", error))?;
        let numbers = numbers_in(task).map_err(|error| explain(self.pid, "task", error))?;
        Ok(numbers.into_iter().map(Tid).collect())
    }

    /// How many threads it has, dead ones that are not reaped included. One system call, no allocation.
    ///
    /// fs/proc/base.c:proc_task_getattr adds them to the link count of `/proc/PID/task`.
    pub fn thread_count(&self) -> Result<u64, Errno> {
        let task = statx(&self.dir, "task", AtFlags::empty(), StatxFlags::NLINK)?;
        Ok(u64::from(task.stx_nlink).saturating_sub(2))
    }

    /// A thread that has the address space: the leader, or if it is dead, the oldest living one.
    pub fn live_thread(&self) -> Result<Tid, ProcError> {
        let leader = Tid(self.pid.0);
        let state = self.state_of(leader)?;
        if state.is_kernel_thread() {
            return Err(ProcError::KernelThread(self.pid));
        }
        if !state.is_ending() {
            return Ok(leader);
        }
        // Those that are on their way out: no memory, or soon none, and yet not dead.
        let mut leaving = Vec::new();
        for tid in self.threads()? {
            match self.state_of(tid) {
                Ok(state) if !state.is_ending() => return Ok(tid),
                Ok(state) if !state.is_dead() => leaving.push((tid, state.letter)),
                // Dead, or gone meanwhile.
                Ok(_) | Err(_) => {}
            }
        }
        // A thread that executes a program takes over the number of the leader, which died for it.
        if !self.state_of(leader)?.is_ending() {
            return Ok(leader);
        }
        // Who waits in the kernel says more than who runs there.
        let waits = leaving.iter().find(|(_, letter)| *letter == 'D').or(leaving.first());
        let Some((tid, state)) = waits.copied() else { return Err(ProcError::Zombie(self.pid)) };
        Err(ProcError::Exiting { pid: self.pid, state, wchan: self.wchan(tid) })
    }

    /// `st_mode` of the file mapped at `start..end`, through `map_files`. `None`: no such mapping, not permitted
    /// (CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN), or not known to this kernel.
    pub fn map_file_mode(&self, start: u64, end: u64) -> Option<u32> {
        let name = format!("map_files/{start:x}-{end:x}");
        statat(&self.dir, name, AtFlags::empty()).ok().map(|stat| stat.st_mode)
    }

    /// The function of the kernel that thread `tid` waits in; `None` if it cannot be known.
    pub fn wchan(&self, tid: Tid) -> Option<String> {
        let name = self.read(&format!("task/{tid}/wchan"), SMALL).ok()?;
        String::from_utf8(name).ok().filter(|name| !name.is_empty() && name != "0")
    }

    /// The children of thread `tid`; none where the kernel does not tell (CONFIG_PROC_CHILDREN).
    pub fn children_of(&self, tid: Tid) -> Vec<Pid> {
        let text = self.read(&format!("task/{tid}/children"), SMAPS_MAX).unwrap_or_default();
        let text = String::from_utf8(text).unwrap_or_default();
        text.split_ascii_whitespace().filter_map(|number| number.parse().ok()).map(Pid).collect()
    }
}

/// A process by its own files, without its cgroup; `None` if it is gone, or they cannot be read.
pub fn process_of(pid: Pid) -> Option<Process> {
    let dir = ProcDir::open(pid).ok()?;
    let stat = Stat::parse(&dir.stat().ok()?).ok()?;
    let (start_ticks, ns_pids) = (stat.start_ticks, dir.ns_pids);
    Some(Process { pid, comm: stat.comm, start_ticks, ns_pids, ..Process::default() })
}

/// The text of `/proc/PID/cgroup` of a process that was there a moment ago: with nothing but that file opened, for who asks about many.
pub fn cgroup_of(pid: Pid) -> Result<Vec<u8>, ProcError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(format!("/proc/{pid}/cgroup"), flags, Mode::empty())
        .map_err(|error| explain(pid, "cgroup", error))?;
    read_all(pid, "cgroup", File::from(opened), SMALL)
}

/// All processes of this PID namespace, in ascending order. Another may be born or gone at any time.
pub fn processes() -> io::Result<Vec<Pid>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let proc = rustix::fs::open("/proc", flags, Mode::empty())?;
    let mut pids: Vec<_> = numbers_in(proc)?.into_iter().map(Pid).collect();
    pids.sort_unstable();
    Ok(pids)
}

fn read_all(pid: Pid, file: &str, opened: File, max: u64) -> Result<Vec<u8>, ProcError> {
    // The kernel writes these files anew for each read that does not take all of them.
    let mut bytes = Vec::with_capacity(PAGE);
    let read = opened.take(max.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|error| match Errno::from_io_error(&error) {
        Some(errno) => explain(pid, file, errno),
        None => ProcError::Io { pid, file: file.to_owned(), source: error },
    })?;
    if bytes.len() as u64 > max {
        return Err(ProcError::TooLarge { pid, file: file.to_owned(), max });
    }
    bytes.shrink_to_fit();
    Ok(bytes)
}

fn numbers_in(dir: impl AsFd) -> Result<Vec<u32>, Errno> {
    let mut numbers = Vec::new();
    for entry in Dir::read_from(dir)? {
        numbers.extend(entry?.file_name().to_str().ok().and_then(|name| name.parse::<u32>().ok()));
    }
    Ok(numbers)
}

fn explain(pid: Pid, file: &str, error: Errno) -> ProcError {
    match error {
        // A lookup below a dead process finds nothing, a read of what was opened before has no task.
        Errno::NOENT | Errno::SRCH => ProcError::NoSuchProcess(pid),
        Errno::ACCESS | Errno::PERM => {
            // The one file we read whose mode is 0400: nothing but its owner's uid or this reads past that.
            let needs = if file == "auxv" { "CAP_DAC_READ_SEARCH" } else { "CAP_SYS_PTRACE" };
            ProcError::NotPermitted { pid, file: file.to_owned(), barrier: Barrier::Needs(needs) }
        }
        other => ProcError::Io { pid, file: file.to_owned(), source: other.into() },
    }
}

#[cfg(test)]
mod tests;
