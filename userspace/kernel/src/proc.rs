//! /proc and memory of other processes.

pub mod barrier;
pub mod cgroups;
pub mod error;
pub mod files;
pub mod map_query;
pub mod memory;
pub mod other_io;
