//! What is in a recording, found again. It may come from anybody: nothing of it is believed before it is checked.

use std::collections::VecDeque;
use std::io;

use aioinspect_model::event::Timed;
use aioinspect_proto::recording::{
    HEAD_LEN, Kind, MARK, RECORD_HEAD_LEN, RecordHead, check_head, events, picture, record_head,
};

use crate::recording::events::events_from_proto;
use crate::recording::packed::unpack;
use crate::recording::writer::picture_of;
use crate::recording::{Picture, RecordingError};

/// Most records that are kept in mind, the newest; a day has some 17,000 pictures.
const MOST_RECORDS: usize = 1 << 21;
/// Heads of records are looked for in pieces of so many bytes.
const PIECE: usize = 1 << 16;

/// A file of a recording: a part of it is read at a time.
pub trait Bytes {
    /// How long it is now.
    fn size(&self) -> u64;
    /// The bytes from `at` on: as many as there are, `len` at most.
    fn read_at(&self, at: u64, len: usize) -> io::Result<Vec<u8>>;
}

impl Bytes for Vec<u8> {
    fn size(&self) -> u64 {
        u64::try_from(self.len()).unwrap_or(u64::MAX)
    }

    fn read_at(&self, at: u64, len: usize) -> io::Result<Vec<u8>> {
        let rest = usize::try_from(at).ok().and_then(|at| self.get(at..)).unwrap_or_default();
        Ok(rest.get(..len).unwrap_or(rest).to_vec())
    }
}

/// A picture of a recording, by its place: 0 is the oldest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub usize);

/// The picture that shows what was so at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The last picture before.
    pub moment: Moment,
    /// When it was taken, in nanoseconds since 1970.
    pub unix_ns: u64,
    /// When the one after it was taken; `None`: it is the last.
    pub next_unix_ns: Option<u64>,
}

impl Found {
    /// Until when there is no other picture, if that is long after this one: the next picture, or the time that was `asked` for. `every_ns`: how often
    /// they were taken.
    pub fn gap(&self, asked: u64, every_ns: u64) -> Option<u64> {
        let until = self.next_unix_ns.unwrap_or(asked);
        // One may come a little late.
        (until.saturating_sub(self.unix_ns) > every_ns.saturating_mul(2)).then_some(until)
    }
}

/// A time that a recording does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// It is before the first picture, which is of this time.
    Before(u64),
    /// It is after the end, which is at this time.
    After(u64),
}

/// A record in one of the files.
#[derive(Clone, Copy, Debug)]
struct Entry {
    file: usize,
    /// Where its message begins.
    at: u64,
    head: RecordHead,
}

/// What is in the files of a recording.
pub struct Recording {
    files: Vec<Box<dyn Bytes>>,
    entries: Vec<Entry>,
    /// Which of the entries are pictures.
    pictures: Vec<usize>,
    /// Files of which parts are no records, and how many bytes that is.
    unread: Vec<(usize, u64)>,
    /// How many of the oldest records are not kept in mind.
    passed_over: usize,
    /// The whole picture that was unpacked last.
    whole: Option<(usize, Vec<u8>)>,
}

impl std::fmt::Debug for Recording {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} files, {} pictures", self.files.len(), self.pictures.len())
    }
}

/// Whether it is a recording, by its first bytes; one of another version is an error.
pub fn is_recording(first: &[u8]) -> bool {
    first.starts_with(&aioinspect_proto::recording::MAGIC)
}

impl Recording {
    /// Goes through the heads of all records. `files`: oldest first; an empty one has none.
    pub fn open(files: Vec<Box<dyn Bytes>>) -> Result<Self, RecordingError> {
        Self::open_newest(files, MOST_RECORDS)
    }

    /// The same, of at most so many records.
    pub(super) fn open_newest(files: Vec<Box<dyn Bytes>>, most: usize) -> Result<Self, RecordingError> {
        let (mut entries, mut unread, mut passed_over) = (VecDeque::new(), Vec::new(), 0_usize);
        for (number, file) in files.iter().enumerate() {
            let left = scan(file.as_ref(), |at, head| {
                if entries.len() >= most {
                    entries.pop_front();
                    passed_over = passed_over.saturating_add(1);
                }
                entries.push_back(Entry { file: number, at, head });
            })?;
            if left > 0 {
                unread.push((number, left));
            }
        }
        let entries = Vec::from(entries);
        let is_picture = |entry: &Entry| matches!(entry.head.kind, Kind::Whole | Kind::Changed);
        let pictures = entries.iter().enumerate().filter(|(_, entry)| is_picture(entry));
        let pictures = pictures.map(|(place, _)| place).collect();
        Ok(Self { files, entries, pictures, unread, passed_over, whole: None })
    }

