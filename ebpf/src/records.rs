//! The records, a file for the programs that write them.

pub mod census;
pub mod cgroups;
pub mod submit;
pub mod trace;
