//! Where `watch` gets its events and pictures from: the running kernel, or a file.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant as Moment, MissedTickBehavior, interval_at, sleep_until};

use crate::cli::{Collect, HookArg, WatchArgs};
use aioinspect_kernel::host::clock;
use aioinspect_kernel::host::readiness::register;
use aioinspect_kernel::host::system::slots;
use aioinspect_kernel::look::absence::can_be_watched;
use aioinspect_kernel::trace::hook::Hook;
use aioinspect_kernel::trace::submits::{Failed, Sizes as SubmitSizes, Submits};
use aioinspect_kernel::watch::watcher::{Comparison, WatchOptions, Watcher};
use aioinspect_model::births::add_origins;
use aioinspect_model::event::{Actor, Event, Failure, Timed, WatchStatus};
use aioinspect_model::evidence::{AddressSpace, Evidence, SystemFacts, Wait};
use aioinspect_model::groups::Grouping;
use aioinspect_model::holders::holders;
use aioinspect_model::judged::judged_word;
use aioinspect_model::owner::owner;
use aioinspect_model::picture::Picture;
use aioinspect_model::reconcile::{reconcile, reconcile_with};
use aioinspect_model::submit_failure::{Cause, SubmitFailure};
use aioinspect_model::trend::Trends;
use aioinspect_model::units::{Instant, Pid, Tid};
use aioinspect_model::waits::Waits;

use crate::commands::publisher::Publisher;
use crate::commands::watch::growth_looks::GrowthLooks;
use crate::commands::watch::record::Recorder;
use crate::commands::watch::replay::Replay;
use crate::commands::watch::submit_failures::{NewFailures, SubmitFailures, caller};
use crate::commands::{bpf_log_level, saved};
use aioinspect_service::http::Ask;

/// How often events are fetched: a few are not worth waking anybody for. A failure wakes us by itself.
const FETCH_EVERY: Duration = Duration::from_millis(100);
/// The same while nobody looks: a scrape fetches them first.
const FETCH_UNSEEN_EVERY: Duration = Duration::from_secs(1);
/// For how long the largest owners are good for the reasons of failures.
const HOLDERS_FOR_NS: u64 = 1_000_000_000;
const EAGAIN: i32 = 11;

/// What is new.
#[derive(Clone, Debug, Default)]
pub(crate) struct Update {
    /// A new picture of the host, if one was due.
    pub picture: Option<Picture>,
    /// Events since the last update, oldest first.
    pub events: Vec<Timed>,
    /// How the watch is doing.
    pub status: WatchStatus,
}

/// The hook that was asked for; `None`: the cheapest that loads.
pub(crate) fn hook_of(asked: HookArg) -> Option<Hook> {
    match asked {
        HookArg::Auto => None,
        HookArg::Fentry => Some(Hook::Fentry),
        HookArg::Kprobe => Some(Hook::Kprobe),
        HookArg::Tracepoint => Some(Hook::Tracepoint),
        HookArg::RawTracepoint => Some(Hook::RawTracepoint),
    }
}

/// The source of updates.
pub(crate) enum Feed {
    /// A recorded evidence: one picture, and what existed then.
    Recorded(Option<Box<Evidence>>),
    /// The running kernel.
    Live(Box<LiveFeed>),
    /// A recording, in which keys travel: nothing comes by itself.
    Replayed(Box<Replay>),
}

