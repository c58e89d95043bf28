//! What a user may type, as clap sees it. What it means is in `commands/`.

mod asked;
mod criu_hook;
mod hook;
mod images;
mod restore_on;
mod server_options;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use aioinspect_model::restore_fit::RestoreHost;
use aioinspect_service::sockets::Address;

use crate::cli::asked::asked;
use crate::cli::restore_on::restore_on;

pub use crate::cli::asked::Asked;
pub use crate::cli::criu_hook::CriuHookArgs;
pub use crate::cli::hook::HookArg;
pub use crate::cli::images::AmendArgs;
pub use crate::cli::server_options::{Collect, ServeArgs, SiteArgs};

/// Inspect the Linux native-AIO contexts of running processes, without injecting code into them.
#[derive(Debug, Parser)]
#[command(name = "aioinspect", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// More detail on standard error; repeat for everything.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// What to do. Default: `list`.
    #[command(subcommand)]
    pub verb: Option<Verb>,
    /// Options of `list`, which is the default verb.
    #[command(flatten)]
    pub list: ListArgs,
}

macro_rules! with_exit_codes {
    ($about:literal) => {
        concat!(
            $about,
            "Exit codes: 0 success; 1 error; 2 wrong arguments; 3 no such process or no match; 4 not permitted; ",
            "5 check failed; 6 timed out; 7 the kernel lacks a feature."
        )
    };
}

use with_exit_codes;

const EXIT_CODES: &str = with_exit_codes!("");

/// The columns, from the table of fields, and the exit codes.
fn list_help() -> String {
    format!("{}\n{EXIT_CODES}", aioinspect_render::fields::help())
}

/// What aioinspect can be told to do: a verb each.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List every context of every process, and how many slots of fs.aio-nr each one reserves. Stops
    /// no process.
    #[command(after_help = EXIT_CODES, after_long_help = list_help())]
    List(ListArgs),
    /// Show live which contexts are created and destroyed, and why an io_setup failed. On a terminal:
    /// a full screen; in a pipe: one line per event.
    #[command(after_help = WATCH_HELP)]
    Watch(WatchArgs),
    /// Show how many slots of fs.aio-max-nr are free, and which processes reserve the rest.
    #[command(after_help = EXIT_CODES)]
    Headroom(HeadroomArgs),
    /// Check whether every context of a process is idle. Writes nothing. By default stops no process.
    #[command(after_help = CHECK_HELP)]
    Check(CheckArgs),
    /// Prove that every context of a process is idle, and write mm-PID.img as CRIU would.
    #[command(after_help = DUMP_HELP)]
    Dump(DumpArgs),
    /// Make CRIU safe for native AIO, as its action script: wait, drain, verify, amend; see docs/criu.md.
    #[command(after_help = HOOK_HELP)]
    CriuHook(CriuHookArgs),
    /// Correct the images that CRIU wrote: give each context its exact nr_req, and drop the entries of
    /// rings that have no context.
    #[command(after_help = images::AMEND_HELP)]
    Amend(AmendArgs),
    /// Decode an image or an evidence file, or every such file in a directory.
    #[command(after_help = EXIT_CODES)]
    Show(ShowArgs),
    /// Serve Prometheus metrics, a JSON API and a live page. By default only on the loopback address.
    #[command(after_help = SERVE_HELP)]
    Serve(ServeArgs),
    /// Check what aioinspect can do on this host. For each thing that is missing, print how to fix it.
    #[command(after_help = EXIT_CODES)]
    Doctor(DoctorArgs),
    /// Print the completion script for a shell.
    #[command(after_help = EXIT_CODES)]
    Completions(CompletionsArgs),
    /// Print the manual page of a verb or of the whole program.
    #[command(after_help = EXIT_CODES)]
    Man(ManArgs),
}

const SERVE_HELP: &str = with_exit_codes!(
    "\
Paths: / the live page; /metrics; /api/v1/contexts (the JSON of `list -J`); /api/v1/events (server-sent events, the JSON of \
`watch --ndjson`); /healthz; /readyz. Only GET and HEAD. If systemd passes sockets, they are used instead of --listen.

Each scrape reads the state of the host at that moment. Calls of io_setup and io_destroy between two scrapes are counted as they happen. \
After it has attached to the kernel, the server drops its capabilities, and Landlock and seccomp limit it to reading.

"
);

