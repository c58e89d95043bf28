//! What a user may type, as clap sees it. What it means is in `commands/`.

mod asked;
mod criu_hook;
mod hook;
mod images;
mod proof;
mod restore_on;
mod server_options;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use aioinspect_render::moment::{self, Asked as AskedTime};
use aioinspect_service::sockets::Address;

pub use crate::cli::asked::Asked;
pub use crate::cli::criu_hook::CriuHookArgs;
pub use crate::cli::hook::HookArg;
pub use crate::cli::images::{AmendArgs, DiffArgs};
pub use crate::cli::proof::{CheckArgs, DumpArgs, Freeze, GroupArgs, ProofArgs};
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
    #[command(after_help = proof::CHECK_HELP)]
    Check(CheckArgs),
    /// Prove that every context of a process is idle, and write mm-PID.img as CRIU would.
    #[command(after_help = proof::DUMP_HELP)]
    Dump(DumpArgs),
    /// Make CRIU safe for native AIO, as its action script: wait, drain, verify, amend; see docs/criu.md.
    #[command(after_help = criu_hook::HOOK_HELP)]
    CriuHook(CriuHookArgs),
    /// Correct the images that CRIU wrote: give each context its exact nr_req, and drop the entries of
    /// rings that have no context.
    #[command(after_help = images::AMEND_HELP)]
    Amend(AmendArgs),
    /// Show what changed between two evidence files, images or image directories, context by context.
    #[command(after_help = images::DIFF_HELP)]
    Diff(DiffArgs),
    /// Decode an image or an evidence file, or every such file in a directory. Of a recording: its times.
    #[command(after_help = EXIT_CODES)]
    Show(ShowArgs),
    /// Serve Prometheus metrics, a JSON API and a live page. By default only on the loopback address.
    #[command(after_help = SERVE_HELP)]
    Serve(ServeArgs),
    /// Say how this host is: limit, use, who grows, what waits, what is wrong, and what to do first. Then
    /// check what aioinspect can do here, and print how to fix what is missing.
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
Paths: / the live page; /metrics; /api/v1/contexts (the JSON of `list -J`); /api/v1/owners (that of `headroom -J`, with growth); /api/v1/history; /api/v1/events (server-sent events, the JSON of \
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
    /// Show one line for each owner (or process name, unit, pod, user) with the sums of its processes.
    /// The one that reserves most comes first. `-p` and `-Q` choose what is summed.
    #[arg(long, value_enum, value_name = "owner|comm|unit|pod|user", hide_possible_values = true)]
    pub by: Option<By>,
    /// Do not use BPF. Shows only what /proc and ring memory reveal.
    #[arg(long)]
    pub no_bpf: bool,
    /// Read this evidence file instead of the running host, or the last picture of this recording.
    #[arg(long, value_name = "FILE", conflicts_with = "no_bpf")]
    pub from: Option<PathBuf>,
    /// Of a recording (`watch --record`), read what was so at this time in UTC: 03:00, 2026-01-31T03:00 or
    /// '10m ago'. Exit 3 if nothing is recorded of it.
    #[arg(long, value_name = "TIME", requires = "from", value_parser = moment::parse)]
    pub at: Option<AskedTime>,
    /// Also write everything that was read to this evidence file. It must not exist yet.
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    pub evidence: Option<PathBuf>,
}

/// What `list --by` sums by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// The owner: pod, else container, else systemd unit, else cgroup path.
    Owner,
    /// The name of the process.
    Comm,
    /// The systemd unit.
    Unit,
    /// The pod.
    Pod,
    /// The effective user.
    User,
}

const WATCH_HELP: &str = with_exit_codes!(
    "\
Keys of the screen: ? help, / filter, s sort, Enter one context, p pause, q quit. Of a recording also: t the next picture, T the one before, \
j jump to a time.

Hooks: `auto` takes the cheapest one that loads. fentry and kprobe slow only io_setup and io_destroy. The two tracepoint hooks slow every system \
call on this host a little while watch runs. `-v` shows which hook is used and what it costs on this host.

"
);

