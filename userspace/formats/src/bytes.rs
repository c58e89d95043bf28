//! Whole files: bytes in, model out, and back. Who calls these needs to know nothing of protobuf.

use aioinspect_proto::evidence::EvidenceError;
use aioinspect_proto::file_kind::{FileKind, file_kind};
use aioinspect_proto::image::ImageError;
use aioinspect_proto::{crit, evidence, image};
use serde_json::Value;

use crate::{ConvertError, evidence_from_proto, evidence_to_proto, mm_entry, mm_image};
use aioinspect_model::architecture::Architecture;
use aioinspect_model::evidence::{Evidence, ImageFacts};
use aioinspect_model::image::{AioRing, ImageMm, MmImage};

/// Why a file cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// Not an mm image, or a damaged one.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Not an evidence file, or a damaged one.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// An evidence file with content that this version does not know.
    #[error(transparent)]
    Convert(#[from] ConvertError),
    /// A file of another kind.
    #[error("neither an mm image of CRIU nor an evidence file")]
    Unknown,
}

/// What was found in a file.
#[derive(Clone, Debug, PartialEq)]
pub enum Document {
    /// An mm image, and the same as crit prints it.
    Image(MmImage, Value),
    /// An evidence file's content.
    Evidence(Evidence),
}

/// Reads a file of either kind.
pub fn document_from_bytes(bytes: &[u8]) -> Result<Document, FileError> {
    match file_kind(bytes) {
        FileKind::MmImage => {
            let entry = image::decode(bytes)?;
            Ok(Document::Image(mm_image(&entry), crit::image_json(&entry)))
        }
        FileKind::Evidence => Ok(Document::Evidence(evidence_from_bytes(bytes)?)),
        FileKind::OtherCriuImage(magic) => Err(ImageError::OtherKind(magic).into()),
        FileKind::Unknown => Err(FileError::Unknown),
    }
}

/// Reads an evidence file.
pub fn evidence_from_bytes(bytes: &[u8]) -> Result<Evidence, FileError> {
    Ok(evidence_from_proto(evidence::decode(bytes)?)?)
}

/// The bytes of an evidence file.
pub fn evidence_to_bytes(evidence: &Evidence) -> Result<Vec<u8>, FileError> {
    Ok(evidence::encode(&evidence_to_proto(evidence))?)
}

/// The bytes of `mm-PID.img`.
pub fn image_to_bytes(
    architecture: Architecture,
    facts: &ImageFacts,
    mm: ImageMm,
    aios: &[AioRing],
) -> Result<Vec<u8>, FileError> {
    Ok(image::encode(&mm_entry(architecture, facts, mm, aios))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &[u8] = include_bytes!("../../../proto/tests/fixtures/criu-4.2-mm-16-ctx.img");

    #[test]
    fn either_kind_is_read() {
        let Document::Image(image, crit) = document_from_bytes(SAMPLE).unwrap() else { panic!("an image") };
        assert_eq!(image.aios.len(), 16);
        assert_eq!(image.vmas.iter().filter(|vma| vma.is_ring).count(), 16);
        assert_eq!(crit["entries"][0]["aios"][0]["nr_req"], 126);
        let bytes = evidence_to_bytes(&Evidence::default()).unwrap();
        assert_eq!(document_from_bytes(&bytes), Ok(Document::Evidence(Evidence::default())));
    }

    #[test]
    fn neither_kind_is_named() {
        let says = |bytes: &[u8]| document_from_bytes(bytes).unwrap_err().to_string();
        assert_eq!(says(b""), "neither an mm image of CRIU nor an evidence file");
        assert_eq!(says(b"\x7fELF\x02\x01\x01\0"), "neither an mm image of CRIU nor an evidence file");
        assert!(says(b"\x19CVT\x01\x02\x03\x04").contains("not of the mm kind: its magic is 0x04030201"));
        assert_eq!(says(&SAMPLE[..100]), format!("truncated: 100 bytes where {} are needed", SAMPLE.len()));
    }
}
