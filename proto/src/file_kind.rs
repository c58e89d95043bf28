//! What a file is, by its first bytes.

use crate::evidence;
use crate::image::{IMAGE_MAGIC, MM_MAGIC, SERVICE_MAGIC, word};

/// What a file claims to be; decoding it may still fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// CRIU's `mm-PID.img`.
    MmImage,
    /// An evidence file of this program.
    Evidence,
    /// An image of CRIU that is not of the mm kind; its magic.
    OtherCriuImage(u32),
    /// Something else.
    Unknown,
}

/// Tells the kind of a file from its first 8 bytes; more may be given.
pub fn file_kind(bytes: &[u8]) -> FileKind {
    if bytes.starts_with(&evidence::MAGIC) {
        return FileKind::Evidence;
    }
    match (word(bytes, 0), word(bytes, 4)) {
        (Some(IMAGE_MAGIC), Some(MM_MAGIC)) => FileKind::MmImage,
        (Some(IMAGE_MAGIC | SERVICE_MAGIC), Some(other)) => FileKind::OtherCriuImage(other),
        _ => FileKind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told() {
        assert_eq!(file_kind(b"\x19CVT (IW...."), FileKind::MmImage);
        assert_eq!(file_kind(b"\x19CVT (IX"), FileKind::OtherCriuImage(0x5849_2820));
        assert_eq!(file_kind(b"\x40\x59\x10\x55\x20\x28\x49\x57"), FileKind::OtherCriuImage(MM_MAGIC));
        assert_eq!(file_kind(b"\x89aioev\r\n\x01\0\0\0"), FileKind::Evidence);
        for other in [&b""[..], b"\x19CVT", b"\x19CVT (I", b"\x89aioev\n\n", b"\x7fELF\x02\x01\x01\0"] {
            assert_eq!(file_kind(other), FileKind::Unknown);
        }
    }
}
