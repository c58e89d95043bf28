//! The eBPF programs that count io_submit: for each process, its calls, what they took and how they failed.
//!
//! A program runs at the end of each call only: the user's registers still hold the arguments there, so that nothing is kept between a
//! beginning and an end, and no call is half seen.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![expect(unsafe_code, reason = "BPF helpers and kernel memory are reached through raw pointers only")]
#![expect(
    clippy::inline_always,
    reason = "a function that is not inlined is a subprogram, with its own stack and its own verification"
)]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "offsets are of types; answers of system calls are registers"
)]
#![expect(
    clippy::needless_borrows_for_generic_args,
    reason = "helpers take the address of a key: no copy is made for it"
)]

#[path = "../cgroups.rs"]
mod cgroups;
#[path = "../constants.rs"]
mod constants;
mod count;
mod hooks;
#[path = "../kernel.rs"]
mod kernel;
mod learn;
mod maps;
mod process;
#[expect(dead_code, reason = "the other programs ask about the argument of a thread that waits, too")]
#[path = "../registers.rs"]
mod registers;

/// The object is Dual MIT/GPL: probe_read_kernel and friends are GPL-only helpers.
// SAFETY: the name of the section is the loader's, the name of the symbol nobody else's.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
