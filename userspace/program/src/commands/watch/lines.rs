//! `watch` in a pipe, or with `--ndjson`: one line an event, but for failures that repeat, which are one line at intervals.

use std::io::Write;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::WatchArgs;
use crate::commands::exit::Exit;
use crate::commands::watch::feed::Feed;
use crate::commands::watch::record::Recorder;
use aioinspect_kernel::host::clock;
use aioinspect_model::event::{Event, Timed};
use aioinspect_model::failure_fold::{FailureFold, Repeats};
use aioinspect_model::units::{Instant, Pid};
use aioinspect_render::escape::escape;
use aioinspect_render::{event_json, event_line};

/// The signals that ask for an end. From when this is made they no longer end the program by themselves.
pub(crate) struct EndSignals([Signal; 3]);

impl EndSignals {
    /// Listens for SIGINT, SIGTERM and SIGHUP.
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    pub(crate) async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// Writes events until the time is up, a signal asks for an end, or nobody reads any more.
pub(crate) async fn run(
    feed: &mut Feed,
    args: &WatchArgs,
    out: &mut dyn Write,
    err: &mut dyn Write,
    mut signals: EndSignals,
    reader_left: impl Future<Output = ()>,
) -> anyhow::Result<Exit> {
    let mut end = std::pin::pin!(async {
        match args.duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    });
    let mut reader_left = std::pin::pin!(reader_left);
    let mut told_full = false;
    let mut lines = Lines::new(args);
    loop {
        let update = tokio::select! {
            update = feed.next() => update?,
            () = until(lines.fold.due()) => {
                lines.due(clock::now(), out)?;
                continue;
            }
            () = &mut end => break,
            () = &mut reader_left => return Ok(Exit::Fine),
            () = signals.next() => break,
        };
        let Some(update) = update else { return Ok(Exit::Fine) };
        lines.write(update.events, clock::now(), out)?;
        say_if_full(feed, &mut told_full, err)?;
        say_if_not_recorded(feed, err)?;
    }
    lines.write(feed.rest()?, clock::now(), out)?;
    lines.end(clock::now(), out)?;
    say_if_full(feed, &mut told_full, err)?;
    Ok(Exit::Fine)
}

/// That instant; never, if there is none.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => {
            tokio::time::sleep(Duration::from_nanos(due.0.saturating_sub(clock::now().0))).await;
        }
        None => std::future::pending().await,
    }
}

/// Says once that the map in the kernel has no room: what is shown is not touched by that, but `dump` will not find what is missing.
fn say_if_full(feed: &mut Feed, told: &mut bool, err: &mut dyn Write) -> std::io::Result<()> {
    let missing = feed.watcher().map_or(0, |watcher| watcher.lost().contexts);
    if missing > 0 && !*told {
        *told = true;
        writeln!(
            err,
            "aioinspect: the kernel's map of contexts is full; {missing} contexts are not in it, and check and dump cannot say who created them"
        )?;
    }
    Ok(())
}

/// Says once for each time it begins to be so that nothing is recorded.
fn say_if_not_recorded(feed: &mut Feed, err: &mut dyn Write) -> std::io::Result<()> {
    match feed.recorder().and_then(Recorder::trouble) {
        Some(why) => {
            writeln!(err, "aioinspect: not recorded, and the watch goes on: {}", escape(why.as_bytes()))
        }
        None => Ok(()),
    }
}

/// What is written, and what of it is held back for now.
pub(super) struct Lines<'a> {
    args: &'a WatchArgs,
    fold: FailureFold,
}

impl<'a> Lines<'a> {
    /// Nothing is held back yet.
    pub(super) fn new(args: &'a WatchArgs) -> Self {
        Self { args, fold: FailureFold::default() }
    }

    /// Writes events, oldest first; failures that repeat are counted.
    pub(super) fn write(
        &mut self,
        events: Vec<Timed>,
        now: Instant,
        out: &mut dyn Write,
    ) -> std::io::Result<()> {
        let is_folded = !self.args.ndjson && !self.args.raw;
        for timed in events.into_iter().filter(|timed| is_wanted(&timed.event, self.args)) {
            let timed = if is_folded { self.fold.take(timed, now) } else { Some(timed) };
            match timed {
                Some(timed) if self.args.ndjson => event_json::write(out, &timed)?,
                Some(timed) => event_line::write(out, &timed)?,
                None => {}
            }
        }
        out.flush()
    }

    /// Writes the numbers that are due.
    pub(super) fn due(&mut self, now: Instant, out: &mut dyn Write) -> std::io::Result<()> {
        repeated(&self.fold.told(now), out)
    }

    /// Writes the numbers that became due up to `now`, as of the moments at which they did.
    pub(super) fn due_until(&mut self, now: Instant, out: &mut dyn Write) -> std::io::Result<()> {
        while let Some(due) = self.fold.due().filter(|due| *due <= now) {
            self.due(due, out)?;
        }
        Ok(())
    }

    /// Writes all that was counted and not told.
    pub(super) fn end(&mut self, now: Instant, out: &mut dyn Write) -> std::io::Result<()> {
        repeated(&self.fold.ended(now), out)
    }
}

fn repeated(told: &[Repeats], out: &mut dyn Write) -> std::io::Result<()> {
    for repeats in told {
        event_line::write_repeats(out, repeats)?;
    }
    out.flush()
}

/// What was missed is always told: without it, silence would mean nothing.
fn is_wanted(event: &Event, args: &WatchArgs) -> bool {
    let missed = matches!(event, Event::Lost { .. } | Event::Healed { .. });
    let failed = matches!(event, Event::SetupFailed { .. } | Event::SubmitFailed { .. } | Event::Lost { .. });
    if args.failures && !failed {
        return false;
    }
    let of_growth = if let Event::Growth { growing, .. } = event { Some(growing.owner.pid) } else { None };
    let whose = event.actor().map(|actor| actor.pid).or(of_growth);
    let of_wanted = whose.is_some_and(|whose| args.pid.iter().any(|pid| Pid(*pid) == whose));
    missed || args.pid.is_empty() || of_wanted
}
