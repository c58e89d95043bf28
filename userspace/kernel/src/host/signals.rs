//! Holding back the signals that would end or stop us while somebody else's threads hang on us.

#![expect(unsafe_code, reason = "signal masks are set by raw calls")]

use std::mem::MaybeUninit;

use rustix::io::Errno;

/// What a terminal, a service manager or an operator sends. SIGTSTP and its kin are among them: a
/// stopped tracer would leave its tracees stopped as well. SIGKILL and SIGSTOP cannot be held back;
/// after SIGKILL the kernel lets the tracees go.
const HELD_BACK: [libc::c_int; 7] =
    [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];

/// Those of [`HELD_BACK`] that mean "come to an end".
const ENDING: [libc::c_int; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];

/// While it lives, the calling thread and the threads it starts do not get SIGINT, SIGTERM, SIGHUP,
/// SIGQUIT and the signals of job control; what arrived meanwhile takes effect when it is dropped.
#[derive(Debug)]
pub(crate) struct SignalBlock {
    before: libc::sigset_t,
    // A mask belongs to one thread: the block must be lifted where it was set.
    not_send: std::marker::PhantomData<*const ()>,
}

impl SignalBlock {
    /// Blocks the signals in the calling thread.
    pub(crate) fn new() -> Result<Self, Errno> {
        let set = set_of(&HELD_BACK);
        let mut before = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: both pointers are to live sigset_t values; the call writes `before` when it answers 0.
        let answer = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, before.as_mut_ptr()) };
        if answer != 0 {
            return Err(Errno::from_raw_os_error(answer));
        }
        // SAFETY: written by the successful call above.
        let before = unsafe { before.assume_init() };
        Ok(Self { before, not_send: std::marker::PhantomData })
    }
}

impl Drop for SignalBlock {
    fn drop(&mut self) {
        // SAFETY: `before` is the mask the kernel gave us for this thread; the old mask is not asked for.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, std::ptr::null_mut()) };
    }
}

/// From now on a write beyond the limit for the size of files (RLIMIT_FSIZE) fails with EFBIG, and does not end us.
pub(crate) fn ignore_file_size_limit() {
    // SAFETY: SIG_IGN is no function of ours that could be run at a bad moment.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// Whether one of the signals that mean "come to an end" waits for this thread or this process.
pub(crate) fn end_is_pending() -> bool {
    let mut pending = set_of(&[]);
    // SAFETY: `pending` is a live, initialised sigset_t.
    if unsafe { libc::sigpending(&raw mut pending) } != 0 {
        return false;
    }
    // SAFETY: `pending` is initialised and the numbers are valid signal numbers.
    ENDING.iter().any(|signal| unsafe { libc::sigismember(&raw const pending, *signal) } == 1)
}

fn set_of(signals: &[libc::c_int]) -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set it is given.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: initialised by sigemptyset, which cannot fail on a valid pointer.
    let mut set = unsafe { set.assume_init() };
    for signal in signals {
        // SAFETY: `set` is initialised; a number it does not know is an error without effect.
        unsafe { libc::sigaddset(&raw mut set, *signal) };
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that a signal sent under the block is seen as pending, and that a fresh block sees none.
    /// It is sent to the thread alone and taken away again, or the test would end the test runner.
    #[test]
    fn a_blocked_signal_is_pending() {
        let block = SignalBlock::new().unwrap();
        assert!(!end_is_pending());
        // SAFETY: sends a blocked signal to the calling thread.
        assert_eq!(unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGTERM) }, 0);
        assert!(end_is_pending());
        let term = set_of(&[libc::SIGTERM]);
        let mut got = 0;
        // SAFETY: both pointers are to live values; the signal is pending, so it does not wait.
        assert_eq!(unsafe { libc::sigwait(&raw const term, &raw mut got) }, 0);
        assert_eq!(got, libc::SIGTERM);
        assert!(!end_is_pending());
        drop(block);
    }

    /// Check that the mask is as it was after the block.
    #[test]
    fn the_mask_is_put_back() {
        let blocked = || {
            let mut now = set_of(&[]);
            // SAFETY: asks for the mask of this thread, changes nothing.
            unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &raw mut now) };
            // SAFETY: `now` is initialised.
            unsafe { libc::sigismember(&raw const now, libc::SIGINT) == 1 }
        };
        assert!(!blocked());
        let block = SignalBlock::new().unwrap();
        assert!(blocked());
        drop(block);
        assert!(!blocked());
    }
}
