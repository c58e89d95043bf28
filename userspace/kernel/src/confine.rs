//! Giving up what is needed no more.

pub mod confinement;
mod syscalls;
pub mod without_privileges;
