//! `watch --record`: what is seen is also written to files. By a thread of its own: a disk that is slow or full costs records, never the watch.

mod written;

use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;

use crate::commands::saved::inspect;
use crate::commands::watch::record::written::{Told, Work, lock, stand_for, write};
use aioinspect_formats::recording::{Picture, Writer};
use aioinspect_kernel::host::clock;
use aioinspect_kernel::host::recording_files::{Limits, RecordingFiles};
use aioinspect_model::event::{Timed, WatchStatus};
use aioinspect_model::event_batch::EventBatch;
use aioinspect_model::evidence::Evidence;
use aioinspect_render::count::count;
use aioinspect_render::escape::escape_path;

/// Pictures and lists of events that may wait to be written.
const WAITING: usize = 32;
/// Events that one record takes.
const EVENTS_A_RECORD: usize = 4096;
/// For how long events are gathered into one record: each failed io_setup wakes us by itself.
const GATHERED_FOR_NS: u64 = 1_000_000_000;
/// For how long the end of the watch waits for the disk.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is recorded, and how much of it is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecordOptions {
    /// How much is kept.
    pub limits: Limits,
    /// How often a picture is recorded.
    pub every: Duration,
}

/// A recording that is being made.
pub(crate) struct Recorder {
    path: PathBuf,
    options: RecordOptions,
    /// Until it begins.
    files: Option<RecordingFiles>,
    thread: Option<Thread>,
    told: Arc<Mutex<Told>>,
    /// When the next picture is due, on the clock that orders events.
    due_ns: u64,
    /// Events that are not handed over yet, and when the first of them came, on the clock that orders events.
    batch: EventBatch,
    batch_since_ns: Option<u64>,
    /// Events that the thread had no room for, since it last had.
    missed: u64,
}

struct Thread {
    queue: SyncSender<Work>,
    /// Has a sender as long as the thread runs.
    ended: Receiver<()>,
}

impl Recorder {
    /// Opens the files. To be called after the privileges are given up, which nobody needs to record, and before the process is confined.
    pub(super) fn open(path: &Path, options: RecordOptions) -> anyhow::Result<Self> {
        let files = RecordingFiles::open(path, options.limits, &Writer::head(), inspect);
        let files = files.context("cannot record (as this user, without capabilities)")?;
        Ok(Self {
            path: path.to_owned(),
            options,
            files: Some(files),
            thread: None,
            told: Arc::default(),
            due_ns: 0,
            batch: EventBatch::default(),
            batch_since_ns: None,
            missed: 0,
        })
    }

    /// The directory of the files, and its descriptor.
    pub(super) fn directory(&self) -> Option<(PathBuf, RawFd)> {
        let (path, descriptor) = self.files.as_ref()?.directory();
        Some((path.to_owned(), descriptor))
    }

    /// Where it is recorded, and what that costs.
    pub(super) fn in_words(&self) -> String {
        let Limits { bytes, age_ns } = self.options.limits;
        let there = self.files.as_ref().map_or(0, RecordingFiles::bytes);
        format!(
            "recording to {}: every event, and a picture every {}; at most {} in 8 files, of which {} are in use, and nothing older than {}",
            escape_path(&self.path),
            seconds(self.options.every.as_secs_f64()),
            size(bytes),
            size(there),
            seconds(Duration::from_nanos(age_ns).as_secs_f64()),
        )
    }

    /// What has happened, perhaps nothing.
    pub(super) fn events(&mut self, events: &[Timed]) {
        let now = clock::now().0;
        for timed in events {
            self.batch.add(timed);
            self.batch_since_ns.get_or_insert(now);
            if self.batch.len() >= EVENTS_A_RECORD {
                self.flush();
            }
        }
        if self.batch_since_ns.is_some_and(|since| now.saturating_sub(since) >= GATHERED_FOR_NS) {
            self.flush();
        }
    }

    /// A picture, if one is due.
    pub(super) fn picture(&mut self, evidence: Evidence, status: WatchStatus) {
        let now = clock::now().0;
        if now < self.due_ns {
            return;
        }
        let every_ns = u64::try_from(self.options.every.as_nanos()).unwrap_or(u64::MAX);
        // Whoever takes pictures more often does it at about the same moments: none is to be missed by a hair.
        self.due_ns = now.saturating_add(every_ns.saturating_sub(every_ns / 10));
        // What happened before it is to stand before it.
        self.flush();
        self.send(Work::Picture(Box::new(Picture { evidence, status, every_ns })));
    }

