//! /proc and memory of other processes.

pub(crate) mod barrier;
pub(crate) mod cgroups;
pub mod details;
pub(crate) mod error;
pub mod files;
pub mod group;
pub mod held;
pub(crate) mod map_query;
pub mod memory;
pub(crate) mod other_io;
