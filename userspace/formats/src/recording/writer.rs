//! From pictures and events to the bytes that are appended.

use aioinspect_model::event::Timed;
use aioinspect_model::evidence::Evidence;

use crate::evidence_to_bytes;
use crate::recording::events::events_to_proto;
use crate::recording::packed::pack;
use crate::recording::{Picture, RecordingError};
use aioinspect_model::event::WatchStatus;
use aioinspect_proto::recording::{HEAD_LEN, Kind, RecordError, encoded, fits, head, record};
use aioinspect_proto::schema::recording as file;

/// For how long pictures are stored by the same whole one: no longer, so that what is damaged there does not cost more.
const WHOLE_EVERY_NS: u64 = 300_000_000_000;

/// What is to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its bytes, which must be written whole or not at all.
    pub bytes: Vec<u8>,
    /// Whether it is a picture that stands by itself.
    pub is_whole: bool,
}

/// Makes records, in the order in which they are to be in the file.
#[derive(Debug, Default)]
pub struct Writer {
    whole: Option<Whole>,
}

/// The last picture that stands by itself.
#[derive(Debug)]
struct Whole {
    message: Vec<u8>,
    unix_ns: u64,
    packed: usize,
}

impl Writer {
    /// What a new file begins with.
    pub fn head() -> [u8; HEAD_LEN] {
        head()
    }

    /// The next picture shall stand by itself: the last record was not written, or another file begins.
    pub fn forget(&mut self) {
        self.whole = None;
    }

    /// The record of a picture.
    pub fn picture(&mut self, picture: &Picture) -> Result<Record, RecordingError> {
        let unix_ns = picture.status.taken_unix_ns;
        let message = encoded(&file::Picture {
            evidence: evidence_to_bytes(&picture.evidence)?,
            status: Some(status_to_proto(&picture.status, picture.every_ns)),
        });
        if let Some(whole) = &self.whole
            && unix_ns.abs_diff(whole.unix_ns) < WHOLE_EVERY_NS
        {
            let packed = pack(&message, &whole.message)?;
            // A host that has become another one.
            if packed.len() < whole.packed / 2 {
                let bytes = record(Kind::Changed, unix_ns, message.len(), &packed)?;
                return Ok(Record { bytes, is_whole: false });
            }
        }
        let packed = pack(&message, &[])?;
        let bytes = record(Kind::Whole, unix_ns, message.len(), &packed)?;
        self.whole = Some(Whole { message, unix_ns, packed: packed.len() });
        Ok(Record { bytes, is_whole: true })
    }

    /// The record of events. More than fit into one are an error: they come in hundreds.
    pub fn events(events: &[Timed]) -> Result<Record, RecordingError> {
        if !fits(events.len()) {
            return Err(RecordError::TooLarge(events.len()).into());
        }
        let message = encoded(&events_to_proto(events));
        let unix_ns = events.iter().map(|timed| timed.unix_ns).max().unwrap_or(0);
        let bytes = record(Kind::Events, unix_ns, message.len(), &pack(&message, &[])?)?;
        Ok(Record { bytes, is_whole: false })
    }
}

fn status_to_proto(status: &WatchStatus, every_ns: u64) -> file::Status {
    let WatchStatus { hook: _, lost, healed, since_unix_ns, taken_unix_ns: _, scan_ns, growing: _ } = status;
    file::Status { lost: *lost, healed: *healed, since_unix_ns: *since_unix_ns, scan_ns: *scan_ns, every_ns }
}

/// A picture of its message; when it was taken stands before it.
pub(super) fn picture_of(message: &file::Picture, unix_ns: u64) -> Result<Picture, RecordingError> {
    let evidence: Evidence = crate::evidence_from_bytes(&message.evidence)?;
    let file::Status { lost, healed, since_unix_ns, scan_ns, every_ns } = message.status.unwrap_or_default();
    let status = WatchStatus {
        hook: "",
        lost,
        healed,
        since_unix_ns,
        taken_unix_ns: unix_ns,
        scan_ns,
        // It is told by events.
        growing: Vec::new(),
    };
    Ok(Picture { evidence, status, every_ns })
}
