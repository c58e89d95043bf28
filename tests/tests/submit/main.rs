//! The counts of io_submit on the running kernel: each test on every hook that the kernel takes.
//!
//! Needs root; run by `cargo xtask test`, also in virtual machines, which have hooks that other kernels lack.

#[cfg(test)]
mod counts;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod hooks;
#[cfg(test)]
mod room;
