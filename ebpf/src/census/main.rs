//! The eBPF programs of the census, all iterators: `census` (every AIO context), `waits` (those
//! that somebody waits for, which are in no table) and `rings` (every ring mapping).
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "programs and what the verifier checks apart have symbols")]
#![expect(
    clippy::inline_always,
    reason = "a function that is not inlined is a subprogram, with its own stack and its own verification"
)]
#![expect(
    clippy::cast_possible_truncation,
    reason = "indices come from loops whose bounds are u32; sizes are of types"
)]
#![expect(clippy::verbose_bit_mask, reason = "the mask is two flags of percpu_count_ptr, not a power of two")]

mod context;
mod control;
mod dying;
mod ending;
mod maps;
mod percpu;
mod rings;
mod stack;
mod table;
mod tasks;
mod waits;
