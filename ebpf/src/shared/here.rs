//! Reading kernel memory without a call, for what is read of every context and of every CPU.

use crate::shared::constants::has;
use crate::shared::memory::{read_4, read_number, word};
use crate::{Place, way};

/// The number at its place in the struct at `base`; 0 where this kernel has no such member.
#[inline(always)]
pub fn read_here(base: u64, place: Place) -> u64 {
    if has(way::CAST) {
        let at = base.wrapping_add(u64::from(place.offset()));
        // Nothing but a size in its upper half: a number that is whole.
        match place.0 >> 32 {
            8 => return word(at),
            4 => return read_4(at),
            _ => {}
        }
    }
    // What is not taken at a place the verifier removes there, which takes its time: so this is all
    // that stands at each.
    read_number(base, place.0)
}