    /// How many files it is in.
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// How many pictures there are.
    pub fn pictures(&self) -> usize {
        self.pictures.len()
    }

    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        self.entries.len()
    }

    /// Files by their number, and how many bytes of them are no records: whoever wrote them was cut off, or they are damaged.
    pub fn unread(&self) -> &[(usize, u64)] {
        &self.unread
    }

    /// How many of the oldest records there is no room for: they are as if they were not there.
    pub fn passed_over(&self) -> usize {
        self.passed_over
    }

    /// The last picture.
    pub fn last(&self) -> Result<Moment, RecordingError> {
        self.pictures.len().checked_sub(1).map(Moment).ok_or(RecordingError::Empty)
    }

    /// When a picture was taken, in nanoseconds since 1970.
    pub fn time_of(&self, moment: Moment) -> Option<u64> {
        self.entry_of(moment).map(|entry| entry.head.unix_ns)
    }

    /// When the last record was written.
    pub fn end(&self) -> u64 {
        self.entries.iter().map(|entry| entry.head.unix_ns).max().unwrap_or(0)
    }

    /// The picture that shows what was so at a time.
    pub fn find(&mut self, unix_ns: u64) -> Result<Result<Found, Missed>, RecordingError> {
        let last = self.last()?;
        let end = self.end();
        if unix_ns > end {
            // The next picture may not be due yet.
            let every_ns = self.picture(last).map_or(0, |picture| picture.every_ns);
            if unix_ns > end.saturating_add(every_ns) {
                return Ok(Err(Missed::After(end)));
            }
        }
        let time = |moment: usize| self.time_of(Moment(moment));
        // From the end: a clock that was set back must not hide what came after.
        let before =
            (0..self.pictures.len()).rev().find(|place| time(*place).is_some_and(|at| at <= unix_ns));
        Ok(match before {
            Some(place) => Ok(Found {
                moment: Moment(place),
                unix_ns: time(place).unwrap_or(0),
                next_unix_ns: place.checked_add(1).and_then(time),
            }),
            None => Err(Missed::Before(time(0).unwrap_or(0))),
        })
    }

    /// A picture.
    pub fn picture(&mut self, moment: Moment) -> Result<Picture, RecordingError> {
        let Some((place, entry)) =
            self.pictures.get(moment.0).and_then(|place| Some((*place, *self.entries.get(*place)?)))
        else {
            return Err(RecordingError::Empty);
        };
        let message = if entry.head.kind == Kind::Whole {
            self.unpack_whole(place)?;
            self.whole.as_ref().map(|(_, message)| message.clone()).unwrap_or_default()
        } else {
            let before = self.entries.get(..place).unwrap_or_default();
            let is_whole = |of: &Entry| of.file == entry.file && of.head.kind == Kind::Whole;
            let whole = before.iter().rposition(is_whole).ok_or(RecordingError::NoWhole)?;
            self.unpack_whole(whole)?;
            let prefix = self.whole.as_ref().map(|(_, message)| message.as_slice()).unwrap_or_default();
            unpack(&self.packed(entry)?, entry.head.unpacked, prefix)?
        };
        picture_of(&picture(&message)?, entry.head.unix_ns)
    }

    /// What happened between the beginning and a picture, oldest first: the last `most` events of it. Records that cannot be read are passed over.
    pub fn events_until(&self, moment: Moment, most: usize) -> Vec<Timed> {
        let end = self.pictures.get(moment.0).copied().unwrap_or(self.entries.len());
        let mut found: Vec<Vec<Timed>> = Vec::new();
        let mut count = 0_usize;
        for entry in self.entries.get(..end).unwrap_or_default().iter().rev() {
            if count >= most {
                break;
            }
            if let Some(Ok(events)) = self.events_of(entry) {
                count = count.saturating_add(events.len());
                found.push(events);
            }
        }
        let mut events: Vec<Timed> = found.into_iter().rev().flatten().collect();
        events.drain(..events.len().saturating_sub(most));
        events
    }

    /// The events of the record at a place, counted from the first; `None`: there is no such record. One that holds no events has none.
    pub fn events_at(&self, place: usize) -> Option<Result<Vec<Timed>, RecordingError>> {
        let entry = self.entries.get(place)?;
        Some(self.events_of(entry).unwrap_or(Ok(Vec::new())))
    }

    fn events_of(&self, entry: &Entry) -> Option<Result<Vec<Timed>, RecordingError>> {
        let read = || {
            let message = unpack(&self.packed(*entry)?, entry.head.unpacked, &[])?;
            Ok(events_from_proto(events(&message)?)?)
        };
        (entry.head.kind == Kind::Events).then(read)
    }

    fn entry_of(&self, moment: Moment) -> Option<&Entry> {
        self.pictures.get(moment.0).and_then(|place| self.entries.get(*place))
    }

    fn unpack_whole(&mut self, place: usize) -> Result<(), RecordingError> {
        if self.whole.as_ref().is_some_and(|(of, _)| *of == place) {
            return Ok(());
        }
        let entry = self.entries.get(place).copied().ok_or(RecordingError::NoWhole)?;
        let message = unpack(&self.packed(entry)?, entry.head.unpacked, &[])?;
        self.whole = Some((place, message));
        Ok(())
    }

    fn packed(&self, entry: Entry) -> Result<Vec<u8>, RecordingError> {
        let file = self.files.get(entry.file).ok_or(RecordingError::NoWhole)?;
        let packed = file.read_at(entry.at, usize::try_from(entry.head.packed).unwrap_or(usize::MAX))?;
        entry.head.check(&packed)?;
        Ok(packed)
    }
}

