//! Readers of what the kernel says in text and in types, and of what container runtimes keep: pure, from bytes to values.

#![forbid(unsafe_code)]
#![warn(unreachable_pub)]

pub mod btf;
pub mod docker;
pub mod kernel;
pub mod oci;
pub mod passwd;
pub mod podman;
pub mod proc;
