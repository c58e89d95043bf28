//! Processes to be frozen, forked from the test with memory shared between both.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aioinspect_kernel::freeze::error::FreezeError;
use aioinspect_kernel::freeze::{FreezePlan, FreezeReport, freeze_and};
use aioinspect_kernel::proc::files::ProcDir;
use aioinspect_model::units::{Pid, Tid};

/// Counters that the test and its target both see.
pub type Board = [AtomicU64; 128];

/// A child of the test; killed when dropped.
pub struct Target {
    pub pid: Pid,
    pub raw: i32,
    pub board: &'static Board,
}

/// Lets one test run at a time: a fork copies the locks that other threads hold, and times are better measured alone.
pub fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

pub fn board() -> &'static Board {
    let (rw, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    // SAFETY: a fresh zeroed mapping as large as a Board, whose every bit pattern is valid; it is never unmapped.
    unsafe {
        let map = libc::mmap(std::ptr::null_mut(), size_of::<Board>(), rw, shared, -1, 0);
        assert_ne!(map, libc::MAP_FAILED);
        &*map.cast::<Board>()
    }
}

impl Target {
    /// Forks a target that does `work`, and waits until the first counter moves.
    pub fn start(work: impl FnOnce(&'static Board)) -> Self {
        let target = Self::fork(work);
        assert!(within(|| target.get(0) != 0), "the target does not start");
        target
    }

    /// Forks a process that does `work` and exits with 0, or with 101 if it panics.
    pub fn fork(work: impl FnOnce(&'static Board)) -> Self {
        let board = board();
        // SAFETY: glibc makes its allocator usable in the child of a process with threads; the child takes no lock
        // that a thread of the test may hold, and ends by _exit.
        let raw = unsafe { libc::fork() };
        assert!(raw >= 0);
        if raw == 0 {
            // SAFETY: plain system calls.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(board)));
            // SAFETY: ends this child.
            unsafe { libc::_exit(if end.is_ok() { 0 } else { 101 }) };
        }
        Self { pid: Pid(u32::try_from(raw).unwrap()), raw, board }
    }

    pub fn get(&self, index: usize) -> u64 {
        self.board[index].load(Ordering::SeqCst)
    }

    /// Whether a counter moves within five seconds.
    pub fn moves(&self, index: usize) -> bool {
        let before = self.get(index);
        within(|| self.get(index) != before)
    }

    /// The first child that its first thread made.
    pub fn child(&self) -> Pid {
        ProcDir::open(self.pid).unwrap().children_of(Tid(self.pid.0))[0]
    }

    pub fn send(&self, signal: i32) {
        // SAFETY: signals our own child.
        assert_eq!(unsafe { libc::kill(self.raw, signal) }, 0);
    }

    pub fn state(&self) -> char {
        ProcDir::open(self.pid).unwrap().state_of(Tid(self.pid.0)).unwrap().letter
    }

    /// Waits for its end: the status of waitpid.
    pub fn wait(&self) -> i32 {
        let mut status = 0;
        // SAFETY: waits for our own child.
        assert_eq!(unsafe { libc::waitpid(self.raw, &raw mut status, 0) }, self.raw);
        status
    }

    /// Checks that nobody traces any of its threads, none is stopped, and it moves.
    pub fn assert_free(&self) {
        let dir = ProcDir::open(self.pid).unwrap();
        for tid in dir.threads().unwrap() {
            // It may end meanwhile.
            let tracer = dir.tracer_of(tid).unwrap_or(Tid(0));
            assert!(
                within(|| dir.tracer_of(tid).is_ok_and(|by| by.0 == 0) || dir.state_of(tid).is_err()),
                "{tracer}"
            );
            assert!(within(|| dir.state_of(tid).map_or('-', |state| state.letter) != 't'));
        }
        assert!(self.moves(0), "it does not run on");
    }

    pub fn freeze<R: Send>(
        &self,
        inside: impl FnOnce() -> R + Send,
    ) -> Result<(R, FreezeReport), FreezeError> {
        freeze_and(&FreezePlan::new(&[self.pid])?, Duration::from_secs(5), inside)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // SAFETY: our own child, not reaped yet or not there any more; a reaped one's number is not used again so soon.
        unsafe {
            libc::kill(self.raw, libc::SIGKILL);
            libc::waitpid(self.raw, std::ptr::null_mut(), 0);
        }
    }
}

/// Whether it comes true within five seconds.
pub fn within(mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(5);
    while !condition() {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    true
}

/// Counts, with a short sleep now and then so that two CPUs suffice for many.
pub fn count(counter: &AtomicU64) -> ! {
    loop {
        for _ in 0..1000 {
            counter.fetch_add(1, Ordering::SeqCst);
        }
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// A process that shares the caller's memory (CLONE_VM) and does `work`; with CLONE_VFORK among `flags` the caller waits for its end.
pub fn clone_vm(
    flags: i32,
    work: extern "C" fn(*mut libc::c_void) -> i32,
    argument: *mut libc::c_void,
) -> i32 {
    let stack = vec![0_u8; 1 << 16].leak();
    // SAFETY: the child runs on a stack of its own, never freed, and `work` only touches what `argument` points to.
    let pid = unsafe {
        let top = stack.as_mut_ptr().add(stack.len()).map_addr(|address| address & !15);
        libc::clone(work, top.cast(), libc::CLONE_VM | libc::SIGCHLD | flags, argument)
    };
    assert!(pid > 0);
    pid
}
