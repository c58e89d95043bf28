//! Bad input and bad places, each with its exit code: one clear line, no result, no harm, never a panic.
//!
//! Runs the built programs; most of it needs root. Run by `cargo xtask test`.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

mod arguments;
mod denied;
mod doctor;
mod evidence;
mod garbage;
mod help;
mod images;
mod kernel;
mod lockdown;
mod names;
mod places;
mod privileges;
mod processes;
mod refused;
mod sandbox;
mod streams;
mod terminal;
