//! The one global: where this kernel keeps what the programs read, and what it offers.

use aioinspect_ebpf::{Offsets, Place};

/// Filled in before loading; read-only and frozen, so every member is a constant to the verifier.
#[unsafe(no_mangle)]
pub static OFFSETS: Offsets = EMPTY;

const EMPTY: Offsets = {
    // SAFETY: Offsets is made of u32 and u64 only, for which zero bytes are a value.
    unsafe { core::mem::zeroed() }
};

/// Reads a member of [`OFFSETS`] as it was loaded, not as it was compiled.
#[inline(always)]
pub fn constant<T: Copy>(member: &'static T) -> T {
    // SAFETY: a reference to a static is valid; volatile, because the loader changed it after compilation.
    unsafe { core::ptr::read_volatile(member) }
}

/// The same for the place of a struct's member.
#[inline(always)]
pub fn place_of(member: &'static u64) -> Place {
    Place(constant(member))
}

/// Whether the kernel offers what that bit of [`aioinspect_ebpf::way`] stands for.
#[inline(always)]
pub fn has(way: u32) -> bool {
    constant(&OFFSETS.ways) & way != 0
}

/// One place of [`OFFSETS`].
#[macro_export]
macro_rules! place {
    ($member:ident) => {
        $crate::constants::place_of(&$crate::constants::OFFSETS.$member)
    };
}

/// One of the numbers of [`OFFSETS`] that are no places.
#[macro_export]
macro_rules! number {
    ($member:ident) => {
        $crate::constants::constant(&$crate::constants::OFFSETS.$member)
    };
}
