//! What a user may type, as clap sees it. What it means is in `commands/`.

mod server_options;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use aioinspect_service::sockets::Address;

pub use crate::cli::server_options::{Collect, ServeArgs, SiteArgs};

/// Find Linux native-AIO contexts of running processes, without injecting code.
#[derive(Debug, Parser)]
#[command(name = "aioinspect", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// Say more on standard error, diagnostics of the eBPF programs included; twice for all of them.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// What to do; `list` if left out.
    #[command(subcommand)]
    pub verb: Option<Verb>,
    /// The options of `list`, for when it is left out.
    #[command(flatten)]
    pub list: ListArgs,
}

const EXIT_CODES: &str = "\
Exit codes: 0 fine; 1 error; 2 usage; 3 no such process or nothing matched; 4 not permitted; 5 check failed; \
6 timed out; 7 the kernel lacks a feature.";

/// The columns, from the table of fields, and the exit codes.
fn list_help() -> String {
    format!("{}\n{EXIT_CODES}", aioinspect_render::fields::help())
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Show all contexts of all processes, and who has the slots of fs.aio-nr reserved. Freezes nothing.
    #[command(after_help = EXIT_CODES, after_long_help = list_help())]
    List(ListArgs),
    /// Show contexts come and go, live, and why an io_setup failed: a screen on a terminal, else one line an event.
    #[command(after_help = WATCH_HELP)]
    Watch(WatchArgs),
    /// Say how many slots of fs.aio-max-nr are free, and who has the rest reserved.
    #[command(after_help = EXIT_CODES)]
    Headroom(HeadroomArgs),
    /// Say whether every context of a process is idle. Writes nothing and, by default, touches nothing.
    #[command(after_help = EXIT_CODES)]
    Check(CheckArgs),
    /// Verify that every context of a process is idle, and write mm-PID.img as CRIU would.
    #[command(after_help = DUMP_HELP)]
    Dump(DumpArgs),
    /// Decode an image or an evidence file, or all of them in a directory.
    #[command(after_help = EXIT_CODES)]
    Show(ShowArgs),
    /// Serve metrics for Prometheus, a JSON API and a live page, on loopback unless told otherwise.
    #[command(after_help = SERVE_HELP)]
    Serve(ServeArgs),
    /// Say what this host offers, what is missing, and the line that fixes it.
    #[command(after_help = EXIT_CODES)]
    Doctor(DoctorArgs),
    /// Print the completions of a shell.
    #[command(after_help = EXIT_CODES)]
    Completions(CompletionsArgs),
    /// Print the manual page of a verb, or of the whole program.
    #[command(after_help = EXIT_CODES)]
    Man(ManArgs),
}

const SERVE_HELP: &str = "\
Addresses: / the live page, /metrics, /api/v1/contexts (the JSON of `list -J`), /api/v1/events (server-sent events, the JSON of `watch --ndjson`), \
/healthz, /readyz. GET and HEAD only. Under systemd, the sockets that it hands over are used.

A scrape reads the host at that moment; what happens between scrapes is counted from the events of io_setup and io_destroy. Once all is attached, \
every capability is given up, and Landlock and seccomp keep the server to reading.

Exit codes: 0 fine; 1 error; 2 usage; 3 no such process or nothing matched; 4 not permitted; 5 check failed; \
6 timed out; 7 the kernel lacks a feature.";

/// Options of `completions`.
#[derive(Args, Clone, Debug)]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Options of `man`.
#[derive(Args, Clone, Debug)]
pub struct ManArgs {
    /// The verb; the page of the whole program if left out.
    #[arg(value_name = "VERB")]
    pub verb: Option<String>,
    /// Write the pages of the program and of every verb as files into this directory.
    #[arg(long, value_name = "DIR", conflicts_with = "verb")]
    pub dir: Option<PathBuf>,
}

const DUMP_HELP: &str = "\
The process is never injected into, written to or sent a signal. It is stopped once, for well under a millisecond: like any \
stop (CRIU, gdb, strace) this makes an io_getevents or epoll_wait that is blocked just then return EINTR. A process that is not \
idle is refused without being stopped.

The image alone restores nothing: exe_file_id and the file numbers of mappings point into CRIU's files.img. It is for reading, and for \
amending the image that CRIU writes.

Exit codes: 0 fine; 1 error; 2 usage; 3 no such process or nothing matched; 4 not permitted; 5 check failed; \
6 timed out; 7 the kernel lacks a feature.";

