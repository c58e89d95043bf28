//! How a context that is dying is told from whatever else a number may be the address of.

use aioinspect_ebpf::place;
use aioinspect_ebpf::shared::here::read_here;

use crate::stack;

/// The number itself if it is the address of a context whose end a thread with this stack waits
/// for; else 0.
///
/// Words that point into the stack itself look like one by chance; so does what else is on a stack.
/// A real one lies outside, is dead, and its ends meet: rq_wait leads back to the stack, user_id
/// and mmap_base are one address of user memory. Before rq_wait is set it must be what io_destroy
/// was called with.
// SAFETY: nobody else has a function of this name. The verifier checks it once, whoever calls it.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn dying_at(kioctx: u64, stack: u64, id: u64) -> u64 {
    if kioctx.cast_signed() >= 0 || kioctx & 7 != 0 || stack::holds(stack, kioctx) {
        return 0;
    }
    let rq_wait = read_here(kioctx, place!(kioctx_rq_wait));
    let is_waited_for = stack::holds(stack, rq_wait);
    if !is_waited_for && (id == 0 || rq_wait != 0) {
        return 0;
    }
    if !is_dead(kioctx) {
        return 0;
    }
    let user_id = read_here(kioctx, place!(kioctx_user_id));
    if user_id == 0 || user_id & 0xfff != 0 || user_id.cast_signed() < 0 || (!is_waited_for && user_id != id)
    {
        return 0;
    }
    if place!(kioctx_mmap_base).is_present() && read_here(kioctx, place!(kioctx_mmap_base)) != user_id {
        return 0;
    }
    kioctx
}

/// Whether its end has begun; true where this kernel does not say, since all else must fit as well.
#[inline(always)]
pub fn is_dead(kioctx: u64) -> bool {
    !place!(kioctx_dead).is_present() || read_here(kioctx, place!(kioctx_dead)) == 1
}
