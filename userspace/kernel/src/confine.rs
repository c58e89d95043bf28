//! Giving up what is needed no more.

pub mod confinement;
pub mod syscalls;
pub mod without_privileges;