/// Options of `list`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct ListArgs {
    /// Show only these processes; exit 3 if one of them does not exist.
    #[arg(short, long = "pid", value_name = "PID", value_delimiter = ',', value_parser = pid, allow_negative_numbers = true)]
    pub pid: Vec<u32>,
    /// Columns to show, by name; with a leading `+`, in addition to the usual ones. `list --help` names them all.
    #[arg(short, long, value_name = "[+]COL,..", allow_hyphen_values = true)]
    pub output: Option<String>,
    /// No headings and no footer: one line a context, for scripts.
    #[arg(short = 'H', long)]
    pub noheadings: bool,
    /// JSON on standard output.
    #[arg(short = 'J', long)]
    pub json: bool,
    /// Show only contexts for which this is true, as in `-Q 'MAX_REQS > 100 and COMM =~ "mysql"'`.
    #[arg(short = 'Q', long = "filter", value_name = "EXPR")]
    pub filter: Option<String>,
    /// Do without BPF: ring mappings and headers only, as the processes tell them.
    #[arg(long)]
    pub no_bpf: bool,
    /// Judge this evidence file instead of the running host.
    #[arg(long, value_name = "FILE", conflicts_with = "no_bpf")]
    pub from: Option<PathBuf>,
    /// Also write everything that was read to this new file.
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    pub evidence: Option<PathBuf>,
}

const WATCH_HELP: &str = "\
Keys of the screen: ? help, / filter, s sort, Enter one context, p pause, q quit.

Hooks, the cheapest that loads is taken: fentry and kprobe cost only those who call io_setup and io_destroy; the two on tracepoints make every \
system call of the host a little slower while the watch lasts. `-v` says which one it is, and what it costs here.

Exit codes: 0 fine; 1 error; 2 usage; 3 no such process or nothing matched; 4 not permitted; 5 check failed; \
6 timed out; 7 the kernel lacks a feature.";

/// Where in the kernel the calls are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HookArg {
    /// The cheapest that loads.
    Auto,
    /// fentry and fexit on the functions of the system calls.
    Fentry,
    /// kprobes and kretprobes on them.
    Kprobe,
    /// The tracepoints syscalls:sys_enter_io_setup and its kin, through tracefs. Blind to 32-bit callers.
    Tracepoint,
    /// The raw tracepoints sys_enter and sys_exit: no tracefs needed.
    RawTracepoint,
}

/// Options of `watch`.
#[derive(Args, Clone, Debug)]
pub struct WatchArgs {
    /// Show only these processes; exit 3 if one of them does not exist.
    #[arg(short, long = "pid", value_name = "PID", value_delimiter = ',', value_parser = pid, allow_negative_numbers = true)]
    pub pid: Vec<u32>,
    /// Show only calls of io_setup that failed, and why.
    #[arg(long)]
    pub failures: bool,
    /// One JSON object a line.
    #[arg(long)]
    pub ndjson: bool,
    /// End after this time (as in 500ms, 5s, 1m).
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// How often the screen takes a new picture of the host.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    pub interval: Duration,
    /// Where in the kernel the calls are seen.
    #[arg(long, value_enum, default_value = "auto")]
    pub hook: HookArg,
    /// Serve metrics and the live page at this address meanwhile, as `serve` does.
    #[arg(long, value_name = "ADDR", conflicts_with = "from")]
    pub metrics: Option<Address>,
    /// The server's options.
    #[command(flatten)]
    pub site: SiteArgs,
    /// Draw the screen with ASCII characters alone.
    #[arg(long)]
    pub ascii: bool,
    /// Show this evidence file instead of the running host.
    #[arg(long, value_name = "FILE", conflicts_with = "hook")]
    pub from: Option<PathBuf>,
    /// Entries of the map in the kernel; for tests of what happens when it is full.
    #[arg(long, hide = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub map_entries: Option<u32>,
    /// Bytes of the buffer between the kernel and us; for tests of what happens when it is full.
    #[arg(long, hide = true, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(4096..=67_108_864))]
    pub buffer: Option<u32>,
}

/// Options of `headroom`.
#[derive(Args, Clone, Debug)]
pub struct HeadroomArgs {
    /// Exit 5 unless this many slots are free.
    #[arg(long, value_name = "N")]
    pub need: Option<u64>,
    /// Wait until they are, at most this long (as in 500ms, 5s, 1m); then exit 6.
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "need")]
    pub wait: Option<Duration>,
    /// JSON on standard output.
    #[arg(short = 'J', long)]
    pub json: bool,
    /// Judge this evidence file instead of the running host.
    #[arg(long, value_name = "FILE", conflicts_with = "wait")]
    pub from: Option<PathBuf>,
}

