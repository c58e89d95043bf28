//! Framing of CRIU's `mm-PID.img`:
//!
//! ```text
//! u32 LE 0x54564319   an image of CRIU 2.0 or later
//! u32 LE 0x57492820   of the mm kind
//! u32 LE size         of the one message
//! size bytes          mm_entry, protobuf
//! end of file
//! ```

use prost::Message;

use crate::schema::criu::MmEntry;
use crate::shape::{Shape, ShapeError};

/// First word of every image (`criu/include/magic.h`, IMG_COMMON_MAGIC).
pub const IMAGE_MAGIC: u32 = 0x5456_4319;
/// First word of service files: statistics, caches (IMG_SERVICE_MAGIC).
pub const SERVICE_MAGIC: u32 = 0x5510_5940;
/// Second word of an mm image (MM_MAGIC).
pub const MM_MAGIC: u32 = 0x5749_2820;
/// Largest message that is decoded, in bytes; an image with 65,530 mappings has about 2.5 MiB.
pub const MAX_MESSAGE_LEN: usize = 64 << 20;

const HEADER_LEN: usize = 12;
// An aio_ring_entry takes 8 bytes at least, a vma_entry 18: a real image cannot hold more.
const MAX_MESSAGES: usize = MAX_MESSAGE_LEN / 8;

/// Why bytes are not an mm image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// The first word is not CRIU's.
    #[error("not a CRIU image")]
    NotAnImage,
    /// An image of something else.
    #[error("a CRIU image, but not of the mm kind: its magic is {0:#010x}, not 0x57492820")]
    OtherKind(u32),
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
    #[error("a message of {0} bytes is larger than any mm image")]
    TooLarge(usize),
    /// The message is not an mm_entry.
    #[error("malformed message: {0}")]
    Shape(#[from] ShapeError),
    /// A field has another type than mm_entry's.
    #[error("malformed message: {0}")]
    Decode(#[from] prost::DecodeError),
}

/// Decodes an mm image. Fields that are not known are lost: use [`crate::splice`] to change an image.
pub fn decode(bytes: &[u8]) -> Result<MmEntry, ImageError> {
    let message = message(bytes)?;
    MM_ENTRY.check(message, MAX_MESSAGES)?;
    Ok(MmEntry::decode(message)?)
}

/// Encodes an mm image as CRIU would.
pub fn encode(entry: &MmEntry) -> Result<Vec<u8>, ImageError> {
    frame(&entry.encode_to_vec())
}

/// The message of an mm image, still encoded.
pub fn message(bytes: &[u8]) -> Result<&[u8], ImageError> {
    match word(bytes, 0) {
        Some(IMAGE_MAGIC) => {}
        None if IMAGE_MAGIC.to_le_bytes().starts_with(bytes) => {
            return Err(ImageError::Truncated { want: HEADER_LEN, have: bytes.len() });
        }
        Some(_) | None => return Err(ImageError::NotAnImage),
    }
    let truncated = |want| ImageError::Truncated { want, have: bytes.len() };
    let kind = word(bytes, 4).ok_or(truncated(HEADER_LEN))?;
    if kind != MM_MAGIC {
        return Err(ImageError::OtherKind(kind));
    }
    let size = word(bytes, 8).ok_or(truncated(HEADER_LEN))?;
    let size = usize::try_from(size).map_err(|_| ImageError::TooLarge(usize::MAX))?;
    if size > MAX_MESSAGE_LEN {
        return Err(ImageError::TooLarge(size));
    }
    let end = HEADER_LEN + size;
    let message = bytes.get(HEADER_LEN..end).ok_or(truncated(end))?;
    match bytes.len() - end {
        0 => Ok(message),
        rest => Err(ImageError::TrailingBytes(rest)),
    }
}

/// Puts the frame around an encoded mm_entry.
pub fn frame(message: &[u8]) -> Result<Vec<u8>, ImageError> {
    let too_large = ImageError::TooLarge(message.len());
    if message.len() > MAX_MESSAGE_LEN {
        return Err(too_large);
    }
    let size = u32::try_from(message.len()).map_err(|_| too_large)?;
    let mut bytes = Vec::with_capacity(HEADER_LEN + message.len());
    for word in [IMAGE_MAGIC, MM_MAGIC, size] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.extend_from_slice(message);
    Ok(bytes)
}

/// The little-endian word at byte `at`.
pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_le_bytes(*word))
}

/// What an mm_entry must have.
pub(crate) const MM_ENTRY: Shape = Shape {
    name: "mm_entry",
    required: &[
        "mm_start_code",
        "mm_end_code",
        "mm_start_data",
        "mm_end_data",
        "mm_start_stack",
        "mm_start_brk",
        "mm_brk",
        "mm_arg_start",
        "mm_arg_end",
        "mm_env_start",
        "mm_env_end",
        "exe_file_id",
    ],
    children: &[
        (
            14,
            &Shape {
                name: "vma_entry",
                required: &["start", "end", "pgoff", "shmid", "prot", "flags", "status", "fd"],
                children: &[],
            },
        ),
        (16, &Shape { name: "aio_ring_entry", required: &["id", "nr_req", "ring_len"], children: &[] }),
    ],
};
