//! Reading kernel memory, by address and place.
//!
//! Two ways, and which one is a constant to the verifier. Where the kernel has `bpf_rdonly_cast`
//! (since 6.2, with its JIT), a number becomes an address that can be loaded from: a few
//! instructions, no call, and under lockdown=confidentiality too. Elsewhere it is the helper
//! `bpf_probe_read_kernel`. In either case what cannot be read is 0.

use core::ffi::c_void;
use core::mem::transmute;

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;

use crate::shared::constants::has;
use crate::{CAST_CALL, Place, number, way};

/// A plain number of the kernel's.
pub trait Word: Copy {
    /// Reads it at its place.
    fn read(base: u64, place: Place) -> Self;
}
impl Word for u64 {
    #[inline(always)]
    fn read(base: u64, place: Place) -> Self {
        read_number(base, place.0)
    }
}
impl Word for i64 {
    #[inline(always)]
    fn read(base: u64, place: Place) -> Self {
        read_signed(base, place.0)
    }
}
impl Word for u32 {
    #[inline(always)]
    fn read(base: u64, place: Place) -> Self {
        read_number(base, place.0) as u32
    }
}

/// Reads a member at its place in the struct at `base`; 0 where this kernel has no such member.
#[inline(always)]
pub fn read<T: Word>(base: u64, place: Place) -> T {
    T::read(base, place)
}

/// Reads 8 bytes.
#[inline(always)]
pub fn read_8(at: u64) -> u64 {
    read_number(at, Place::whole(0, 8).0)
}

// Functions of their own with global names: the verifier checks each once, and not again at each of
// its calls.
// SAFETY: nobody else has functions of these names.

/// The number at that place.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn read_number(base: u64, place: u64) -> u64 {
    let place = Place(place);
    let at = base.wrapping_add(u64::from(place.offset()));
    let bytes = match place.size() {
        8 => word(at),
        4 => read_4(at),
        2 => read_2(at),
        1 => read_1(at),
        _ => 0,
    };
    place.number(bytes)
}

/// The same, with its sign.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn read_signed(base: u64, place: u64) -> i64 {
    Place(place).signed(read_number(base, place))
}

/// 8 bytes.
#[inline(always)]
pub fn word(at: u64) -> u64 {
    if has(way::CAST) {
        // SAFETY: the verifier knows what the cast makes of the number.
        return unsafe { cast(at, number!(word8_type), number!(word8_at)).cast::<u64>().read_volatile() };
    }
    helped::<8>(at)
}

/// 4 bytes.
#[inline(always)]
pub fn read_4(at: u64) -> u64 {
    if has(way::CAST) {
        // SAFETY: as above.
        let word = unsafe { cast(at, number!(word4_type), number!(word4_at)).cast::<u32>().read_volatile() };
        return u64::from(word);
    }
    helped::<4>(at)
}

#[inline(always)]
fn read_2(at: u64) -> u64 {
    if has(way::CAST) {
        return read_1(at) | read_1(at.wrapping_add(1)) << 8;
    }
    helped::<2>(at)
}

#[inline(always)]
fn read_1(at: u64) -> u64 {
    if has(way::CAST) {
        // SAFETY: as above.
        let word = unsafe { cast(at, number!(word1_type), number!(word1_at)).cast::<u8>().read_volatile() };
        return u64::from(word);
    }
    helped::<1>(at)
}

/// A pointer to the member at offset `within` of a struct of that type, if such a struct lay so
/// that the member is at `at`.
#[inline(always)]
fn cast(at: u64, of_type: u32, within: u32) -> *const c_void {
    // SAFETY: a call of a constant number is a helper call to the compiler; userspace puts the
    // kernel's function there.
    let cast: unsafe extern "C" fn(u64, u32) -> *const c_void =
        unsafe { transmute::<usize, _>(CAST_CALL as usize) };
    // SAFETY: the function gives its argument back.
    unsafe { cast(at.wrapping_sub(u64::from(within)), of_type).byte_add(within as usize) }
}

/// `N` bytes with zeroes above them.
#[inline(always)]
fn helped<const N: u32>(at: u64) -> u64 {
    let mut bytes = 0u64;
    // SAFETY: the destination is a live local of at least this size; the helper checks the source,
    // and leaves zeroes where that faults.
    unsafe { bpf_probe_read_kernel((&raw mut bytes).cast(), N, at as *const _) };
    bytes
}

/// The 16 bytes of a name.
#[inline(always)]
pub fn read_comm(base: u64, place: Place) -> (u64, u64) {
    if !place.is_present() {
        return (0, 0);
    }
    let at = base.wrapping_add(u64::from(place.offset()));
    (read_8(at), read_8(at.wrapping_add(8)))
}
