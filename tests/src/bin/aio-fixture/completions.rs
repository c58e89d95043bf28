//! Waiting until completions have reached the ring, also a ring that cannot be read.
//!
//! fs/aio.c:aio_complete writes the event, moves the tail, and then signals the request's eventfd. So one
//! eventfd for all requests counts the completions of the whole process.
#![expect(unsafe_code, reason = "eventfd")]

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{At, Failure};
use crate::memory;
use crate::polls::Poll;
use crate::state::PATIENCE;

/// The count of completions that were signalled, and of those that are due.
#[derive(Debug)]
pub(crate) struct Completions {
    counter: File,
    expected: u64,
    seen: u64,
    deferred: bool,
}

/// Makes a non-blocking eventfd.
pub(crate) fn eventfd() -> Result<File, Failure> {
    // SAFETY: takes numbers, gives a descriptor or -1.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    if fd < 0 {
        return Err(Failure::last("eventfd"));
    }
    // SAFETY: the descriptor is fresh and ours.
    Ok(unsafe { File::from_raw_fd(fd) })
}

impl Completions {
    /// None so far.
    pub(crate) fn new() -> Result<Self, Failure> {
        Ok(Completions { counter: eventfd()?, expected: 0, seen: 0, deferred: false })
    }

    /// The eventfd that requests signal.
    pub(crate) fn fd(&self) -> RawFd {
        self.counter.as_raw_fd()
    }

    /// This poll is about to complete, or has just.
    pub(crate) fn expect(&mut self, poll: &Poll) {
        if poll.counted {
            self.expected += 1;
        }
        self.deferred |= poll.deferred;
    }

    /// One request that signals is about to complete.
    pub(crate) fn expect_one(&mut self) {
        self.expected += 1;
    }

    /// What comes next completes in a kernel worker, not in our call.
    pub(crate) fn expect_deferred(&mut self) {
        self.deferred = true;
    }

    /// Waits until all that is due has come; `tail` is where a ring must say so, if it can be read.
    pub(crate) fn wait(&mut self, tail: Option<(u64, u32)>) -> Result<(), Failure> {
        let begun = Instant::now();
        loop {
            self.count()?;
            let arrived = tail.is_none_or(|(address, value)| match memory::load_u32(address) {
                Some(now) => now == value,
                None => true,
            });
            if self.seen >= self.expected && arrived {
                break;
            }
            if begun.elapsed() > PATIENCE {
                let (seen, expected) = (self.seen, self.expected);
                return Err(Failure::refused(format!("{seen} of {expected} completions came, the rest not")));
            }
            thread::sleep(Duration::from_micros(50));
        }
        Ok(())
    }

    /// To be called when a command has waited for all its completions.
    pub(crate) fn settle(&mut self) {
        if std::mem::take(&mut self.deferred) {
            // The worker gives back the request's reference after it has signalled: nothing shows when.
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn count(&mut self) -> Result<(), Failure> {
        let mut word = [0; 8];
        match self.counter.read(&mut word) {
            Ok(_) => self.seen += u64::from_ne_bytes(word),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).at("read of the eventfd"),
        }
        Ok(())
    }
}
