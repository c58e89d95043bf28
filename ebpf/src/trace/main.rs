//! The eBPF programs of `watch`: they see io_setup and io_destroy, keep the map of contexts, and tell what happens.
//!
//! They know no struct offset but those of the user's registers, which never change: [`constants`] are filled in by
//! userspace from BTF and are constants to the verifier.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "BPF helpers and kernel memory are reached through raw pointers only")]
#![expect(
    clippy::inline_always,
    reason = "a function that is not inlined is a subprogram, with its own stack and its own verification"
)]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "indices come from loops whose bounds are u32; answers of system calls are registers"
)]
#![expect(
    clippy::needless_borrows_for_generic_args,
    reason = "helpers take the address of a key: no copy is made for it"
)]
#![expect(clippy::similar_names, reason = "tgid and tid are the kernel's names")]

mod calls;
#[path = "../cgroups.rs"]
mod cgroups;
#[path = "../constants.rs"]
mod constants;
mod ended;
mod heads;
mod hooks;
#[path = "../kernel.rs"]
mod kernel;
mod maps;
#[path = "../pointer.rs"]
mod pointer;
#[path = "../registers.rs"]
mod registers;
mod settle;
mod slots;
mod table;
mod who;

/// The object is Dual MIT/GPL: probe_read_kernel and friends are GPL-only helpers.
// SAFETY: the name of the section is the loader's, the name of the symbol nobody else's.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
