//! The eBPF programs that count io_submit: for each process, its calls, what they took and how they
//! failed.
//!
//! A program runs at the end of each call only: the user's registers still hold the arguments
//! there, so that nothing is kept between a beginning and an end, and no call is half seen.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
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
    reason = "answers of system calls are registers"
)]
#![expect(
    clippy::needless_borrows_for_generic_args,
    reason = "helpers take the address of a key: no copy is made for it"
)]

mod count;
mod hooks;
mod learn;
mod maps;
mod process;
