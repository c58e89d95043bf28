//! The screen of `watch` in a real terminal: tmux plays the terminal and the person at it.
//!
//! Frames are compared with those in `golden/`; `AIOINSPECT_BLESS=1` writes them anew: read the difference before keeping it.
//! Needs no privileges and no eBPF, but tmux. Run by `cargo xtask test`.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[cfg(test)]
mod ages;
#[path = "../golden/blessed.rs"]
#[expect(dead_code, reason = "another suite's helper, of which this one needs a part")]
mod blessed;
mod endings;
mod frames;
mod jobs;
mod owners;
mod pane;
mod replayed;
mod serving;
