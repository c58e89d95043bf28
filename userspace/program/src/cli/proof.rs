//! Options of the verbs that prove a process idle: `check` and `dump`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use aioinspect_model::restore_fit::RestoreHost;

use super::with_exit_codes;
use crate::cli::asked::{Asked, asked};
use crate::cli::restore_on::restore_on;
use crate::cli::{duration, pid};

/// How --restore-on judges.
pub(super) const CHECK_HELP: &str = with_exit_codes!(
    "\
--restore-on: the kernel makes a ring of 2 * max(n, 4 * possible CPUs) + 2 entries for io_setup(n), in whole pages; CRIU refuses a ring of \
another size (`wrong aio`). IN_IMAGE is the nr_req of the image, or what CRIU would write; GOOD_ON the numbers of possible CPUs on which that makes the \
ring; NR_REQ what is needed there and costs so many slots. A CRIU that has pull request 3022 reads the memory of each process by a context \
of 128 slots of its own, destroyed before the process's contexts are made: that is counted against free=M.

"
);

/// What it does to the process, and what the image is for.
pub(super) const DUMP_HELP: &str = with_exit_codes!(
    "\
dump injects no code into the process, writes nothing to it and sends it no signal. It stops the process once, for well under a millisecond; \
with --drain for as long as its requests in flight take. \
Like any stop (CRIU, gdb, strace), this makes an io_getevents or epoll_wait that is blocked at that moment return EINTR. A process that is \
clearly not idle is refused without a stop.

The image alone cannot be restored: exe_file_id and the file numbers of its mappings refer to CRIU's files.img. Use it to read the contexts, or to \
correct the image that CRIU writes.

"
);

/// How a process is stopped while it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Freeze {
    /// Stop every thread with PTRACE_INTERRUPT, for as short a time as possible.
    Ptrace,
    /// Do not stop the process. The scheduler's counters must show that it slept throughout, or another
    /// program must already hold it stopped.
    None,
}

/// Several processes that are judged as one.
#[derive(Args, Clone, Debug, Default)]
pub struct GroupArgs {
    /// Judge this process and all its descendants together, at one instant.
    #[arg(long, value_name = "PID", value_parser = pid, conflicts_with_all = ["pid", "cgroup"])]
    pub tree: Option<u32>,
    /// Judge all processes of this control group and of those below it together. A directory such as
    /// /sys/fs/cgroup/system.slice/db.service, or a path as /proc/PID/cgroup shows it.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["pid", "from"])]
    pub cgroup: Option<PathBuf>,
}

/// What `check` and `dump` share.
#[derive(Args, Clone, Debug)]
pub struct ProofArgs {
    /// Try again until the process is idle, at most this long, for example 500ms, 5s or 1m; then
    /// exit 6.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub wait: Option<Duration>,
    /// Keep the process stopped until no request is in flight, at most this long; then exit 6. With
    /// `--freeze none` another program must already hold it stopped.
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "from")]
    pub drain: Option<Duration>,
    /// Accept completions that the process has not reaped. CRIU keeps them in the ring.
    #[arg(long)]
    pub allow_unreaped: bool,
    /// Refuse, with exit 5, a process that uses asynchronous I/O which aioinspect does not examine:
    /// io_uring, or POSIX AIO as far as it can be detected.
    #[arg(long)]
    pub strict: bool,
    /// Give up if a thread does not stop within this time, for example in uninterruptible sleep.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub freeze_timeout: Duration,
    /// Read this evidence file instead of a running process.
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// Print JSON.
    #[arg(short = 'J', long)]
    pub json: bool,
}

/// Options of `check`.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// The process. As a CRIU action script: the one that CRIU names (CRTOOLS_INIT_PID). With
    /// --restore-on also an image, an evidence file, or a directory of images: then no process is looked at.
    #[arg(value_name = "PID|FILE|DIR", value_parser = asked(), allow_negative_numbers = true, required_unless_present_any = ["from", "criu_pid", "tree", "cgroup"])]
    pub pid: Option<Asked>,
    #[arg(long, hide = true, env = "CRTOOLS_INIT_PID", value_parser = pid)]
    /// The process, as CRIU names it to an action script.
    pub criu_pid: Option<u32>,
    #[arg(long, hide = true, env = "CRTOOLS_SCRIPT_ACTION")]
    /// The step CRIU is at. There is something to check only before a dump.
    pub criu_action: Option<String>,
    /// Say whether the contexts can be restored on a host with N possible CPUs and M free slots: for each
    /// context whether its ring can be made there, by which nr_req, and on how many CPUs it is good. Exit
    /// 5 if not. Add `,arch=NAME` (x86_64 or aarch64) or `,page=BYTES` if that host may be of another kind
    /// than the one where the process ran.
    #[arg(long, value_name = "cpus=N[,free=M]", value_parser = restore_on)]
    pub restore_on: Option<RestoreHost>,
    /// How to stop the process while it is read.
    #[arg(long, value_enum, default_value = "none")]
    pub freeze: Freeze,
    /// Also write everything that was read to this evidence file. It must not exist yet.
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    pub evidence: Option<PathBuf>,
    /// Which processes together.
    #[command(flatten)]
    pub group: GroupArgs,
    /// Options shared by `check` and `dump`.
    #[command(flatten)]
    pub proof: ProofArgs,
}

/// Options of `dump`.
#[derive(Args, Clone, Debug)]
pub struct DumpArgs {
    /// The process.
    #[arg(value_name = "PID", value_parser = pid, allow_negative_numbers = true, required_unless_present_any = ["from", "tree", "cgroup"])]
    pub pid: Option<u32>,
    /// Write the files into this directory.
    #[arg(short = 'D', long = "images-dir", value_name = "DIR", default_value = ".")]
    pub images_dir: PathBuf,
    /// How to stop the process while it is read.
    #[arg(long, value_enum, default_value = "ptrace")]
    pub freeze: Freeze,
    /// Choose nr_req for a restore on a host with this many possible CPUs. Default: this host. Exit 5
    /// if a ring cannot be made there or more than M slots are needed.
    #[arg(long, value_name = "cpus=N[,free=M]", value_parser = restore_on)]
    pub restore_on: Option<RestoreHost>,
    /// Write an image even without BPF, or if this kernel does not show a number. The output says what
    /// is not proven.
    #[arg(long)]
    pub unverified: bool,
    /// Which processes together.
    #[command(flatten)]
    pub group: GroupArgs,
    /// Options shared by `check` and `dump`.
    #[command(flatten)]
    pub proof: ProofArgs,
}
