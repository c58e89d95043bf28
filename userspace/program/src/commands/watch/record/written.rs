//! The thread that writes a recording, and what it has to say.

use std::sync::mpsc::Receiver;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aioinspect_formats::recording::{Picture, RecordingError, Writer};
use aioinspect_kernel::host::clock;
use aioinspect_kernel::host::recording_files::{RecordingFiles, RecordingFilesError};
use aioinspect_model::event::{Event, Timed};

/// For how long nothing is told again.
const TOLD_FOR_NS: u64 = 60_000_000_000;

/// What is to be written.
pub(super) enum Work {
    Picture(Box<Picture>),
    Events {
        /// How many before them are not among them.
        missed: u64,
        events: Vec<Timed>,
    },
}

/// What the thread has to say.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub pictures: u64,
    pub events: u64,
    pub bytes: u64,
    /// Events that were not written.
    pub lost: u64,
    /// Why the last record was not written.
    pub trouble: Option<String>,
    /// Trouble that began and was not told.
    untold: Option<String>,
    /// When any was told last, on the clock that orders events.
    said_at: Option<u64>,
}

impl Told {
    /// A record was not written.
    pub(super) fn fail(&mut self, why: String) {
        // It is told once, however many records it costs, and though a small one may fit where a large one does not.
        if self.trouble.is_none() || self.untold.is_some() {
            self.untold = Some(why.clone());
        }
        self.trouble = Some(why);
    }

    /// A record was written.
    fn succeed(&mut self, now: u64) {
        self.trouble = None;
        // What came and went within the minute is no news.
        if self.was_told(now) {
            self.untold = None;
        }
    }

    /// Why nothing is recorded: once for each time that it begins to be so, and not more than once a minute.
    pub(super) fn news(&mut self, now: u64) -> Option<String> {
        if self.was_told(now) {
            return None;
        }
        let why = self.untold.take()?;
        self.said_at = Some(now);
        Some(why)
    }

    fn was_told(&self, now: u64) -> bool {
        self.said_at.is_some_and(|at| now.saturating_sub(at) < TOLD_FOR_NS)
    }
}

pub(super) fn lock(told: &Mutex<Told>) -> MutexGuard<'_, Told> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many events these stand for.
pub(super) fn stand_for(events: &[Timed]) -> u64 {
    events.iter().fold(0, |sum, timed| sum.saturating_add(timed.event.stands_for()))
}

#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Files(#[from] RecordingFilesError),
    #[error(transparent)]
    Record(#[from] RecordingError),
    #[error("more events than half of --record-size holds; pictures are recorded")]
    TooManyEvents,
}

/// Writes what comes, until nobody is there to send more.
pub(super) fn write(files: RecordingFiles, work: &Receiver<Work>, told: &Mutex<Told>) {
    let mut written = Written::new(files);
    let mut missed = 0_u64;
    for work in work {
        let (result, (pictures, events)) = match work {
            Work::Picture(picture) => (written.picture(&picture), (1, 0)),
            Work::Events { missed: before, mut events } => {
                let count = stand_for(&events);
                missed = missed.saturating_add(before);
                if missed > 0 {
                    events.insert(0, lost(missed));
                }
                let result = written.events(&events);
                missed = if result.is_ok() { 0 } else { missed.saturating_add(count) };
                (result, (0, count))
            }
        };
        let mut told = lock(told);
        match result {
            Ok(bytes) => {
                told.pictures = told.pictures.saturating_add(pictures);
                told.events = told.events.saturating_add(events);
                told.bytes = told.bytes.saturating_add(bytes);
                told.succeed(clock::now().0);
            }
            Err(error) => {
                told.lost = told.lost.saturating_add(events);
                told.fail(error.to_string());
            }
        }
    }
    // Whoever reads it is to know that something is missing at the end, if there is room at least for that.
    if missed > 0 {
        let _ = written.events(&[lost(missed)]);
    }
}

/// The files, and what of the newest is events: a storm of those must not take the place of the pictures.
struct Written {
    files: RecordingFiles,
    writer: Writer,
    /// Bytes of pictures and of events in the file that is written to, as far as this thread wrote them.
    pictures: u64,
    events: u64,
}

impl Written {
    fn new(files: RecordingFiles) -> Self {
        Self { files, writer: Writer::default(), pictures: 0, events: 0 }
    }

    fn picture(&mut self, picture: &Picture) -> Result<u64, WriteError> {
        let written = self.try_picture(picture);
        if written.is_err() {
            // What the next picture would be stored by may not be there.
            self.writer.forget();
        }
        written
    }

    fn try_picture(&mut self, picture: &Picture) -> Result<u64, WriteError> {
        let unix_ns = picture.status.taken_unix_ns;
        self.make_room(0, unix_ns)?;
        let mut record = self.writer.picture(picture)?;
        if self.make_room(record.bytes.len(), unix_ns)? {
            record = self.writer.picture(picture)?;
            self.make_room(record.bytes.len(), unix_ns)?;
        }
        self.files.append(&record.bytes, unix_ns)?;
        let bytes = wide(record.bytes.len());
        self.pictures = self.pictures.saturating_add(bytes);
        Ok(bytes)
    }

    fn events(&mut self, events: &[Timed]) -> Result<u64, WriteError> {
        let record = Writer::events(events)?;
        // The last is not always the newest: a wait is dated when it began.
        let unix_ns = events.iter().map(|timed| timed.unix_ns).max().unwrap_or(0);
        self.make_room(record.bytes.len(), unix_ns)?;
        let bytes = wide(record.bytes.len());
        let all = self.events.saturating_add(bytes);
        // A quarter of a file, and then half of what the pictures take: never more than half once the file is full.
        if all > (self.files.part() / 4).saturating_add(self.pictures / 2) {
            return Err(WriteError::TooManyEvents);
        }
        let appended = self.files.append(&record.bytes, unix_ns);
        if appended.is_err() {
            self.writer.forget();
        }
        appended?;
        self.events = all;
        Ok(bytes)
    }

    /// Whether another file was begun for it.
    fn make_room(&mut self, len: usize, unix_ns: u64) -> Result<bool, WriteError> {
        let is_new = self.files.make_room(len, unix_ns);
        if !matches!(is_new, Ok(false)) {
            self.writer.forget();
        }
        let is_new = is_new?;
        if is_new {
            (self.pictures, self.events) = (0, 0);
        }
        Ok(is_new)
    }
}

fn wide(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// So many events were not recorded.
fn lost(count: u64) -> Timed {
    Timed { at: clock::now(), unix_ns: clock::unix_now(), event: Event::Lost { count } }
}

#[cfg(test)]
mod tests;
