//! `aioinspect watch`: what changes, live.

mod display;
pub(crate) mod feed;
mod growth_looks;
mod keys;
pub(crate) mod lines;
mod record;
mod replay;
mod screen;
pub(crate) mod submit_failures;

use std::io::{IsTerminal, Write, stdin, stdout};

use rustix::event::{PollFd, PollFlags};
use tokio::io::Interest;

use crate::cli::{Collect, HookArg, SiteArgs, WatchArgs};
use crate::commands::exit::{Exit, UsageError};
use crate::commands::serve::open_server::{Bound, Verb};
use crate::commands::terminal::Terminal;
use crate::commands::watch::feed::{Feed, hook_of};
use crate::commands::watch::lines::EndSignals;
use crate::commands::watch::record::{RecordOptions, Recorder};
use crate::commands::{bpf_log_level, say_lacks};
use aioinspect_kernel::host::readiness::register;
use aioinspect_kernel::host::recording_files::Limits;
use aioinspect_kernel::host::syscall_cost::SyscallCost;
use aioinspect_kernel::trace::hook::Hook;
use aioinspect_kernel::trace::submits::Submits;
use aioinspect_service::sockets::Address;

/// Shows events until it is told to end: on a screen, or a line each.
pub(super) fn run(
    args: &WatchArgs,
    verbose: u8,
    terminal: Terminal,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<Exit> {
    let screen = stdout().is_terminal() && stdin().is_terminal() && !args.ndjson && !args.failures;
    if (args.from.is_some() || args.replay.is_some()) && args.site.collect.contains(&Collect::Submit) {
        let why = "--collect counts on the running host; a file has no counts";
        return Err(UsageError(why.to_owned()).into());
    }
    if let (Some(path), false) = (&args.replay, screen) {
        return replay::lines(path, args, out, err);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // What the runtime needs of file descriptors it needs from the start.
    let _inside = runtime.enter();
    let signals = if screen { None } else { Some(EndSignals::new()?) };
    let mut tried = Vec::new();
    let before = (verbose > 0).then(SyscallCost::measure);
    let opened = open(args, verbose, screen, &mut tried);
    // Of one hook that was asked for, the error itself says as much.
    if verbose > 0 || (opened.is_err() && args.hook == HookArg::Auto) {
        for line in tried {
            writeln!(err, "aioinspect: {line}")?;
        }
    }
    let (mut feed, bound) = opened?;
    let recorder = recorder(args, screen)?;
    if let Some(mut bound) = bound {
        if let Some(recorder) = &recorder {
            bound.records_in(recorder.directory());
        }
        let addresses = bound.addresses()?;
        bound.serve(&mut feed)?;
        // A screen would be drawn over it; its user knows the address.
        for address in addresses.iter().filter(|_| !screen) {
            writeln!(err, "aioinspect: serving on {address}")?;
        }
    }
    if args.site.collect.contains(&Collect::Submit) {
        feed.tell_submit_failures();
    }
    if let Some(recorder) = recorder {
        writeln!(err, "aioinspect: {}", recorder.in_words())?;
        feed.record(recorder);
    }
    // A screen hides it until its end.
    if let Some(submits) = feed.submits() {
        say_unseen(submits, err)?;
    }
    let Some(signals) = signals else {
        let exit = runtime.block_on(screen::run(&mut feed, args, terminal));
        if let Some(recorder) = feed.recorder() {
            // The terminal may be gone.
            let _ = writeln!(err, "aioinspect: {}", recorder.end());
        }
        return exit;
    };
    if let Some(watcher) = feed.watcher() {
        writeln!(err, "aioinspect: watching with {} ({})", watcher.hook().name(), watcher.hook().cost())?;
        say_lacks(err, watcher.known().lacks())?;
    }
    if let Some(before) = before.filter(|_| feed.watcher().is_some()) {
        let after = SyscallCost::measure();
        writeln!(
            err,
            "aioinspect: an empty system call takes {} ns with this hook, {} ns without it",
            after.nanoseconds(),
            before.nanoseconds()
        )?;
    }
    let exit = runtime.block_on(lines::run(&mut feed, args, out, err, signals, reader_left()))?;
    if let Some(recorder) = feed.recorder() {
        writeln!(err, "aioinspect: {}", recorder.end())?;
    }
    if verbose > 0
        && let Some(compared) = feed.compare()?
    {
        writeln!(
            err,
            "aioinspect: map: {} entries, census: {} contexts, differences {}",
            compared.entries, compared.contexts, compared.differences
        )?;
    }
    Ok(exit)
}

/// Says which failures cannot be seen.
fn say_unseen(submits: &Submits, err: &mut dyn Write) -> std::io::Result<()> {
    for line in submits.unseen() {
        writeln!(err, "aioinspect: {line}")?;
    }
    match submits.hook() {
        Hook::Fentry | Hook::Kprobe => writeln!(
            err,
            "aioinspect: calls that a seccomp filter refuses are not seen with {}; --hook tracepoint sees them, and slows every system call",
            submits.hook().name()
        ),
        Hook::Tracepoint | Hook::RawTracepoint => Ok(()),
    }
}

/// The recording that is to be made. Opened without the privileges that the watch began with: it is a file of this user like any other.
fn recorder(args: &WatchArgs, screen: bool) -> anyhow::Result<Option<Recorder>> {
    let age_ns = u64::try_from(args.record_age.as_nanos()).unwrap_or(u64::MAX);
    let limits = Limits { bytes: args.record_size, age_ns };
    let every = if screen { args.record_every.max(args.interval) } else { args.record_every };
    args.record.as_deref().map(|path| Recorder::open(path, RecordOptions { limits, every })).transpose()
}

/// What is shown, and the server that is wanted beside it.
fn open(
    args: &WatchArgs,
    verbose: u8,
    screen: bool,
    tried: &mut Vec<String>,
) -> anyhow::Result<(Feed, Option<Bound>)> {
    // Failures of io_submit are shown without a server too.
    let of_server = SiteArgs { collect: Vec::new(), ..args.site.clone() };
    if args.metrics.is_none() && of_server != SiteArgs::default() {
        return Err(UsageError("options of the server need --metrics ADDR as well".to_owned()).into());
    }
    let bind = |address: &Address, tried: &mut Vec<String>| {
        let addresses = std::slice::from_ref(address);
        let (hook, level) = (hook_of(args.hook), if screen { 0 } else { bpf_log_level(verbose) });
        let verb = if screen { Verb::WatchScreen } else { Verb::WatchLines };
        Bound::open(&args.site, addresses, verb, hook, level, tried)
    };
    let bound = args.metrics.as_ref().map(|address| bind(address, tried)).transpose()?;
    Ok((Feed::open(args, verbose, screen, tried)?, bound))
}

/// Ends when standard output is a pipe or socket that nobody reads any more: a watch with nothing to say would never notice.
async fn reader_left() {
    let watched = stdout_to_watch().and_then(|fd| register(fd, Interest::WRITABLE).ok());
    let Some(watched) = watched else { return std::future::pending().await };
    loop {
        let Ok(mut ready) = watched.ready(Interest::WRITABLE).await else {
            return std::future::pending().await;
        };
        let mut poll = [PollFd::new(watched.get_ref(), PollFlags::empty())];
        let gone = rustix::event::poll(&mut poll, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 }));
        let [poll] = poll;
        if gone.is_ok() && poll.revents().intersects(PollFlags::ERR | PollFlags::HUP) {
            return;
        }
        // A pipe with room is writable all the time: only the next change matters.
        ready.clear_ready();
    }
}

fn stdout_to_watch() -> Option<std::os::fd::OwnedFd> {
    use std::os::fd::AsFd;
    let kind = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(stdout()).ok()?.st_mode);
    if kind == rustix::fs::FileType::Fifo || kind == rustix::fs::FileType::Socket {
        return stdout().as_fd().try_clone_to_owned().ok();
    }
    None
}
