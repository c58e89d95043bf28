//! The eBPF programs of `watch`: they see io_setup and io_destroy, keep the map of contexts, and
//! tell what happens.
#![no_std]
#![no_main]
#![expect(
    unsafe_code,
    reason = "BPF helpers and the arguments of hooks are reached through raw pointers only"
)]
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

mod calls;
mod ended;
mod heads;
mod hooks;
mod maps;
mod settle;
mod table;
mod traced;
