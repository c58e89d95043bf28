//! Between the tracer's thread and the thread that waits for it: who is seized, and whether it is over.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::Thread;

use crate::freeze::tracee::{RawTid, reap};

/// What the tracer's thread shares with the thread that waits for it.
pub(super) struct Handshake {
    /// Seized threads that are no leaders: if they die, somebody has to reap them.
    seized: Mutex<Vec<RawTid>>,
    done: AtomicBool,
    waiter: Thread,
}

impl Handshake {
    /// Nobody is seized yet, and the calling thread waits.
    pub(super) fn new() -> Self {
        Self { seized: Mutex::new(Vec::new()), done: AtomicBool::new(false), waiter: std::thread::current() }
    }

    /// Remembers a thread that was seized, with its process.
    pub(super) fn note(&self, (tid, leader): (RawTid, RawTid)) {
        if tid != leader {
            self.seized.lock().unwrap_or_else(PoisonError::into_inner).push(tid);
        }
    }

    /// Whether the tracer is through.
    pub(super) fn finished(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    /// An exec in the target holds `cred_guard_mutex` until its other threads are reaped, and a seize waits for that
    /// mutex (kernel/ptrace.c:ptrace_attach): the tracer would wait for what only a tracer can do. Any thread of the
    /// tracer's process may reap for it.
    pub(super) fn reap_the_dead(&self) {
        let seized = self.seized.lock().unwrap_or_else(PoisonError::into_inner);
        seized.iter().copied().for_each(reap);
    }
}

/// Tells the waiting thread that the tracer is through, also when it panics.
pub(super) struct Finish<'a>(pub &'a Handshake);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        self.0.done.store(true, Ordering::Release);
        self.0.waiter.unpark();
    }
}
