//! The first process of a PID namespace: it waits for every child it is given, and the namespace ends with it.
#![expect(unsafe_code, reason = "wait")]

use std::io::Read;
use std::time::Duration;
use std::{io, thread};

/// Reaps until the end of its standard input, which is that of whoever started it.
pub(crate) fn run() -> io::Result<()> {
    thread::spawn(|| {
        loop {
            // SAFETY: no status is asked for.
            if unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) } < 0 {
                // No child yet, or none left.
                thread::sleep(Duration::from_millis(2));
            }
        }
    });
    io::stdin().lock().read_to_end(&mut Vec::new()).map(drop)
}
