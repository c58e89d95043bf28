//! An io_uring with a thread of the kernel's own: it is a thread of this process, has its memory, and never made a system call.
#![expect(unsafe_code, reason = "io_uring_setup is a raw call")]

use std::os::fd::{FromRawFd, OwnedFd};

use serde_json::json;

use crate::failure::{Done, Failure};
use crate::state::State;
use crate::words::Words;

/// `struct io_uring_params` (include/uapi/linux/io_uring.h): 30 words of 32 bits, of which three are asked for.
const PARAMS: usize = 30;
const FLAGS: usize = 2;
const SQ_THREAD_IDLE: usize = 4;
/// `IORING_SETUP_SQPOLL`: a thread takes the requests.
const SQPOLL: u32 = 2;

/// `io-uring-worker`: makes one, whose thread sleeps until there are requests.
pub(crate) fn worker(state: &mut State, _: &mut Words) -> Done {
    let mut params = [0_u32; PARAMS];
    params[FLAGS] = SQPOLL;
    params[SQ_THREAD_IDLE] = 1;
    // SAFETY: the struct is live, and the kernel fills it.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 4, params.as_mut_ptr()) };
    match i32::try_from(fd) {
        // SAFETY: a new descriptor that nobody else owns.
        Ok(fd) if fd >= 0 => state.urings.push(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => return Err(Failure::last("io_uring_setup")),
    }
    Ok(json!({}))
}