impl Feed {
    /// Opens what was asked for. `pictures`: whether pictures are wanted, or events alone. `tried` gets a line for each hook
    /// that this kernel does not take.
    pub(crate) fn open(
        args: &WatchArgs,
        verbose: u8,
        pictures: bool,
        tried: &mut Vec<String>,
    ) -> anyhow::Result<Self> {
        if let Some(path) = &args.from {
            return Ok(Feed::Recorded(Some(Box::new(saved::read(path)?))));
        }
        if let Some(path) = &args.replay {
            return Ok(Feed::Replayed(Box::new(Replay::open(path, args.at)?)));
        }
        for pid in &args.pid {
            can_be_watched(Pid(*pid))?;
        }
        let options = WatchOptions {
            hook: hook_of(args.hook),
            map_entries: args.map_entries,
            buffer: args.buffer,
            ends: None,
            // A screen leaves no room for messages.
            log_level: if pictures { 0 } else { bpf_log_level(verbose) },
        };
        // While there are privileges. Beside a server, the server's counts are read.
        let own = if args.site.collect.contains(&Collect::Submit) && args.metrics.is_none() {
            Some(Submits::start(SubmitSizes::default(), options.hook, true, options.log_level, tried)?)
        } else {
            None
        };
        let recorded = args.record.is_some().then_some(args.record_every);
        let looks = if pictures { Some(args.interval) } else { recorded };
        let mut feed = Self::live(options, looks, args.growth_after, tried)?;
        if let Feed::Live(live) = &mut feed {
            live.submits = own;
        }
        Ok(feed)
    }

    /// The running kernel, with a picture at each interval, or only when one is asked for. `growth_after`: for how long an owner that
    /// grows must have done so.
    pub(crate) fn live(
        options: WatchOptions,
        pictures: Option<Duration>,
        growth_after: Duration,
        tried: &mut Vec<String>,
    ) -> anyhow::Result<Self> {
        let watcher = Watcher::start(options, tried)?;
        let looks = pictures.map(|every| {
            let mut looks = interval_at(Moment::now(), every);
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            looks
        });
        Ok(Feed::Live(Box::new(LiveFeed {
            wakeup: register(watcher.wakeup().try_clone_to_owned()?, Interest::READABLE)?,
            watcher,
            fetched: Moment::now(),
            is_shown: true,
            looks,
            holders: None,
            trends: Trends::default(),
            growth: GrowthLooks::after(growth_after),
            publisher: None,
            submits: None,
            submit_failures: None,
            recorder: None,
            since_unix_ns: clock::unix_now(),
            taken_unix_ns: 0,
            scan_ns: 0,
        })))
    }

    /// Has what happens published, and pictures taken for those who ask.
    pub(crate) fn publish(&mut self, publisher: Publisher) {
        if let Feed::Live(live) = self {
            live.publisher = Some(publisher);
        }
    }

    /// Has failures of io_submit and its kin told, by the counts that are kept.
    pub(crate) fn tell_submit_failures(&mut self) {
        if let Feed::Live(live) = self {
            live.submit_failures = Some(SubmitFailures::new());
        }
    }

    /// The counts of io_submit and its kin, if they are kept.
    pub(crate) fn submits(&mut self) -> Option<&mut Submits> {
        match self {
            Feed::Recorded(_) | Feed::Replayed(_) => None,
            Feed::Live(live) => live.counts().map(|(submits, _)| submits),
        }
    }

    /// Has what happens and the pictures that are taken recorded.
    pub(crate) fn record(&mut self, recorder: Recorder) {
        if let Feed::Live(live) = self {
            live.recorder = Some(recorder);
        }
    }

    /// Who records, if somebody does.
    pub(crate) fn recorder(&mut self) -> Option<&mut Recorder> {
        match self {
            Feed::Live(live) => live.recorder.as_mut(),
            Feed::Recorded(_) | Feed::Replayed(_) => None,
        }
    }

    /// The recording, if it is one.
    pub(crate) fn replay(&mut self) -> Option<&mut Replay> {
        match self {
            Feed::Replayed(replay) => Some(replay),
            Feed::Live(_) | Feed::Recorded(_) => None,
        }
    }

    /// From now on nobody sees the events but those who follow what is published: there is no hurry to fetch them without any.
    pub(crate) fn hide(&mut self) {
        if let Feed::Live(live) = self {
            live.is_shown = false;
        }
    }

