//! Why a process cannot be looked at, by what the caller can do.

use std::fmt::Write as _;
use std::io;

use crate::proc::barrier::Barrier;
use aioinspect_model::units::Pid;

/// Why a process, or a file of it in `/proc`, could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ProcError {
    /// It does not exist, or exited meanwhile.
    #[error("no process {0}")]
    NoSuchProcess(Pid),
    /// The number is that of a thread.
    #[error("no process {tid}: it is a thread of process {process}; use that PID")]
    Thread {
        /// The number that was asked for.
        tid: Pid,
        /// The process it belongs to.
        process: Pid,
    },
    /// Nobody has that number here, but somebody in a PID namespace further in.
    #[error("no process {pid} in this PID namespace; {}", elsewhere(*.pid, .here))]
    Elsewhere {
        /// The number that was asked for.
        pid: Pid,
        /// The numbers that those who have it there have here; never empty.
        here: Vec<Pid>,
    },
    /// It exists, but `/proc` shows us nothing of it.
    #[error(
        "process {pid} exists, but /proc is mounted with {option} and does not show it: needs CAP_SYS_PTRACE"
    )]
    Hidden {
        /// The process that is not shown.
        pid: Pid,
        /// The mount option, such as `hidepid=invisible`.
        option: String,
    },
    /// It exists, but what is mounted at `/proc` is about other processes.
    #[error(
        "process {0} exists, but /proc shows another PID namespace: mount ours (unshare --mount --mount-proc)"
    )]
    ForeignProc(Pid),
    /// It is there and lives, but the kernel's iterator passes it over, or it changed at every look.
    #[error(
        "process {0} exists, but BPF does not show it: try again; if that does not help, this kernel hides it"
    )]
    Unseen(Pid),
    /// It has no address space and never will.
    #[error("process {0} is a kernel thread: it has no memory of its own and no contexts")]
    KernelThread(Pid),
    /// All its threads have exited.
    #[error("process {0} is a zombie: it has exited and has no memory")]
    Zombie(Pid),
    /// All its threads that are not dead are inside the kernel's exit, without memory or soon without.
    #[error("process {pid} is exiting: {}", leaving(*.state, .wchan.as_deref()))]
    Exiting {
        /// The process that is ending.
        pid: Pid,
        /// State of the thread that is named, as in `/proc/PID/stat`; D if one of them sleeps uninterruptibly.
        state: char,
        /// The function of the kernel it waits in, where that can be known.
        wchan: Option<String>,
    },
    /// It is inside an exec that waits, and readers of its files in /proc wait with it.
    #[error(
        "process {0} is exiting: it waits inside exec, most likely for its requests in flight, and /proc does not answer"
    )]
    Locked(Pid),
    /// The kernel refused: EACCES or EPERM.
    #[error("not permitted to read {file} of process {pid}: {barrier}")]
    NotPermitted {
        /// The process that was to be read.
        pid: Pid,
        /// The file below `/proc/PID`, or `its memory`.
        file: String,
        /// What is in the way.
        barrier: Barrier,
    },
    /// More than we are ready to hold.
    #[error("{file} of process {pid} has more than {max} bytes")]
    TooLarge {
        /// The process whose file it is.
        pid: Pid,
        /// The file below `/proc/PID`.
        file: String,
        /// The limit, in bytes.
        max: u64,
    },
    /// Anything else.
    #[error("cannot read {file} of process {pid}: {source}")]
    Io {
        /// The process whose file it is.
        pid: Pid,
        /// The file below `/proc/PID`.
        file: String,
        /// What the kernel said.
        source: io::Error,
    },
}

/// `process 1234 has that number in its own: ask for 1234`.
fn elsewhere(pid: Pid, here: &[Pid]) -> String {
    let names: Vec<String> = here.iter().map(Pid::to_string).collect();
    match names.as_slice() {
        [one] => format!("process {one} is {pid} in a nested one: use {one}"),
        several => {
            format!("processes {} are {pid} in nested ones: use one of them", several.join(", "))
        }
    }
}

/// What a process that is exiting waits for, as far as its state and wchan tell.
fn leaving(state: char, wchan: Option<&str>) -> String {
    let mut text = String::new();
    let doing = if state == 'R' { "runs" } else { "waits" };
    // Writing to a string cannot fail.
    let _ = match wchan {
        Some("exit_aio") => write!(text, "it waits for its requests in exit_aio (state {state})"),
        Some(place) => write!(text, "it {doing} in {place} (state {state})"),
        None => write!(text, "it {doing} in the kernel (state {state})"),
    };
    text.push_str("; its requests may still be in flight, and it has no memory to read");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check the sentences that are put together.
    #[test]
    fn sentences() {
        let exiting = |state, wchan: Option<&str>| {
            ProcError::Exiting { pid: Pid(7), state, wchan: wchan.map(str::to_owned) }.to_string()
        };
        assert!(exiting('D', Some("exit_aio")).starts_with(
            "process 7 is exiting: it waits for its requests in exit_aio (state D); its requests may still be in flight"
        ));
        assert!(exiting('D', None).contains("it waits in the kernel (state D)"));
        assert!(exiting('R', None).contains("it runs in the kernel (state R)"));
        let elsewhere = |here: &[u32]| {
            ProcError::Elsewhere { pid: Pid(7), here: here.iter().copied().map(Pid).collect() }.to_string()
        };
        assert_eq!(
            elsewhere(&[1234]),
            "no process 7 in this PID namespace; process 1234 is 7 in a nested one: use 1234"
        );
        assert!(elsewhere(&[12, 34]).ends_with("processes 12, 34 are 7 in nested ones: use one of them"));
    }
}
