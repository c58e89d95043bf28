//! The types of the kernel that runs, found and remembered.

pub(crate) mod cache;
pub mod read;
pub mod vmlinux;
