//! The command aioinspect as a library: its arguments, and a file a verb with the order of its steps.

#![forbid(unsafe_code)]
#![warn(unreachable_pub)]

pub mod cli;
pub mod commands;
