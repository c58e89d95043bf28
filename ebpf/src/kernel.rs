//! Reading kernel memory by offset.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;

/// A plain number of the kernel's.
pub trait Word: Copy {
    /// What stands for it when it cannot be read.
    const ZERO: Self;
}
impl Word for u64 {
    const ZERO: Self = 0;
}
impl Word for i64 {
    const ZERO: Self = 0;
}
impl Word for u32 {
    const ZERO: Self = 0;
}
impl Word for i32 {
    const ZERO: Self = 0;
}
impl<const N: usize> Word for [u64; N] {
    const ZERO: Self = [0; N];
}

/// Reads one word at `base + offset`, zero if that faults.
#[inline(always)]
pub fn read<T: Word>(base: u64, offset: u32) -> T {
    let mut value = T::ZERO;
    // SAFETY: the destination is a live local of exactly this size; the helper checks the source.
    unsafe {
        bpf_probe_read_kernel(
            (&raw mut value).cast(),
            size_of::<T>() as u32,
            (base.wrapping_add(u64::from(offset))) as *const _,
        );
    }
    value
}

/// Loads one word of a kernel object through a pointer whose type the verifier knows: one instruction, no helper. A pointer that
/// faults reads as zero.
///
/// # Safety
///
/// `object` must come from the program's context, or from such a load: the verifier refuses anything else.
#[inline(always)]
pub unsafe fn load<T: Word, O>(object: *const O, offset: u32) -> T {
    // SAFETY: by the contract above; the verifier checks the offset against the type.
    unsafe { core::ptr::read_volatile(object.byte_add(offset as usize).cast::<T>()) }
}

/// Loads a pointer member in the same way.
///
/// # Safety
///
/// As for [`load`].
#[inline(always)]
pub unsafe fn follow<O>(object: *const O, offset: u32) -> *const core::ffi::c_void {
    // SAFETY: by the contract above.
    unsafe { core::ptr::read_volatile(object.byte_add(offset as usize).cast()) }
}
