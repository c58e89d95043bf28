//! A recording, `watch --record`: pictures and events, one after the other, as they are written and as they are found again.
//!
//! A picture is an evidence file. Most of it is as it was in the picture before, so most pictures are stored by what they have in common with the
//! last one that stands by itself: to find any, two records are read. How records are framed says `aioinspect_proto::recording`.

mod events;
mod found;
mod packed;
mod writer;

pub use crate::recording::found::{Bytes, Found, Missed, Moment, Recording, is_recording, scan};
pub use crate::recording::writer::{Record, Writer};
pub use aioinspect_proto::recording::{HEAD_LEN, MAGIC};

use aioinspect_model::event::WatchStatus;
use aioinspect_model::evidence::Evidence;

use crate::FileError;
use crate::stored::ConvertError;
use aioinspect_proto::recording::RecordError;

/// A picture, and how the watch was doing that took it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Everything that was read.
    pub evidence: Evidence,
    /// How the watch was doing; without its hook, and without the owners that grow.
    pub status: WatchStatus,
    /// How often a picture was taken, in nanoseconds.
    pub every_ns: u64,
}

/// Why a recording cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// A file that could not be read.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// No recording, or a damaged record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A picture that is no evidence.
    #[error(transparent)]
    Evidence(#[from] FileError),
    /// A record with content that this version does not know.
    #[error(transparent)]
    Convert(#[from] ConvertError),
    /// A message that cannot be packed or unpacked.
    #[error("zstd: {0}")]
    Zstd(&'static str),
    /// A message that is not as long as it is said to be.
    #[error("a message of {is} bytes that is said to have {said}")]
    Length {
        /// What stands before it.
        said: u64,
        /// What it has.
        is: u64,
    },
    /// A picture that needs one which is not there.
    #[error("the whole picture that it is stored by is not there")]
    NoWhole,
    /// No picture at all.
    #[error("a recording without any picture")]
    Empty,
}

#[cfg(test)]
mod tests;