    /// Waits for what is new; `None` when nothing will ever be. Nothing is lost if the wait is given up.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<Update>> {
        match self {
            Feed::Recorded(evidence) => Ok(evidence.take().map(|evidence| recorded(&evidence))),
            Feed::Live(live) => live.next().await.map(Some),
            Feed::Replayed(_) => std::future::pending().await,
        }
    }

    /// What has happened up to the end and was not told yet.
    pub(crate) fn rest(&mut self) -> anyhow::Result<Vec<Timed>> {
        match self {
            Feed::Recorded(_) | Feed::Replayed(_) => Ok(Vec::new()),
            Feed::Live(live) => {
                let events = live.watcher.ended()?;
                let mut events = live.explained(events)?;
                events.extend(live.submit_failed()?);
                if let Some(recorder) = &mut live.recorder {
                    recorder.events(&events);
                }
                Ok(events)
            }
        }
    }

    /// The watch, if it is live.
    pub(crate) fn watcher(&mut self) -> Option<&mut Watcher> {
        match self {
            Feed::Recorded(_) | Feed::Replayed(_) => None,
            Feed::Live(live) => Some(&mut live.watcher),
        }
    }

    /// How the map in the kernel compares with a census now; `None` for a recorded evidence.
    pub(crate) fn compare(&mut self) -> anyhow::Result<Option<Comparison>> {
        Ok(self.watcher().map(Watcher::compare).transpose()?)
    }
}

/// The running kernel.
pub(crate) struct LiveFeed {
    watcher: Watcher,
    wakeup: AsyncFd<std::os::fd::OwnedFd>,
    /// When events were last fetched.
    fetched: Moment,
    /// Whether the events are shown to somebody besides those who follow what is published.
    is_shown: bool,
    looks: Option<tokio::time::Interval>,
    /// The last picture for the reasons of failures, and when it was taken.
    holders: Option<(Instant, Vec<aioinspect_model::event::Holder>)>,
    /// What the pictures so far show together.
    trends: Trends,
    /// What they show of owners over hours.
    growth: GrowthLooks,
    /// Who is told what happens, and asks for pictures.
    publisher: Option<Publisher>,
    /// Counts of io_submit and its kin that nobody else reads.
    submits: Option<Submits>,
    /// What was read of those or of the publisher's, if their failures are told.
    submit_failures: Option<SubmitFailures>,
    /// Who writes it down.
    recorder: Option<Recorder>,
    since_unix_ns: u64,
    taken_unix_ns: u64,
    scan_ns: u64,
}

impl LiveFeed {
    async fn next(&mut self) -> anyhow::Result<Update> {
        loop {
            let mut asks = Vec::new();
            let fetch_at = self.fetched + self.fetch_every();
            let sample_at = self.publisher.as_ref().map(Publisher::sample_at);
            let mut sample = false;
            let look = tokio::select! {
                biased;
                () = due(&mut self.looks) => true,
                () = sleep_until(sample_at.unwrap_or(fetch_at)), if sample_at.is_some() => {
                    sample = true;
                    false
                }
                () = sleep_until(fetch_at) => false,
                ready = self.wakeup.readable() => {
                    ready?.clear_ready();
                    false
                }
                asked = asked(&mut self.publisher) => {
                    asks = asked;
                    false
                }
            };
            if look || !asks.is_empty() {
                self.watcher.count_losses();
            }
            // Whoever answers may let go of counts: they are read before.
            let events = self.happened(!asks.is_empty())?;
            if !asks.is_empty() {
                self.answer(asks);
            }
            if sample {
                self.sample();
            }
            let picture = if look { Some(self.picture()?) } else { None };
            if let (Some(picture), Some(publisher)) = (&picture, &mut self.publisher) {
                publisher.saw(picture, self.taken_unix_ns);
            }
            if picture.is_some() || !events.is_empty() {
                return Ok(Update { picture, events, status: self.status() });
            }
        }
    }

    fn fetch_every(&self) -> Duration {
        let is_followed = self.publisher.as_ref().is_some_and(Publisher::is_followed);
        if self.is_shown || is_followed { FETCH_EVERY } else { FETCH_UNSEEN_EVERY }
    }

    fn happened(&mut self, at_once: bool) -> anyhow::Result<Vec<Timed>> {
        self.fetched = Moment::now();
        let events = self.watcher.happened()?;
        let mut events = self.explained(events)?;
        if at_once || self.submit_failures.as_ref().is_some_and(SubmitFailures::is_due) {
            events.extend(self.submit_failed()?);
        }
        events.extend(self.grown(&events));
        if let Some(publisher) = &mut self.publisher {
            publisher.happened(&events);
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.events(&events);
        }
        Ok(events)
    }

