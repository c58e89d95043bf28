//! Values of maps: several functions, programs, CPUs and userspace hold the same one at a time.
//!
//! So no reference to one is ever made: the compiler would take what it stored or read through a
//! reference for what is still there, though a function that was called in between has written it.
//! Each access is one load or one store, in the order in which it is written here.

use core::ptr;

use aya_ebpf::maps::{Array, HashMap, PerCpuArray};

/// A map value, or a member of one: each record has a method for each of its members.
pub struct Value<T>(*mut T);

impl<T> Clone for Value<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Value<T> {}

impl<T> Value<T> {
    /// The element of an array at that index.
    #[inline(always)]
    pub fn of(array: &Array<T>, index: u32) -> Option<Self> {
        array.get_ptr_mut(index).map(Self)
    }

    /// The value that a map has under that key.
    #[inline(always)]
    pub fn under<K>(map: &HashMap<K, T>, key: &K) -> Option<Self> {
        map.get_ptr_mut(key).map(Self)
    }

    /// The element that this CPU has of an array of one element.
    #[inline(always)]
    pub fn of_this_cpu(array: &PerCpuArray<T>) -> Option<Self> {
        array.get_ptr_mut(0).map(Self)
    }

    /// A member of a map value.
    ///
    /// # Safety
    ///
    /// `pointer` must point to an aligned member of a value that a map gave out during this run.
    #[inline(always)]
    pub(crate) unsafe fn member(pointer: *mut T) -> Self {
        Self(pointer)
    }

    /// Where it is.
    #[inline(always)]
    pub fn as_ptr(self) -> *mut T {
        self.0
    }
}

impl<T: Copy> Value<T> {
    /// Reads it.
    #[inline(always)]
    pub fn get(self) -> T {
        // SAFETY: a map value is memory of its type for as long as the program runs.
        unsafe { ptr::read_volatile(self.0) }
    }

    /// Writes it.
    #[inline(always)]
    pub fn set(self, value: T) {
        // SAFETY: as above.
        unsafe { ptr::write_volatile(self.0, value) }
    }
}

impl Value<u32> {
    /// Adds one; answers what it was. Not in one step.
    #[inline(always)]
    pub fn count(self) -> u32 {
        let before = self.get();
        self.set(before.wrapping_add(1));
        before
    }
}

impl Value<u64> {
    /// Adds one, for numbers that this CPU alone writes.
    #[inline(always)]
    pub fn count(self) {
        self.set(self.get().wrapping_add(1));
    }
}
