//! Waiting for file descriptors inside the runtime.

#![expect(unsafe_code, reason = "the runtime must be told that a descriptor stays what it is")]

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Hands a descriptor to the runtime of the calling thread, to be waited for.
pub fn register(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd is open for as long as it lives, and what it refers to is not changed by anybody here.
    Ok(unsafe { AsyncFd::register_with_interest(fd, interest)? })
}
