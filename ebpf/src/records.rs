//! The records, a file for the programs that write them.

pub(crate) mod census;
pub(crate) mod cgroups;
pub(crate) mod submit;
pub(crate) mod trace;
