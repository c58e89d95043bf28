//! File formats: CRIU's mm image, aioinspect's evidence file and its recordings. Bytes in, typed messages or typed errors out.

pub mod crit;
pub mod evidence;
pub mod file_kind;
pub mod image;
pub mod pagemap;
pub mod recording;
pub mod schema;
pub mod splice;

mod fields;
mod shape;
