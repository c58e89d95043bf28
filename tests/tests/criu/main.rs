//! Real CRIU dumps and restores a target, alone and with `aioinspect criu-hook` as its action script: what becomes of each request, and of fs.aio-nr.
//!
//! Needs root and a CRIU that runs on this kernel: `cargo xtask setup --tests` fetches one. Where there is none, or no slow disk, each case is
//! skipped with the reason. What was seen is in a table of docs/criu.md, row by row: `AIOINSPECT_BLESS=1` writes them anew.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

mod bed;
mod containers;
mod contexts;
mod document;
mod faults;
mod host_network;
mod image;
mod in_flight;
mod loads;
mod outcome;
