//! `watch --record`: what is seen is also written to files. By a thread of its own: a disk that is slow or full costs records, never the watch.

use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;

use crate::commands::saved::inspect;
use aioinspect_formats::recording::{Picture, Record, RecordingError, Writer};
use aioinspect_kernel::host::clock;
use aioinspect_kernel::host::recording_files::{Limits, RecordingFiles, RecordingFilesError};
use aioinspect_model::event::{Event, Timed, WatchStatus};
use aioinspect_model::evidence::Evidence;
use aioinspect_render::count::count;
use aioinspect_render::escape::escape_path;

/// Pictures and lists of events that may wait to be written.
const WAITING: usize = 32;
/// Events that one record takes.
const EVENTS_A_RECORD: usize = 4096;
/// For how long nothing is told again.
const TOLD_FOR_NS: u64 = 60_000_000_000;
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
    /// Events that the thread had no room for.
    missed: u64,
}

struct Thread {
    queue: SyncSender<Work>,
    /// Has a sender as long as the thread runs.
    ended: Receiver<()>,
}

enum Work {
    Picture(Box<Picture>),
    Events(Vec<Timed>),
}

/// What the thread has to say.
#[derive(Debug, Default)]
struct Told {
    pictures: u64,
    events: u64,
    bytes: u64,
    lost: u64,
    /// Why the last record was not written.
    trouble: Option<String>,
    /// When that was last told, on the clock that orders events; `None`: it is still to be.
    said_at: Option<u64>,
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

    /// What has happened.
    pub(super) fn events(&mut self, events: &[Timed]) {
        for events in events.chunks(EVENTS_A_RECORD) {
            let mut all = Vec::with_capacity(events.len().saturating_add(1));
            if self.missed > 0 {
                all.push(lost(self.missed));
            }
            all.extend_from_slice(events);
            let count = u64::try_from(events.len()).unwrap_or(u64::MAX);
            self.missed = if self.send(Work::Events(all)) { 0 } else { self.missed.saturating_add(count) };
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
        self.send(Work::Picture(Box::new(Picture { evidence, status, every_ns })));
    }

    /// Why nothing is recorded, once for each time it begins to be so, and not more than once a minute.
    pub(super) fn trouble(&mut self) -> Option<String> {
        let mut told = lock(&self.told);
        if told.said_at.is_some() {
            return None;
        }
        let why = told.trouble.clone()?;
        told.said_at = Some(clock::now().0);
        Some(why)
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
        if self.missed > 0 {
            let missed = std::mem::take(&mut self.missed);
            self.send(Work::Events(vec![lost(missed)]));
        }
        let is_done = self.wait();
        let told = lock(&self.told);
        let missing = match (told.lost, is_done) {
            (0, true) => String::new(),
            (lost, true) => format!("; {lost} events could not be written"),
            (_, false) => "; the disk is still busy with the rest".to_owned(),
        };
        let several = |n: u64, one: &str| count(usize::try_from(n).unwrap_or(usize::MAX), one);
        let (pictures, events) = (several(told.pictures, "picture"), several(told.events, "event"));
        format!("recorded {pictures} and {events} in {}{missing}", size(told.bytes))
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
        self.wait();
    }
}

impl Told {
    fn fail(&mut self, why: String) {
        // It is told once, however many records it costs, and though a small one may fit where a large one does not.
        let now = clock::now().0;
        if self.trouble.is_none() {
            self.said_at = self.said_at.filter(|at| now.saturating_sub(*at) < TOLD_FOR_NS);
        }
        self.trouble = Some(why);
    }
}

#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Files(#[from] RecordingFilesError),
    #[error(transparent)]
    Record(#[from] RecordingError),
}

/// Writes what comes, until nobody is there to send more.
fn write(mut files: RecordingFiles, work: &Receiver<Work>, told: &Mutex<Told>) {
    let mut writer = Writer::default();
    let mut missed = 0_u64;
    for work in work {
        let (pictures, events) = match &work {
            Work::Picture(_) => (1, 0),
            Work::Events(events) => (0, u64::try_from(events.len()).unwrap_or(u64::MAX)),
        };
        let written = match work {
            Work::Picture(picture) => write_picture(&mut files, &mut writer, &picture),
            Work::Events(mut events) => {
                if missed > 0 {
                    events.insert(0, lost(missed));
                }
                write_events(&mut files, &mut writer, &events)
            }
        };
        let mut told = lock(told);
        match written {
            Ok(bytes) => {
                told.pictures = told.pictures.saturating_add(pictures);
                told.events = told.events.saturating_add(events);
                told.bytes = told.bytes.saturating_add(bytes);
                told.trouble = None;
                if events > 0 {
                    missed = 0;
                }
            }
            Err(error) => {
                missed = missed.saturating_add(events);
                told.lost = told.lost.saturating_add(events);
                told.fail(error.to_string());
                // What the next picture would be stored by may not be there.
                writer.forget();
            }
        }
    }
}

fn write_picture(
    files: &mut RecordingFiles,
    writer: &mut Writer,
    picture: &Picture,
) -> Result<u64, WriteError> {
    let unix_ns = picture.status.taken_unix_ns;
    if files.make_room(0, unix_ns)? {
        writer.forget();
    }
    let mut record = writer.picture(picture)?;
    if files.make_room(record.bytes.len(), unix_ns)? {
        writer.forget();
        record = writer.picture(picture)?;
        files.make_room(record.bytes.len(), unix_ns)?;
    }
    append(files, &record, unix_ns)
}

fn write_events(
    files: &mut RecordingFiles,
    writer: &mut Writer,
    events: &[Timed],
) -> Result<u64, WriteError> {
    let record = Writer::events(events)?;
    let unix_ns = events.last().map_or(0, |timed| timed.unix_ns);
    if files.make_room(record.bytes.len(), unix_ns)? {
        writer.forget();
    }
    append(files, &record, unix_ns)
}

fn append(files: &mut RecordingFiles, record: &Record, unix_ns: u64) -> Result<u64, WriteError> {
    files.append(&record.bytes, unix_ns)?;
    Ok(u64::try_from(record.bytes.len()).unwrap_or(u64::MAX))
}

/// So many events were not recorded.
fn lost(count: u64) -> Timed {
    Timed { at: clock::now(), unix_ns: clock::unix_now(), event: Event::Lost { count } }
}

fn lock(told: &Mutex<Told>) -> MutexGuard<'_, Told> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
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
