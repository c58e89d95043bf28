//! Framing of a recording: records one after the other, each whole in itself, so that one that is cut off ends the file and spoils nothing.
//!
//! ```text
//! 8 bytes             89 61 69 6f 72 63 0d 0a ("\x89aiorc\r\n": not text, and damaged by a text transfer)
//! u32 LE 1            version of the messages: package aioinspect.recording.v1
//! u32 LE 0
//! records, each:
//!   u32 LE            41 49 4f 52 ("AIOR")
//!   u32 LE size       of the packed message
//!   u64 LE            when: nanoseconds since 1970
//!   u32 LE            size of the message, unpacked
//!   u32 LE kind       1 a picture, 2 a picture by the last one of kind 1 before it, 3 events
//!   u32 LE            CRC-32 of the packed message
//!   u32 LE            CRC-32 of the 28 bytes before
//!   size bytes        the message, a frame of zstd; of kind 2 with the unpacked message of kind 1 as its prefix
//! ```

use prost::Message;

use crate::image::word;
use crate::schema::recording::{Events, Picture};
use crate::shape::{Shape, ShapeError};

/// First bytes of every recording.
pub const MAGIC: [u8; 8] = *b"\x89aiorc\r\n";
/// The version that is written, and the only one that is read.
pub const VERSION: u32 = 1;
/// Bytes before the first record.
pub const HEAD_LEN: usize = 16;
/// Bytes before the message of a record.
pub const RECORD_HEAD_LEN: usize = 32;
/// Largest message of a record, in bytes: an evidence file, and little more.
pub const MAX_MESSAGE_LEN: usize = crate::evidence::MAX_MESSAGE_LEN + (1 << 16);
/// Most messages in one record of events, nested ones included: they take hundreds of bytes each once they are read.
const MAX_EVENT_MESSAGES: usize = 1 << 18;

/// What each record begins with.
pub const MARK: [u8; 4] = *b"AIOR";

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A picture by itself.
    Whole,
    /// A picture that takes what did not change from the last whole one before it.
    Changed,
    /// Events.
    Events,
    /// Something that a later version writes: to be passed over.
    Other(u32),
}

impl Kind {
    fn number(self) -> u32 {
        match self {
            Kind::Whole => 1,
            Kind::Changed => 2,
            Kind::Events => 3,
            Kind::Other(number) => number,
        }
    }

    fn of(number: u32) -> Self {
        match number {
            1 => Kind::Whole,
            2 => Kind::Changed,
            3 => Kind::Events,
            other => Kind::Other(other),
        }
    }
}

/// What stands before the message of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHead {
    /// What the record holds.
    pub kind: Kind,
    /// Nanoseconds since 1970.
    pub unix_ns: u64,
    /// Bytes of the packed message, which follows.
    pub packed: u32,
    /// Bytes of the message once it is unpacked.
    pub unpacked: u32,
    /// CRC-32 of the packed message.
    pub crc: u32,
}