/// How a process is held while it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Freeze {
    /// Stop every thread with PTRACE_INTERRUPT, for as short as it can be.
    Ptrace,
    /// Do not touch it: prove from the scheduler's counters that it slept, or that someone else holds it stopped.
    None,
}

/// What `check` and `dump` share.
#[derive(Args, Clone, Debug)]
pub struct ProofArgs {
    /// Try again until it is idle or this time has passed (as in 500ms, 5s, 1m); then exit 6.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub wait: Option<Duration>,
    /// Completed events that wait in the ring do not count against it: CRIU keeps them.
    #[arg(long)]
    pub allow_unreaped: bool,
    /// Refuse, with exit 5, a process that has other asynchronous I/O, which is not looked at: io_uring, or POSIX AIO as far as it can be told.
    #[arg(long)]
    pub strict: bool,
    /// Give up stopping a thread that does not react (one in uninterruptible sleep) after this time.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub freeze_timeout: Duration,
    /// Judge this evidence file instead of a running process.
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// JSON on standard output.
    #[arg(short = 'J', long)]
    pub json: bool,
}

/// Options of `check`.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// The process; as a CRIU action script, the one CRIU names (CRTOOLS_INIT_PID).
    #[arg(value_name = "PID", value_parser = pid, allow_negative_numbers = true, required_unless_present_any = ["from", "criu_pid"])]
    pub pid: Option<u32>,
    #[arg(long, hide = true, env = "CRTOOLS_INIT_PID", value_parser = pid)]
    /// What CRIU sets for an action script.
    pub criu_pid: Option<u32>,
    #[arg(long, hide = true, env = "CRTOOLS_SCRIPT_ACTION")]
    /// The step CRIU is at; only before a dump is there something to check.
    pub criu_action: Option<String>,
    /// How to hold it while looking.
    #[arg(long, value_enum, default_value = "none")]
    pub freeze: Freeze,
    /// Also write everything that was read to this new file.
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    pub evidence: Option<PathBuf>,
    /// The rest.
    #[command(flatten)]
    pub proof: ProofArgs,
}

/// Options of `dump`.
#[derive(Args, Clone, Debug)]
pub struct DumpArgs {
    /// The process.
    #[arg(value_name = "PID", value_parser = pid, allow_negative_numbers = true, required_unless_present = "from")]
    pub pid: Option<u32>,
    /// Write into this directory.
    #[arg(short = 'D', long = "images-dir", value_name = "DIR", default_value = ".")]
    pub images_dir: PathBuf,
    /// How to hold it while looking.
    #[arg(long, value_enum, default_value = "ptrace")]
    pub freeze: Freeze,
    /// Choose nr_req for a host with this many possible CPUs (default: this one).
    #[arg(long, value_name = "cpus=N", value_parser = restore_on)]
    pub restore_on: Option<u32>,
    /// Write an image although the kernel's word cannot be had (no BPF), or a number of it: what is not proven is said.
    #[arg(long)]
    pub unverified: bool,
    /// The rest.
    #[command(flatten)]
    pub proof: ProofArgs,
}

/// Options of `show`.
#[derive(Args, Clone, Debug)]
pub struct ShowArgs {
    /// An image, an evidence file, or a directory of them.
    #[arg(value_name = "FILE|DIR")]
    pub path: PathBuf,
    /// JSON on standard output; an image in crit's form.
    #[arg(short = 'J', long)]
    pub json: bool,
}

/// Options of `doctor`.
#[derive(Args, Clone, Debug)]
pub struct DoctorArgs {
    /// JSON on standard output.
    #[arg(short = 'J', long)]
    pub json: bool,
}

/// A process id: 1 to the kernel's PID_MAX_LIMIT.
fn pid(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(pid) if (1..=4_194_304).contains(&pid) => Ok(pid),
        _ => Err("a process id is a number from 1 to 4194304".to_owned()),
    }
}

/// `cpus=N`, with the kernel's NR_CPUS limit.
fn restore_on(text: &str) -> Result<u32, String> {
    let cpus = text.strip_prefix("cpus=").and_then(|n| n.parse::<u32>().ok());
    cpus.filter(|cpus| (1..=8192).contains(cpus))
        .ok_or_else(|| "expected cpus=N with N from 1 to 8192".to_owned())
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
        _ => return Err("expected a time as 500ms, 5s, 1m or 1h".to_owned()),
    };
    let seconds = number.parse::<f64>().ok().map(|n| n * scale).filter(|s| (0.0..=86_400.0).contains(s));
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "expected a time as 500ms, 5s or 1m, at most a day".to_owned())
}

#[cfg(test)]
mod tests;
