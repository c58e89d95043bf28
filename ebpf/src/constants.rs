//! The one global: where this kernel keeps what the programs read.

use aioinspect_ebpf::Offsets;

/// Filled in before loading; read-only and frozen, so every member is a constant to the verifier.
#[unsafe(no_mangle)]
pub static OFFSETS: Offsets = EMPTY;

const EMPTY: Offsets = {
    // SAFETY: Offsets is made of u32 and u64 only, for which zero bytes are a value.
    unsafe { core::mem::zeroed() }
};

/// Reads a member of [`OFFSETS`] as it was loaded, not as it was compiled.
#[inline(always)]
pub fn constant(member: &'static u32) -> u32 {
    // SAFETY: a reference to a static is valid; volatile, because the loader changed it after compilation.
    unsafe { core::ptr::read_volatile(member) }
}

/// One member of [`OFFSETS`].
macro_rules! offset {
    ($member:ident) => {
        $crate::constants::constant(&$crate::constants::OFFSETS.$member)
    };
}
pub(crate) use offset;
