//! What the programs share: how they read kernel memory and map values, and who is who.
//!
//! They know no struct offset but those of the user's registers, which never change: [`constants`]
//! are filled in by userspace from BTF and are constants to the verifier.
#![expect(
    clippy::inline_always,
    reason = "a function that is not inlined is a subprogram, with its own stack and its own verification"
)]
#![expect(
    clippy::cast_possible_truncation,
    reason = "numbers are cut to the size of what was read; sizes are of types"
)]
#![expect(clippy::similar_names, reason = "tgid and tid are the kernel's names")]

#[cfg(feature = "cgroups")]
pub mod cgroups;
pub mod constants;
pub mod here;
pub mod iterator;
pub mod memory;
pub mod object;
pub mod pointer;
pub mod registers;
pub mod value;
pub mod who;