/// Why bytes are not a recording, or a record cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The first bytes are not those of a recording.
    #[error("not a recording")]
    NotARecording,
    /// Written by another version.
    #[error("a recording of version {0}; this program reads version 1")]
    Version(u32),
    /// The message does not have the checksum that stands before it.
    #[error("its checksum is wrong")]
    Checksum,
    /// A message that is larger than any real one.
    #[error("a message of {0} bytes is larger than any of a recording")]
    TooLarge(usize),
    /// The message is no protobuf, or has too many parts.
    #[error("malformed message: {0}")]
    Shape(#[from] ShapeError),
    /// A field has another type than the schema's.
    #[error("malformed message: {0}")]
    Decode(#[from] prost::DecodeError),
}

/// What every recording begins with.
pub fn head() -> [u8; HEAD_LEN] {
    let mut head = [0; HEAD_LEN];
    let bytes = MAGIC.into_iter().chain(VERSION.to_le_bytes());
    for (place, byte) in head.iter_mut().zip(bytes) {
        *place = byte;
    }
    head
}

/// Checks what a file begins with.
pub fn check_head(bytes: &[u8]) -> Result<(), RecordError> {
    if !bytes.starts_with(&MAGIC) {
        return Err(RecordError::NotARecording);
    }
    match word(bytes, MAGIC.len()) {
        Some(VERSION) if bytes.len() >= HEAD_LEN => Ok(()),
        Some(VERSION) | None => Err(RecordError::NotARecording),
        Some(version) => Err(RecordError::Version(version)),
    }
}

/// A record, from its message as it was packed.
pub fn record(kind: Kind, unix_ns: u64, unpacked: usize, packed: &[u8]) -> Result<Vec<u8>, RecordError> {
    let too_large = RecordError::TooLarge(unpacked.max(packed.len()));
    if unpacked > MAX_MESSAGE_LEN || packed.len() > MAX_MESSAGE_LEN {
        return Err(too_large);
    }
    let (Ok(unpacked), Ok(size)) = (u32::try_from(unpacked), u32::try_from(packed.len())) else {
        return Err(too_large);
    };
    let mut bytes = Vec::with_capacity(RECORD_HEAD_LEN.saturating_add(packed.len()));
    bytes.extend(MARK);
    bytes.extend(size.to_le_bytes());
    bytes.extend(unix_ns.to_le_bytes());
    bytes.extend(unpacked.to_le_bytes());
    bytes.extend(kind.number().to_le_bytes());
    bytes.extend(crc32fast::hash(packed).to_le_bytes());
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes.extend(packed);
    Ok(bytes)
}

/// Reads what stands before a message; `None`: these bytes do not begin a record.
pub fn record_head(bytes: &[u8]) -> Option<RecordHead> {
    let checked = bytes.get(..RECORD_HEAD_LEN.saturating_sub(4))?;
    if !bytes.starts_with(&MARK) || word(bytes, checked.len())? != crc32fast::hash(checked) {
        return None;
    }
    let head = RecordHead {
        packed: word(bytes, 4)?,
        unix_ns: u64::from(word(bytes, 8)?) | u64::from(word(bytes, 12)?) << 32,
        unpacked: word(bytes, 16)?,
        kind: Kind::of(word(bytes, 20)?),
        crc: word(bytes, 24)?,
    };
    let is_small = |size: u32| usize::try_from(size).is_ok_and(|size| size <= MAX_MESSAGE_LEN);
    (is_small(head.packed) && is_small(head.unpacked)).then_some(head)
}

impl RecordHead {
    /// Checks the packed message that follows.
    pub fn check(&self, packed: &[u8]) -> Result<(), RecordError> {
        if crc32fast::hash(packed) == self.crc { Ok(()) } else { Err(RecordError::Checksum) }
    }
}

/// The message of a picture.
pub fn picture(message: &[u8]) -> Result<Picture, RecordError> {
    PICTURE.check(message, 16)?;
    Ok(Picture::decode(message)?)
}

/// The message of events.
pub fn events(message: &[u8]) -> Result<Events, RecordError> {
    EVENTS.check(message, MAX_EVENT_MESSAGES)?;
    Ok(Events::decode(message)?)
}

/// Whether so many events fit into one record, with all that may belong to each.
pub fn fits(events: usize) -> bool {
    events <= MAX_EVENT_MESSAGES / 16
}

/// The bytes of a message.
pub fn encoded(message: &impl Message) -> Vec<u8> {
    message.encode_to_vec()
}

const PICTURE: Shape = Shape { name: "Picture", required: &[], children: &[(2, &leaf("Status"))] };
const EVENTS: Shape = Shape { name: "Events", required: &[], children: &[(1, &EVENT)] };
const EVENT: Shape = Shape {
    name: "Event",
    required: &[],
    children: &[
        (3, &ACTOR),
        (4, &leaf("Context")),
        (5, &leaf("Context")),
        (6, &FAILURE),
        (7, &leaf("Destroyed")),
        (10, &Shape { name: "Dying", required: &["of"], children: &[(1, &leaf("Awaited"))] }),
        (11, &leaf("Gone")),
        (14, &SUBMIT_FAILURE),
        (15, &Shape { name: "Growth", required: &["growing"], children: &[(1, &GROWING)] }),
    ],
};
const ACTOR: Shape = Shape { name: "Actor", required: &[], children: &[(4, &leaf("Owner"))] };
const FAILURE: Shape = Shape { name: "Failure", required: &[], children: &[(6, &HOLDER)] };
const HOLDER: Shape = Shape { name: "Holder", required: &[], children: &[(3, &leaf("Owner"))] };
const SUBMIT_FAILURE: Shape =
    Shape { name: "SubmitFailure", required: &[], children: &[(4, &leaf("Arguments")), (5, &leaf("Cause"))] };
const GROWING: Shape = Shape {
    name: "Growing",
    required: &["owner", "since"],
    children: &[(1, &HOLDER), (2, &leaf("Sample")), (4, &leaf("Rate"))],
};

const fn leaf(name: &'static str) -> Shape {
    Shape { name, required: &[], children: &[] }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Check that what is written is read, and that any damage to what stands before a message is seen.
    #[test]
    fn heads() {
        assert_eq!(check_head(&head()), Ok(()));
        assert_eq!(check_head(b"\x89aioev\r\n\x01\0\0\0\0\0\0\0"), Err(RecordError::NotARecording));
        assert_eq!(check_head(&head()[..15]), Err(RecordError::NotARecording));
        let mut later = head();
        later[8] = 2;
        assert_eq!(check_head(&later), Err(RecordError::Version(2)));
        for kind in [Kind::Whole, Kind::Changed, Kind::Events, Kind::Other(9)] {
            let bytes = record(kind, u64::MAX - 1, 77, b"packed").unwrap();
            let head = record_head(&bytes).unwrap();
            assert_eq!((head.kind, head.unix_ns, head.packed, head.unpacked), (kind, u64::MAX - 1, 6, 77));
            head.check(b"packed").unwrap();
            assert_eq!(head.check(b"Packed"), Err(RecordError::Checksum));
            for at in 0..RECORD_HEAD_LEN {
                let mut damaged = bytes.clone();
                damaged[at] ^= 0x10;
                assert_eq!(record_head(&damaged), None, "{at}");
                assert_eq!(record_head(&bytes[..at]), None, "{at}");
            }
        }
        assert!(record(Kind::Whole, 0, MAX_MESSAGE_LEN + 1, b"").is_err());
    }

    proptest! {
        /// Check that no bytes end the program.
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            let _ = (check_head(&bytes), record_head(&bytes), picture(&bytes), events(&bytes));
        }
    }

    /// Check that a short message that stands for very many events is refused before any of them is made.
    #[test]
    fn too_many() {
        let bomb = [0x0a, 0].repeat(MAX_EVENT_MESSAGES);
        assert_eq!(events(&bomb), Err(ShapeError::TooMany(MAX_EVENT_MESSAGES).into()));
        assert!(events(&[0x0a, 0].repeat(MAX_EVENT_MESSAGES / 16)).is_ok());
        // Parts of events count as well, and whatever is in them.
        for part in [vec![0x32, 2, 0x32, 0], vec![0x72, 2, 0x22, 0], vec![0x7a, 4, 0x0a, 2, 0x0a, 0]] {
            let parts = part.repeat(MAX_EVENT_MESSAGES / 2);
            let mut bomb = vec![0x0a];
            prost::encoding::encode_varint(parts.len().try_into().unwrap(), &mut bomb);
            bomb.extend(parts);
            assert!(events(&bomb).is_err());
        }
    }

    /// Check that a status takes no more memory than its bytes: nothing in it repeats, also not what an earlier version wrote there.
    #[test]
    fn too_many_in_a_status() {
        let parts = [0x32, 0].repeat(1 << 20);
        let mut bomb = vec![0x12];
        prost::encoding::encode_varint(parts.len().try_into().unwrap(), &mut bomb);
        bomb.extend(parts);
        let status = picture(&bomb).unwrap().status.unwrap();
        assert_eq!(status, crate::schema::recording::Status::default());
        assert!(size_of_val(&status) < 64, "nothing that grows");
        assert!(picture(&[0x12, 0].repeat(20)).is_err());
    }
}