/// Goes through a file from record to record: where the message of each begins, and its head. How many bytes are no whole records, at the end or where
/// there is damage; messages are not read.
pub fn scan(file: &dyn Bytes, mut each: impl FnMut(u64, RecordHead)) -> Result<u64, RecordingError> {
    let size = file.size();
    if size == 0 {
        return Ok(0);
    }
    check_head(&file.read_at(0, HEAD_LEN)?)?;
    let mut pieces = Pieces { file, bytes: Vec::new(), at: 0 };
    let (mut at, mut unread) = (wide(HEAD_LEN), 0_u64);
    loop {
        let end =
            |head: RecordHead| at.saturating_add(wide(RECORD_HEAD_LEN)).saturating_add(head.packed.into());
        let head = record_head(pieces.from(at, RECORD_HEAD_LEN)?);
        if let Some(head) = head.filter(|head| end(*head) <= size) {
            each(at.saturating_add(wide(RECORD_HEAD_LEN)), head);
            at = end(head);
            continue;
        }
        // Its length may be what is damaged: the next record is where a head says so.
        let next = pieces.next_mark(at.saturating_add(1))?.unwrap_or(size);
        unread = unread.saturating_add(next.saturating_sub(at));
        if next >= size {
            return Ok(unread);
        }
        at = next;
    }
}

/// A file, of which a piece is read at a time.
struct Pieces<'a> {
    file: &'a dyn Bytes,
    bytes: Vec<u8>,
    at: u64,
}

impl Pieces<'_> {
    /// The bytes from `at` on: at least `len`, but at the end of the file.
    fn from(&mut self, at: u64, len: usize) -> io::Result<&[u8]> {
        let has = |bytes: &[u8], begin: u64| {
            let from = usize::try_from(at.checked_sub(begin)?).ok()?;
            (bytes.len().checked_sub(from)? >= len).then_some(from)
        };
        let from = if let Some(from) = has(&self.bytes, self.at) {
            from
        } else {
            (self.bytes, self.at) = (self.file.read_at(at, PIECE)?, at);
            0
        };
        Ok(self.bytes.get(from..).unwrap_or_default())
    }

    /// Where the next record may begin, from `at` on.
    fn next_mark(&mut self, mut at: u64) -> io::Result<Option<u64>> {
        loop {
            let bytes = self.from(at, MARK.len())?;
            if bytes.len() < MARK.len() {
                return Ok(None);
            }
            if let Some(found) = bytes.windows(MARK.len()).position(|bytes| bytes == MARK) {
                return Ok(Some(at.saturating_add(wide(found))));
            }
            at = at.saturating_add(wide(bytes.len().saturating_sub(MARK.len().saturating_sub(1))));
        }
    }
}

fn wide(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
