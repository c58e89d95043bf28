//! Pointers as numbers.

use core::ptr;

/// Stores a pointer that the verifier would not let us calculate with, and reads it back as a number. `through`: of a map value.
#[inline(always)]
pub fn as_number<T>(through: &mut u64, pointer: *const T) -> u64 {
    let through = &raw mut *through;
    // SAFETY: live memory of a pointer's size; volatile, so that the compiler keeps the way through it.
    unsafe {
        ptr::write_volatile(through.cast::<*const T>(), pointer);
        let number = ptr::read_volatile(through);
        ptr::write_volatile(through, 0);
        number
    }
}
