//! The kernel stack of a thread that waits.

use aioinspect_ebpf::shared::here::read_here;
use aioinspect_ebpf::{Place, number};

/// Words of a stack that one row looks at.
pub const ROW: u32 = 64;

/// Bytes of a stack.
#[inline(always)]
pub fn size() -> u64 {
    u64::from(number!(stack_size))
}

/// Rows of a stack: 32 rows of 64 words where it has 16 kB.
#[inline(always)]
pub fn rows() -> u32 {
    number!(stack_size) / 8 / ROW
}

/// Whether a number is an address on that stack.
#[inline(always)]
pub fn holds(stack: u64, address: u64) -> bool {
    address.wrapping_sub(stack) < size()
}

/// Whether a word stands on the stack.
// SAFETY: nobody else has functions of these names. The verifier checks each of them once.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn is_on_stack(stack: u64, word: u64) -> u32 {
    for row in 0..rows() {
        if is_in_row(stack, row, word) != 0 {
            return 1;
        }
    }
    0
}

/// The same of a row of it.
// SAFETY: as above.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn is_in_row(stack: u64, row: u32, word: u64) -> u32 {
    let mut at = stack.wrapping_add(u64::from(row).wrapping_mul(u64::from(ROW) * 8));
    for _ in 0..ROW {
        if read_here(at, Place::whole(0, 8)) == word {
            return 1;
        }
        at = at.wrapping_add(8);
    }
    0
}
