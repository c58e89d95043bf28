//! End to end, through the binary: real states of a real kernel in, exit code, words and JSON out.
//!
//! Needs root; run by `cargo xtask test`, also in virtual machines. Where a state has to be asked for hundreds of times, or held at an
//! instant, the library is asked instead.

#![expect(unsafe_code, reason = "one module calls io_setup itself")]

mod blocked;
mod dump;
mod filters;
mod findings;
mod forged;
mod ghosts;
mod history;
mod list;
mod nr_req;
mod processes;
mod replay;
mod restore;
mod shared;
mod splice;
mod tool;
mod unsettled;
mod wait;