/// Options of `completions`.
#[derive(Args, Clone, Debug)]
pub struct CompletionsArgs {
    /// Which shell.
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Options of `man`.
#[derive(Args, Clone, Debug)]
pub struct ManArgs {
    /// The verb. Default: the whole program.
    #[arg(value_name = "VERB")]
    pub verb: Option<String>,
    /// Write the pages of the program and of every verb as files into this directory.
    #[arg(long, value_name = "DIR", conflicts_with = "verb")]
    pub dir: Option<PathBuf>,
}

const CHECK_HELP: &str = with_exit_codes!(
    "\
--restore-on: the kernel makes a ring of 2 * max(n, 4 * possible CPUs) + 2 entries for io_setup(n), in whole pages; CRIU refuses a ring of \
another size (`wrong aio`). IN_IMAGE is the nr_req of the image, or what CRIU would write; GOOD_ON the numbers of possible CPUs on which that makes the \
ring; NR_REQ what is needed there and costs so many slots. A CRIU that has pull request 3022 reads the memory of each process by a context \
of 128 slots of its own, destroyed before the process's contexts are made: that is counted against free=M.

"
);

const DUMP_HELP: &str = with_exit_codes!(
    "\
dump injects no code into the process, writes nothing to it and sends it no signal. It stops the process once, for well under a millisecond. \
Like any stop (CRIU, gdb, strace), this makes an io_getevents or epoll_wait that is blocked at that moment return EINTR. A process that is \
clearly not idle is refused without a stop.

The image alone cannot be restored: exe_file_id and the file numbers of its mappings refer to CRIU's files.img. Use it to read the contexts, or to \
correct the image that CRIU writes.

"
);

const HOOK_HELP: &str = with_exit_codes!(
    "\
Use it by `criu dump .. --action-script /usr/libexec/aioinspect/criu-hook`, and the same at `criu restore`. CRIU starts the script without \
arguments: set AIOINSPECT_DRAIN, AIOINSPECT_WAIT and AIOINSPECT_STRICT in CRIU's environment. A step that fails makes CRIU give up the dump, and the \
processes run on.

pre-dump: refuses what can never be dumped, before anybody is stopped. network-lock: all processes are stopped; waits until their requests have \
completed. post-dump: verifies again, writes aioinspect.evidence and corrects aios in the images. pre-restore: will it restore on this host? \
post-restore: are the contexts as they were?

CRIU has the step network-lock only for processes with a network namespace of their own, as containers have. For others freeze their control group \
first and give it to CRIU by --freeze-cgroup: then the requests are waited for at pre-dump. Without either, requests in flight are refused.

"
);

/// Options of `list`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct ListArgs {
    /// Show only these processes. Exit 3 if one of them does not exist.
    #[arg(short, long = "pid", value_name = "PID", value_delimiter = ',', value_parser = pid, allow_negative_numbers = true)]
    pub pid: Vec<u32>,
    /// Show these columns. With a leading `+`, show them in addition to the default ones. `list --help`
    /// describes each.
    #[arg(short, long, value_name = "[+]COL,..", allow_hyphen_values = true)]
    pub output: Option<String>,
    /// Print no headings and no footer, only one line per context. For scripts.
    #[arg(short = 'H', long)]
    pub noheadings: bool,
    /// Print JSON.
    #[arg(short = 'J', long)]
    pub json: bool,
    /// Show only the contexts that match, as in `-Q 'MAX_REQS > 100 and COMM =~ "mysql"'`.
    #[arg(short = 'Q', long = "filter", value_name = "EXPR")]
    pub filter: Option<String>,
    /// Do not use BPF. Shows only what /proc and ring memory reveal.
    #[arg(long)]
    pub no_bpf: bool,
    /// Read this evidence file instead of the running host.
    #[arg(long, value_name = "FILE", conflicts_with = "no_bpf")]
    pub from: Option<PathBuf>,
    /// Also write everything that was read to this evidence file. It must not exist yet.
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    pub evidence: Option<PathBuf>,
}

