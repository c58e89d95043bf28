//! The only bridge between the model and the file formats.

#![forbid(unsafe_code)]
#![warn(unreachable_pub)]

mod bytes;
mod facts;
mod image;
mod read;
mod write;

pub use crate::bytes::{
    Document, FileError, document_from_bytes, evidence_from_bytes, evidence_to_bytes, image_to_bytes,
};
pub use crate::image::{AUXV_WORDS, mm_entry, mm_image};
pub use crate::read::{ConvertError, evidence_from_proto};
pub use crate::write::evidence_to_proto;
pub use aioinspect_model::image::AioRing;

#[cfg(test)]
mod tests;
