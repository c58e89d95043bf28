//! File formats: CRIU's mm image and aioinspect's evidence file. Bytes in, typed messages or typed errors out.

pub mod crit;
pub mod evidence;
pub mod file_kind;
pub mod image;
pub mod pagemap;
pub mod schema;
pub mod splice;

mod fields;
mod shape;
