//! Framing of an evidence file:
//!
//! ```text
//! 8 bytes             89 61 69 6f 65 76 0d 0a ("\x89aioev\r\n": not text, and damaged by a text transfer)
//! u32 LE 1            version of the message: package aioinspect.evidence.v1
//! u32 LE size         of the one message
//! size bytes          Evidence, protobuf
//! end of file
//! ```

use prost::Message;

use crate::image::word;
use crate::schema::evidence::Evidence;
use crate::shape::{Shape, ShapeError};

/// First bytes of every evidence file.
pub const MAGIC: [u8; 8] = *b"\x89aioev\r\n";
/// The version that is written, and the only one that is read.
pub const VERSION: u32 = 1;
/// Largest message, in bytes; 10,000 contexts looked at twice take about 5 MiB.
pub const MAX_MESSAGE_LEN: usize = 64 << 20;
/// Most messages, nested ones included.
pub const MAX_MESSAGES: usize = 1 << 21;

const HEADER_LEN: usize = 16;

/// Why bytes are not an evidence file, or a message cannot become one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// The first bytes are not those of evidence.
    #[error("not an evidence file")]
    NotEvidence,
    /// Written by another version.
    #[error("evidence of version {0}; this program reads version 1")]
    Version(u32),
    /// The file ends too early.
    #[error("truncated: {have} bytes where {want} are needed")]
    Truncated {
        /// Bytes needed.
        want: usize,
        /// Bytes there.
        have: usize,
    },
    /// Something follows the message.
    #[error("{0} bytes follow the message")]
    TrailingBytes(usize),
    /// The message is larger than MAX_MESSAGE_LEN.
    #[error("a message of {0} bytes is larger than the 64 MiB of an evidence file")]
    TooLarge(usize),
    /// The message is no protobuf, or has more than MAX_MESSAGES parts.
    #[error("malformed message: {0}")]
    Shape(#[from] ShapeError),
    /// A field has another type than the schema's.
    #[error("malformed message: {0}")]
    Decode(#[from] prost::DecodeError),
}

/// Decodes an evidence file.
pub fn decode(bytes: &[u8]) -> Result<Evidence, EvidenceError> {
    let truncated = |want| EvidenceError::Truncated { want, have: bytes.len() };
    match bytes.get(..MAGIC.len()) {
        Some(magic) if magic == MAGIC => {}
        None if MAGIC.starts_with(bytes) => return Err(truncated(HEADER_LEN)),
        Some(_) | None => return Err(EvidenceError::NotEvidence),
    }
    let version = word(bytes, 8).ok_or(truncated(HEADER_LEN))?;
    if version != VERSION {
        return Err(EvidenceError::Version(version));
    }
    let size = word(bytes, 12).ok_or(truncated(HEADER_LEN))?;
    let size = usize::try_from(size).map_err(|_| EvidenceError::TooLarge(usize::MAX))?;
    if size > MAX_MESSAGE_LEN {
        return Err(EvidenceError::TooLarge(size));
    }
    let end = HEADER_LEN + size;
    let message = bytes.get(HEADER_LEN..end).ok_or(truncated(end))?;
    if bytes.len() > end {
        return Err(EvidenceError::TrailingBytes(bytes.len() - end));
    }
    EVIDENCE.check(message, MAX_MESSAGES)?;
    Ok(Evidence::decode(message)?)
}

/// Encodes an evidence file; what it gives, [`decode`] takes.
pub fn encode(evidence: &Evidence) -> Result<Vec<u8>, EvidenceError> {
    let len = evidence.encoded_len();
    if len > MAX_MESSAGE_LEN {
        return Err(EvidenceError::TooLarge(len));
    }
    let size = u32::try_from(len).map_err(|_| EvidenceError::TooLarge(len))?;
    let message = evidence.encode_to_vec();
    EVIDENCE.check(&message, MAX_MESSAGES)?;
    let mut bytes = Vec::with_capacity(HEADER_LEN + len);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&size.to_le_bytes());
    bytes.extend_from_slice(&message);
    Ok(bytes)
}

const EVIDENCE: Shape = Shape {
    name: "Evidence",
    required: &[],
    children: &[(1, &SYSTEM_FACTS), (4, &SPACE), (5, &leaf("Lack"))],
};
const SYSTEM_FACTS: Shape = Shape { name: "SystemFacts", required: &[], children: &[(8, &leaf("CpuRange"))] };
const SPACE: Shape = Shape {
    name: "AddressSpace",
    required: &[],
    children: &[(2, &leaf("Process")), (3, &LOOK), (4, &IMAGE_FACTS)],
};
const LOOK: Shape = Shape {
    name: "Look",
    required: &[],
    children: &[
        (2, &KERNEL_WORD),
        (3, &leaf("RingMapping")),
        (6, &leaf("HeaderReading")),
        (8, &KERNEL_WORD),
        (9, &leaf("Sharer")),
    ],
};
const KERNEL_WORD: Shape =
    Shape { name: "KernelWord", required: &[], children: &[(3, &KIOCTX), (4, &leaf("TaskFact"))] };
const KIOCTX: Shape = Shape { name: "Kioctx", required: &[], children: &[(19, &leaf("CpuCredits"))] };
const IMAGE_FACTS: Shape = Shape { name: "ImageFacts", required: &[], children: &[(3, &leaf("Vma"))] };

const fn leaf(name: &'static str) -> Shape {
    Shape { name, required: &[], children: &[] }
}