const WATCH_HELP: &str = with_exit_codes!(
    "\
Keys of the screen: ? help, / filter, s sort, Enter one context, p pause, q quit.

Hooks: `auto` takes the cheapest one that loads. fentry and kprobe slow only io_setup and io_destroy. The two tracepoint hooks slow every system \
call on this host a little while watch runs. `-v` shows which hook is used and what it costs on this host.

"
);

/// Options of `watch`.
#[derive(Args, Clone, Debug)]
pub struct WatchArgs {
    /// Show only these processes. Exit 3 if one of them does not exist.
    #[arg(short, long = "pid", value_name = "PID", value_delimiter = ',', value_parser = pid, allow_negative_numbers = true)]
    pub pid: Vec<u32>,
    /// Show only calls of io_setup that failed, and why they failed.
    #[arg(long)]
    pub failures: bool,
    /// Print one JSON object per line.
    #[arg(long)]
    pub ndjson: bool,
    /// Stop after this time, for example 500ms, 5s or 1m.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// How often the screen reads the host again.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    pub interval: Duration,
    /// Where in the kernel the calls are observed.
    #[arg(long, value_enum, default_value = "auto")]
    pub hook: HookArg,
    /// Meanwhile serve metrics and the live page at this address, as `serve` does.
    #[arg(long, value_name = "ADDR", conflicts_with = "from")]
    pub metrics: Option<Address>,
    /// Options of the server.
    #[command(flatten)]
    pub site: SiteArgs,
    /// Draw the screen with ASCII characters only.
    #[arg(long)]
    pub ascii: bool,
    /// Show this evidence file instead of the running host.
    #[arg(long, value_name = "FILE", conflicts_with = "hook")]
    pub from: Option<PathBuf>,
    /// Number of entries in the kernel's map. For tests that fill it.
    #[arg(long, hide = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub map_entries: Option<u32>,
    /// Bytes of the buffer between the kernel and us. For tests that fill it.
    #[arg(long, hide = true, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(4096..=67_108_864))]
    pub buffer: Option<u32>,
}

/// Options of `headroom`.
#[derive(Args, Clone, Debug)]
pub struct HeadroomArgs {
    /// Exit 5 if fewer slots than this are free.
    #[arg(long, value_name = "N")]
    pub need: Option<u64>,
    /// Wait at most this long until they are free, for example 500ms, 5s or 1m; then exit 6.
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "need")]
    pub wait: Option<Duration>,
    /// Print JSON.
    #[arg(short = 'J', long)]
    pub json: bool,
    /// Read this evidence file instead of the running host.
    #[arg(long, value_name = "FILE", conflicts_with = "wait")]
    pub from: Option<PathBuf>,
}

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
    /// 5 if not.
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

/// Options of `show`.
#[derive(Args, Clone, Debug)]
pub struct ShowArgs {
    /// An image, an evidence file, or a directory of them.
    #[arg(value_name = "FILE|DIR")]
    pub path: PathBuf,
    /// Print JSON. An image is printed in the form of CRIU's `crit`.
    #[arg(short = 'J', long)]
    pub json: bool,
}

/// Options of `doctor`.
#[derive(Args, Clone, Debug)]
pub struct DoctorArgs {
    /// Print JSON.
    #[arg(short = 'J', long)]
    pub json: bool,
}

/// A process id: 1 to the kernel's PID_MAX_LIMIT.
fn pid(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(pid) if (1..=4_194_304).contains(&pid) => Ok(pid),
        _ => Err("a process id must be a number from 1 to 4194304".to_owned()),
    }
}

/// A [`duration`] that is long enough to be slept.
fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if interval < Duration::from_millis(50) {
        return Err("expected at least 50ms".to_owned());
    }
    Ok(interval)
}

/// `5s`, `500ms`, `1m`, or a plain number of seconds; at most a day.
fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let scale = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err("expected a time such as 500ms, 5s, 1m or 1h".to_owned()),
    };
    let seconds = number.parse::<f64>().ok().map(|n| n * scale).filter(|s| (0.0..=86_400.0).contains(s));
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "expected a time such as 500ms, 5s or 1m, at most one day (24h)".to_owned())
}

#[cfg(test)]
mod tests;
