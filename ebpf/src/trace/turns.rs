//! Doing a thing once for each of many.
//!
//! With a callback where the kernel calls one (bpf_loop, since 5.17, and with its JIT alone), as often as it takes. Elsewhere by a loop with a bound, which
//! the verifier follows turn by turn: what is left then is for whoever asked. The objects are built for either.

#[cfg(feature = "callbacks")]
use core::ffi::c_void;

/// What is done each time: the turn's number, and what is carried along; anything but 0 ends it.
#[cfg(feature = "callbacks")]
pub type Each = extern "C" fn(u64, *mut c_void) -> i64;

/// Turns that one call takes at most.
#[cfg(feature = "callbacks")]
pub const AT_MOST: u32 = u32::MAX;
#[cfg(not(feature = "callbacks"))]
pub const AT_MOST: u32 = 256;

/// Does it `turns` times, or [`AT_MOST`]. `$carried` is a variable.
#[cfg(feature = "callbacks")]
macro_rules! repeat {
    ($turns:expr, $each:path, $carried:ident) => {{
        let each: $crate::turns::Each = $each;
        // SAFETY: the callback has the signature that bpf_loop calls, and what it is handed outlives the call.
        unsafe { aya_ebpf::helpers::generated::bpf_loop($turns, each as *mut _, (&raw mut $carried).cast(), 0) };
    }};
}
#[cfg(not(feature = "callbacks"))]
macro_rules! repeat {
    ($turns:expr, $each:path, $carried:ident) => {{
        let turns: u32 = $turns;
        for turn in 0..$crate::turns::AT_MOST {
            if turn >= turns || $each(u64::from(turn), (&raw mut $carried).cast()) != 0 {
                break;
            }
        }
    }};
}
pub(crate) use repeat;
