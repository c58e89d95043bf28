//! The eBPF programs, all iterators: `census` (every AIO context), `waits` (those that somebody waits for, which are in no table) and `rings`
//! (every ring mapping).
//!
//! They know no struct offset: [`constants`] are filled in by userspace from BTF and are constants to the verifier.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "BPF helpers and kernel memory are reached through raw pointers only")]
#![expect(
    clippy::inline_always,
    reason = "a function that is not inlined is a subprogram, with its own stack and its own verification"
)]
#![expect(
    clippy::cast_possible_truncation,
    reason = "indices come from loops whose bounds are u32; sizes are of types"
)]
#![expect(clippy::verbose_bit_mask, reason = "the mask is two flags of percpu_count_ptr, not a power of two")]

mod census;
mod constants;
mod context;
mod ending;
mod here;
mod kernel;
mod maps;
mod percpu;
mod pointer;
mod reader;
#[expect(dead_code, reason = "the programs of a watch ask about the thread that runs, too")]
mod registers;
mod rings;
mod table;
mod waits;

/// The object is Dual MIT/GPL: probe_read_kernel and friends are GPL-only helpers.
// SAFETY: the name of the section is the loader's, the name of the symbol nobody else's.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
