//! `watch` on the running kernel: each test on every hook that the kernel takes.
//!
//! Needs root; run by `cargo xtask test`, also in virtual machines, which have hooks that other kernels lack.

#[cfg(test)]
mod calls;
#[cfg(test)]
mod dying;
#[cfg(test)]
mod ends;
#[cfg(test)]
mod folded;
#[cfg(test)]
mod growth;
#[cfg(test)]
mod hooks;
#[cfg(test)]
mod judged;
#[cfg(test)]
mod owners;
#[cfg(test)]
mod places;
#[cfg(test)]
mod races;
#[cfg(test)]
mod recorded;
#[cfg(test)]
mod storm;
#[cfg(test)]
mod told;