    /// Why nothing is recorded, if that is to be told now.
    pub(super) fn trouble(&mut self) -> Option<String> {
        lock(&self.told).news(clock::now().0)
    }

    /// Whether the last record was written; why not.
    pub(super) fn state(&self) -> Result<(), String> {
        match &lock(&self.told).trouble {
            None => Ok(()),
            Some(why) => Err(why.clone()),
        }
    }

    /// Waits for what is on its way to the disk, and says what was written.
    pub(super) fn end(&mut self) -> String {
        self.flush();
        let is_done = self.wait();
        let told = lock(&self.told);
        let lost = if told.lost == 0 {
            String::new()
        } else {
            format!("; {} could not be written", several(told.lost, "event"))
        };
        let rest = if is_done { "" } else { "; the disk is still busy with the rest" };
        let (pictures, events) = (several(told.pictures, "picture"), several(told.events, "event"));
        format!("recorded {pictures} and {events} in {}{lost}{rest}", size(told.bytes))
    }

    /// Hands over the events that were gathered.
    fn flush(&mut self) {
        self.batch_since_ns = None;
        let events = self.batch.take();
        let missed = std::mem::take(&mut self.missed);
        if events.is_empty() && missed == 0 {
            return;
        }
        let count = stand_for(&events);
        if !self.send(Work::Events { missed, events }) {
            self.missed = missed.saturating_add(count);
            let mut told = lock(&self.told);
            told.lost = told.lost.saturating_add(count);
        }
    }

    /// Hands over the work; false: there is no room for it.
    fn send(&mut self, work: Work) -> bool {
        if let Some(files) = self.files.take() {
            self.thread = self.begin(files);
        }
        let Some(thread) = &self.thread else { return false };
        match thread.queue.try_send(work) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                lock(&self.told).fail("the disk is too slow".to_owned());
                false
            }
        }
    }

    /// Begins to write. Not before the first work: a thread that is there earlier is not confined with the others.
    fn begin(&self, files: RecordingFiles) -> Option<Thread> {
        let (queue, work) = sync_channel(WAITING);
        let (alive, ended) = sync_channel::<()>(0);
        let told = Arc::clone(&self.told);
        let thread = std::thread::Builder::new().name("record".to_owned());
        let begun = thread.spawn(move || {
            write(files, &work, &told);
            drop(alive);
        });
        if let Err(error) = begun {
            lock(&self.told).fail(format!("no thread: {error}"));
            return None;
        }
        Some(Thread { queue, ended })
    }

    /// Whether all was written in time.
    fn wait(&mut self) -> bool {
        let Some(Thread { queue, ended }) = self.thread.take() else { return true };
        drop(queue);
        !matches!(ended.recv_timeout(PATIENCE), Err(std::sync::mpsc::RecvTimeoutError::Timeout))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.flush();
        self.wait();
    }
}

/// `12 events`
fn several(n: u64, one: &str) -> String {
    count(usize::try_from(n).unwrap_or(usize::MAX), one)
}

/// `500 B`, `12 KiB`, `64 MiB`.
fn size(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} B"),
        10_240..10_485_760 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

/// `500ms`, `5s`, `2h`, `7d`: in the largest unit that has a whole number of it.
fn seconds(seconds: f64) -> String {
    let units = [(86_400.0, "d"), (3600.0, "h"), (60.0, "m"), (1.0, "s")];
    let whole = |unit: f64| seconds >= unit && (seconds / unit).fract() == 0.0;
    match units.iter().find(|(unit, _)| whole(*unit)) {
        Some((unit, name)) => format!("{}{name}", seconds / unit),
        None => format!("{}ms", (seconds * 1000.0).round()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check sizes and times as they are told.
    #[test]
    fn in_words() {
        assert_eq!([size(0), size(10_240), size(64 << 20)], ["0 B", "10 KiB", "64 MiB"]);
        let told = [0.5, 5.0, 90.0, 7200.0, 604_800.0].map(seconds);
        assert_eq!(told, ["500ms", "5s", "90s", "2h", "7d"]);
    }
}