    /// What is to be told of owners that grow. A look that fails is made the next time.
    fn grown(&mut self, events: &[Timed]) -> Vec<Timed> {
        self.growth.hear(events);
        if !self.growth.take_turn() {
            return Vec::new();
        }
        if self.growth.is_stale() {
            let Ok((evidence, _)) = self.watcher.look(true, &mut Vec::new()) else { return Vec::new() };
            self.growth.renew(holders(&reconcile(&evidence), Grouping::Owner));
        }
        self.watcher.facts().map_or_else(|_| Vec::new(), |facts| self.growth.add(&facts))
    }

    /// Takes a picture for those who asked. That it could not be taken is told to them: the next one may be.
    fn answer(&mut self, asks: Vec<Ask>) {
        let began = Moment::now();
        let taken =
            self.picture().map(|picture| (picture, self.status())).map_err(|error| format!("{error:#}"));
        if let Some(publisher) = &mut self.publisher {
            publisher.answer(asks, taken, began);
        }
    }

    /// Takes what the history wants. What cannot be read now is a gap in it.
    fn sample(&mut self) {
        let Some(publisher) = &mut self.publisher else { return };
        if publisher.sample(slots().ok())
            && let Ok(picture) = self.picture()
            && let Some(publisher) = &mut self.publisher
        {
            publisher.saw(&picture, self.taken_unix_ns);
        }
    }

    fn explained(&mut self, mut events: Vec<Timed>) -> anyhow::Result<Vec<Timed>> {
        let mut facts = None;
        for timed in &mut events {
            if let Event::SetupFailed { failure, .. } = &mut timed.event {
                let facts = match &facts {
                    Some(facts) => facts,
                    None => facts.insert(self.watcher.facts()?),
                };
                self.explain(failure, facts)?;
            }
        }
        Ok(events)
    }

    /// Adds what the host says now: how much is free, and for want of slots who holds them.
    fn explain(&mut self, failure: &mut Failure, facts: &SystemFacts) -> anyhow::Result<()> {
        let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        failure.free = Some(signed(facts.aio_max_nr).saturating_sub(signed(facts.aio_nr)));
        failure.limit = Some(facts.aio_max_nr);
        if failure.errno != EAGAIN {
            return Ok(());
        }
        let now = clock::now();
        let fresh = self.holders.as_ref().is_some_and(|(at, _)| now.0.saturating_sub(at.0) < HOLDERS_FOR_NS);
        if !fresh {
            let (evidence, _) = self.watcher.look(true, &mut Vec::new())?;
            self.holders = Some((now, holders(&reconcile(&evidence), Grouping::Owner)));
        }
        if let Some((_, holders)) = &self.holders {
            failure.largest = holders.iter().take(3).cloned().collect();
        }
        Ok(())
    }

    /// The counts of io_submit and its kin, and whether they are ours alone.
    fn counts(&mut self) -> Option<(&mut Submits, bool)> {
        match (&mut self.submits, &mut self.publisher) {
            (Some(own), _) => Some((own, true)),
            (None, Some(publisher)) => publisher.submit_counts().map(|submits| (submits, false)),
            (None, None) => None,
        }
    }

    /// Calls of io_submit and its kin that failed since the last time, if that is told.
    fn submit_failed(&mut self) -> anyhow::Result<Vec<Timed>> {
        let Some(mut failures) = self.submit_failures.take() else { return Ok(Vec::new()) };
        let read = self.counts().map(|(submits, is_ours)| failures.read(submits, is_ours)).transpose();
        self.submit_failures = Some(failures);
        let (new, lost) = read?.unwrap_or_default();
        let asks = |new: &NewFailures| Cause::asks_for_picture(new.failed.call, new.failed.errno);
        let picture = if new.iter().any(asks) {
            let (evidence, _) = self.watcher.look(false, &mut Vec::new())?;
            Some(reconcile(&evidence))
        } else {
            None
        };
        let failed = new.into_iter().map(|NewFailures { by, failed }| {
            let Failed { of, call, errno, count, arguments } = failed;
            // Asked after the picture was taken: who lives now had its contexts in it.
            let caller = caller(of, &by.comm);
            let cause = Cause::of(call, errno, &arguments, (of.pid, caller), picture.as_ref());
            Event::SubmitFailed { by, failure: SubmitFailure { call, errno, count, arguments, cause } }
        });
        let lost = (lost > 0).then_some(Event::Lost { count: lost });
        let (at, unix_ns) = (clock::now(), clock::unix_now());
        Ok(failed.chain(lost).map(|event| Timed { at, unix_ns, event }).collect())
    }

