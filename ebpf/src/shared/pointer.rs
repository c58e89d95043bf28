//! Pointers as numbers.

use core::ptr;

use crate::shared::value::Value;

/// Stores a pointer that the verifier would not let us calculate with, and reads it back as a
/// number. `through`: of a map value.
#[inline(always)]
#[expect(clippy::not_unsafe_ptr_arg_deref, reason = "the pointer is stored, not followed")]
pub fn as_number<T>(through: Value<u64>, pointer: *const T) -> u64 {
    // SAFETY: live memory of a pointer's size; volatile, so that the compiler keeps the way
    // through it.
    unsafe { ptr::write_volatile(through.as_ptr().cast::<*const T>(), pointer) };
    let number = through.get();
    through.set(0);
    number
}
