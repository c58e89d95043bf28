//! What a system call costs on this host now: the price that a hook on all of them makes everybody pay.

#![expect(unsafe_code, reason = "the C library may answer getppid without asking the kernel")]

use crate::host::clock;

/// Calls in one batch.
const CALLS: u64 = 2000;
/// Batches; the fastest counts, since whatever else the CPU does only adds.
const BATCHES: u32 = 15;

/// The time of the cheapest system call there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyscallCost {
    batch_ns: u64,
}

impl SyscallCost {
    /// Measures it, in some 5 ms.
    pub fn measure() -> Self {
        let batch = || {
            let begun = clock::now();
            for _ in 0..CALLS {
                // SAFETY: takes nothing and changes nothing.
                unsafe { libc::syscall(libc::SYS_getppid) };
            }
            clock::now().0.saturating_sub(begun.0)
        };
        Self { batch_ns: (0..BATCHES).map(|_| batch()).min().unwrap_or(0) }
    }

    /// Nanoseconds a call.
    pub fn nanoseconds(self) -> u64 {
        self.batch_ns / CALLS
    }
}
