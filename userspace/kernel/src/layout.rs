//! The types of the kernel that runs, found and remembered.

pub mod cache;
pub mod read;
pub mod vmlinux;
