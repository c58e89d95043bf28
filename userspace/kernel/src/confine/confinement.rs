//! Giving up what the server never needs again: Landlock for files and ports, seccomp for system calls.
//!
//! Who answers strangers and holds the kernel's tables in view shall be worth nothing to whoever takes it over: it reads /proc, /sys/fs/cgroup and a
//! few named directories; it writes, executes, connects and binds nothing, but for a recording that it was told to make. Both are best effort: a kernel without them gets a server without them, and
//! the log says so.
//!
//! Landlock has a price that is no fault (security/landlock/task.c:hook_ptrace_access_check): a confined process may not look into others where
//! ptrace's rights are asked for, whatever its capabilities: /proc/PID/maps, smaps, environ, exe and fd of others answer EACCES or EPERM.
//! /proc/PID/stat, status, comm, cgroup and mountinfo do not ask.

use std::fmt;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    RulesetStatus, Scope, path_beneath_rules,
};

use crate::confine::syscalls::{self as syscalls, Needs};

/// The newest rules that are known to do no harm here. Later ones would forbid sending to unix sockets by path.
const NEWEST: ABI = ABI::V6;

/// What must stay possible besides serving.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confinement {
    /// Files and directories that stay readable: the web config file's, the certificates'. A file that is replaced is found again only if
    /// its directory is here.
    pub read_files: Vec<PathBuf>,
    /// Directories with OCI bundles, to name containers by; those that do not exist are passed over.
    pub oci_roots: Vec<PathBuf>,
    /// Where our own unix sockets are: they stay removable.
    pub unix_socket_dirs: Vec<PathBuf>,
    /// The directory of a recording, and its descriptor: there files can be made, renamed and removed, by names in it.
    pub recording: Option<(PathBuf, RawFd)>,
    /// A terminal is in use: its modes, and stopping ourselves.
    pub terminal: bool,
}

/// How far Landlock reaches on this kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All that was asked for.
    Full,
    /// What an older kernel knows: files always, ports since 6.7, signals and abstract sockets since 6.12.
    Partial,
    /// Nothing: the kernel has none, or it is switched off.
    None,
}

/// What was achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confined {
    /// Files and ports.
    pub landlock: Reach,
    /// System calls.
    pub seccomp: bool,
    /// Threads that were there already besides the caller: they are not confined.
    pub free_threads: usize,
}

impl fmt::Display for Confined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let landlock = match self.landlock {
            Reach::Full => "on",
            Reach::Partial => "on, as far as this kernel knows it",
            Reach::None => "not available",
        };
        write!(f, "landlock {landlock}; seccomp {}", if self.seccomp { "on" } else { "not available" })?;
        match self.free_threads {
            0 => Ok(()),
            1 => f.write_str("; 1 thread is not confined"),
            threads => write!(f, "; {threads} threads are not confined"),
        }
    }
}

/// Why confining failed half way: whoever asked for it should end.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// Landlock is there and did not take the rules.
    #[error("landlock: {0}")]
    Landlock(#[from] RulesetError),
    /// seccomp is there and did not take the filter.
    #[error("seccomp: {0}")]
    Seccomp(#[from] seccompiler::Error),
}

/// Confines the calling thread, and the threads it will start, for good.
///
/// To be called after everything is open, loaded, bound and dropped, and before there is another thread: a thread that is there already
/// stays free. Sets no_new_privs.
pub fn confine(wanted: &Confinement) -> Result<Confined, ConfineError> {
    let free_threads =
        std::fs::read_dir("/proc/self/task").map_or(0, |tasks| tasks.count().saturating_sub(1));
    // Landlock first: its calls are not on seccomp's list.
    let landlock = restrict_files(wanted)?;
    let needs = Needs {
        unlink: !wanted.unix_socket_dirs.is_empty(),
        record_in: wanted.recording.as_ref().map(|(_, descriptor)| *descriptor),
        terminal: wanted.terminal,
    };
    let seccomp = syscalls::restrict(needs)?;
    Ok(Confined { landlock, seccomp, free_threads })
}

fn restrict_files(wanted: &Confinement) -> Result<Reach, RulesetError> {
    let read: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::ReadDir;
    let readable = ["/proc", "/sys/fs/cgroup", "/sys/devices/system/cpu"].map(Path::new);
    let readable = readable
        .into_iter()
        .chain(wanted.read_files.iter().map(PathBuf::as_path))
        .chain(wanted.oci_roots.iter().map(PathBuf::as_path));
    let recorded = AccessFs::MakeReg | AccessFs::RemoveFile | AccessFs::WriteFile | AccessFs::Truncate;
    let recording = wanted.recording.as_ref().map(|(directory, _)| directory);
    let mut ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::BindTcp | AccessNet::ConnectTcp)?;
    // The processes of a pipeline stop together; with a terminal we may be one of them.
    let scopes = if wanted.terminal { Scope::AbstractUnixSocket.into() } else { Scope::from_all(NEWEST) };
    ruleset = ruleset.scope(scopes)?;
    let status = ruleset
        .create()?
        .add_rules(path_beneath_rules(readable, read))?
        .add_rules(path_beneath_rules(&wanted.unix_socket_dirs, AccessFs::RemoveFile))?
        .add_rules(path_beneath_rules(recording, recorded))?
        .restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Reach::Full,
        RulesetStatus::PartiallyEnforced => Reach::Partial,
        RulesetStatus::NotEnforced => Reach::None,
    })
}

#[cfg(test)]
mod tests;
