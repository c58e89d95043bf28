//! The only bridge between the model and the file formats.

#![forbid(unsafe_code)]
#![warn(unreachable_pub)]

pub mod amendment;
mod bytes;
mod evidence;
mod image;
pub mod recording;
mod stored;

pub use crate::bytes::{
    Document, FileError, document_from_bytes, evidence_from_bytes, evidence_to_bytes, image_to_bytes,
};
pub use crate::evidence::{evidence_from_proto, evidence_to_proto};
pub use crate::image::{mm_entry, mm_image};
pub use crate::stored::ConvertError;
pub use aioinspect_model::image::AioRing;
pub use aioinspect_proto::pagemap;

#[cfg(test)]
mod tests;
