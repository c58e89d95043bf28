//! First, do no harm: whatever happens to the target or to aioinspect meanwhile, the target runs on and no file is partial.
//!
//! Runs the built programs on fixtures of its own; needs root. Starts no other program, so that it runs in the bare
//! machines of `cargo xtask test vm` as well.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "helpers of tests fail and speak as tests do"
)]

mod asleep;
mod caught;
mod crowd;
mod killed;
mod limits;
mod traced;
mod vanishing;
mod victim;