/// Options of `watch`.
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
#[derive(Args, Clone, Debug)]
pub struct WatchArgs {
    /// Show only these processes. Exit 3 if one of them does not exist.
    #[arg(short, long = "pid", value_name = "PID", value_delimiter = ',', value_parser = pid, allow_negative_numbers = true)]
    pub pid: Vec<u32>,
    /// Show only calls that failed, and why they failed: of io_setup, and with `--collect submit` of
    /// io_submit, io_getevents and io_pgetevents.
    #[arg(long)]
    pub failures: bool,
    /// Print one JSON object per line.
    #[arg(long)]
    pub ndjson: bool,
    /// Print a line for each failed call. By default, failures that repeat are counted and printed as
    /// one line every ten seconds.
    #[arg(long)]
    pub raw: bool,
    /// Stop after this time, for example 500ms, 5s or 1m.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// How often the screen reads the host again.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    pub interval: Duration,
    /// Say that an owner grows when its slots rose for this long; after that it is said seldom.
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = interval)]
    pub growth_after: Duration,
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
    /// Also record into this file: every event, and pictures of the whole host, for --replay and for
    /// `--from FILE --at TIME` of `list` and `headroom`. A recording that is there is continued.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "replay"])]
    pub record: Option<PathBuf>,
    /// The most that the recording takes: FILE and the older FILE.1 to FILE.7 together. The oldest is removed.
    #[arg(long, value_name = "SIZE", default_value = "64M", requires = "record", value_parser = size)]
    pub record_size: u64,
    /// The oldest that is kept, for example 12h or 7d.
    #[arg(long, value_name = "TIME", default_value = "7d", requires = "record", value_parser = age)]
    pub record_age: Duration,
    /// How often a picture is recorded. On a screen no more often than --interval.
    #[arg(long, value_name = "TIME", default_value = "5s", requires = "record", value_parser = interval)]
    pub record_every: Duration,
    /// Show this recording instead of the running host. On a terminal: a full screen with keys to travel in
    /// time; in a pipe: its events.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "hook", "metrics", "interval", "duration"])]
    pub replay: Option<PathBuf>,
    /// Begin at this time in UTC: 03:00, 2026-01-31T03:00 or '10m ago'.
    #[arg(long, value_name = "TIME", requires = "replay", value_parser = moment::parse)]
    pub at: Option<AskedTime>,
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
    /// Read this evidence file instead of the running host, or the last picture of this recording.
    #[arg(long, value_name = "FILE", conflicts_with = "wait")]
    pub from: Option<PathBuf>,
    /// Of a recording (`watch --record`), read what was so at this time in UTC: 03:00, 2026-01-31T03:00 or
    /// '10m ago'. Exit 3 if nothing is recorded of it.
    #[arg(long, value_name = "TIME", requires = "from", value_parser = moment::parse)]
    pub at: Option<AskedTime>,
}

/// Options of `show`.
#[derive(Args, Clone, Debug)]
pub struct ShowArgs {
    /// An image, an evidence file, a recording, or a directory of images and evidence files.
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
    /// Look at the host for this time, for example 10s, at least 2s, and say what grew. One look does not show it.
    #[arg(long, value_name = "TIME", value_parser = looking, conflicts_with = "from")]
    pub r#for: Option<Duration>,
    /// Judge this evidence file instead of the running host, and check nothing here.
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
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

/// A [`duration`] in which there is time for as many looks as growth is told by.
fn looking(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    if time < Duration::from_secs(2) {
        return Err("expected at least 2s".to_owned());
    }
    Ok(time)
}

/// Sizes of recordings: an eighth of the smallest still holds a picture of some hundred contexts.
const SIZES: std::ops::RangeInclusive<u64> = 64 << 10..=64 << 30;

/// `64M`, `500K`, `1G`, or a plain number of bytes.
fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let shift = match unit.strip_suffix("iB").unwrap_or(unit) {
        "" => Some(0),
        "K" | "k" => Some(10),
        "M" => Some(20),
        "G" => Some(30),
        _ => None,
    };
    let bytes = shift.and_then(|shift: u32| number.parse::<u64>().ok()?.checked_mul(1 << shift));
    bytes
        .filter(|bytes| SIZES.contains(bytes))
        .ok_or_else(|| "expected a size such as 500K, 64M or 1G, at least 64K and at most 64G".to_owned())
}

/// A [`duration`] of up to ten years, also in days.
fn age(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a time such as 90m, 12h or 7d, at least 1s and at most ten years".to_owned();
    let age = match text.strip_suffix('d') {
        Some(days) => {
            let days = days.parse::<u64>().ok().filter(|days| *days <= 3650).ok_or_else(wrong)?;
            Duration::from_secs(days.saturating_mul(86_400))
        }
        None => duration(text).map_err(|_| wrong())?,
    };
    if age < Duration::from_secs(1) { Err(wrong()) } else { Ok(age) }
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
