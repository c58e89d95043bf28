//! The only bridge between the model and the file formats.

mod bytes;
mod facts;
mod image;
pub mod oci;
mod read;
mod write;

#[cfg(test)]
mod tests;

pub use crate::model::image::AioRing;
pub use bytes::{
    Document, FileError, document_from_bytes, evidence_from_bytes, evidence_to_bytes, image_to_bytes,
};
pub use image::{AUXV_WORDS, mm_entry, mm_image};
pub use read::{ConvertError, evidence_from_proto};
pub use write::evidence_to_proto;
