//! Every system call, and all unsafe: the two witnesses are heard here, and files are written.

#![warn(unreachable_pub)]

pub mod bpf;
pub mod census;
pub mod confine;
pub mod freeze;
pub mod host;
pub mod layout;
pub mod look;
pub mod proc;
pub mod trace;
pub mod watch;
