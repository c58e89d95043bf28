//! Stopping ourselves as Ctrl-Z does to a program that does not mind the terminal's mode.

#![expect(unsafe_code, reason = "dispositions of signals are set by raw calls")]

use std::mem::MaybeUninit;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, getpgrp, getpid, kill_process, kill_process_group};

/// Who is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// This process.
    Us,
    /// Its process group, as the terminal does: a pipeline stops as one.
    Group,
}

/// Does what SIGTSTP does by default, whatever handles it otherwise; returns when we are continued. In a process group that
/// nobody could continue, the kernel stops nobody, and it returns at once.
pub fn stop(who: Who) -> Result<(), Errno> {
    let before = set(libc::SIG_DFL)?;
    let sent = match who {
        Who::Us => to(getpid(), kill_process),
        Who::Group => to(getpgrp(), kill_process_group),
    };
    // SAFETY: `before` is what the kernel gave us for this signal; the old disposition is not asked for.
    unsafe { libc::sigaction(libc::SIGTSTP, &raw const before, std::ptr::null_mut()) };
    sent
}

fn to(pid: Pid, kill: fn(Pid, Signal) -> rustix::io::Result<()>) -> Result<(), Errno> {
    // Sent to ourselves, it takes effect before this returns.
    kill(pid, Signal::TSTP)
}

/// Sets what SIGTSTP does; returns what it did.
fn set(handler: libc::sighandler_t) -> Result<libc::sigaction, Errno> {
    // SAFETY: sigaction is plain numbers and, in a valid all-zero state, an empty mask and no flags.
    let mut action = unsafe { MaybeUninit::<libc::sigaction>::zeroed().assume_init() };
    action.sa_sigaction = handler;
    let mut before = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: both pointers are to live values; the call writes `before` when it answers 0.
    if unsafe { libc::sigaction(libc::SIGTSTP, &raw const action, before.as_mut_ptr()) } != 0 {
        return Err(Errno::INVAL);
    }
    // SAFETY: written by the successful call above.
    Ok(unsafe { before.assume_init() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that what handled the signal before handles it afterwards.
    #[test]
    fn the_disposition_is_put_back() {
        let first = set(libc::SIG_IGN).unwrap();
        assert_eq!(set(libc::SIG_DFL).unwrap().sa_sigaction, libc::SIG_IGN);
        assert_eq!(set(first.sa_sigaction).unwrap().sa_sigaction, libc::SIG_DFL);
    }
}