    fn picture(&mut self) -> anyhow::Result<Picture> {
        // What could not be seen is shown as unknown in the picture itself.
        let (evidence, scan_ns) = self.watcher.look(true, &mut Vec::new())?;
        self.taken_unix_ns = clock::unix_now();
        self.scan_ns = scan_ns;
        self.trends.observe(&evidence);
        let mut picture = reconcile_with(&evidence, &self.trends);
        add_origins(&mut picture, &self.watcher.births(self.since_unix_ns));
        let status = self.status();
        if let Some(recorder) = &mut self.recorder {
            recorder.picture(evidence, status);
        }
        Ok(picture)
    }

    fn status(&self) -> WatchStatus {
        let losses = self.watcher.lost();
        WatchStatus {
            hook: self.watcher.hook().name(),
            lost: losses.events.saturating_add(losses.contexts),
            healed: self.watcher.healed(),
            since_unix_ns: self.since_unix_ns,
            taken_unix_ns: self.taken_unix_ns,
            scan_ns: self.scan_ns,
            growing: self.growth.growing(),
        }
    }
}

/// Those who ask for a picture; nobody, if nothing is published.
async fn asked(publisher: &mut Option<Publisher>) -> Vec<Ask> {
    match publisher {
        Some(publisher) => publisher.asked().await,
        None => std::future::pending().await,
    }
}

/// The next tick; never, if there is no clock.
async fn due(clock: &mut Option<tokio::time::Interval>) {
    match clock {
        Some(clock) => {
            clock.tick().await;
        }
        None => std::future::pending().await,
    }
}

fn recorded(evidence: &Evidence) -> Update {
    let picture = reconcile(evidence);
    let unix_ns = evidence.system.taken_at_unix_ns;
    let events = waits_of(evidence);
    let existing = picture.contexts.iter().filter(|context| !context.is_dying()).map(|context| Timed {
        at: Instant(0),
        unix_ns,
        event: Event::Existing {
            by: Actor {
                pid: context.pid,
                tid: Tid(0),
                comm: context.comm.to_vec(),
                owner: Some(Arc::clone(&context.owner)),
            },
            context: context.context,
            max_reqs: context.max_reqs.unwrap_or(0),
        },
    });
    let events = existing.chain(events).collect();
    let status = WatchStatus { since_unix_ns: unix_ns, taken_unix_ns: unix_ns, ..WatchStatus::default() };
    Update { picture: Some(picture), events, status }
}

/// The waits that were under way.
fn waits_of(evidence: &Evidence) -> Vec<Timed> {
    let taken = evidence.system.taken_at_unix_ns;
    let of_space = |space: &AddressSpace| {
        let word = space.looks.last().and_then(judged_word);
        let waits = word.map(|word| word.waits.as_slice()).unwrap_or_default();
        let who = |wait: &Wait| {
            let process = space.processes.iter().find(|process| process.pid == wait.pid);
            let owner =
                process.and_then(|process| process.cgroup.as_deref()).map(|text| Arc::new(owner(text)));
            let comm = process.map(|process| process.comm.clone()).unwrap_or_default();
            Actor { pid: wait.pid, tid: wait.tid, comm, owner }
        };
        Waits::default().look(Instant(taken), waits, false, who)
    };
    let told = evidence.spaces.iter().flat_map(of_space);
    told.map(|(at, event)| Timed { at: Instant(0), unix_ns: at.0, event }).collect()
}

#[cfg(test)]
mod tests;
