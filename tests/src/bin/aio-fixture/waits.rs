//! In which function of the kernel a task sleeps, from /proc.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::state::PATIENCE;

/// What io_destroy waits in; the compiler gives it one of several names (`__x64_sys_io_destroy`, `__do_sys_io_destroy`).
pub const IO_DESTROY: &str = "io_destroy";
/// What a process waits in that exits, or that gives up its old memory in exec.
pub const EXIT_AIO: &str = "exit_aio";

/// How long the state must have been D to be a wait, where nothing tells in which function.
const STEADY: Duration = Duration::from_millis(20);

/// Whether that thread sleeps, not to be disturbed, in a function whose name contains `function`.
///
/// Where the kernel cannot tell the function (before 5.16, without frame pointers, arch/x86/kernel/process.c:get_wchan says 0), the
/// state D is all there is.
pub fn waits_in(pid: u32, tid: u32, function: &str) -> bool {
    // What is gone waits for nothing.
    let wchan = fs::read_to_string(format!("/proc/{pid}/task/{tid}/wchan")).unwrap_or_default();
    wchan.contains(function) || (wchan == "0" && is_asleep(pid, tid))
}

fn is_asleep(pid: u32, tid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/task/{tid}/status")).unwrap_or_default();
    status.contains("State:\tD")
}

/// Waits until a process waits in exec for its old memory.
///
/// By `status` alone: it holds `exec_update_lock` meanwhile (fs/exec.c:exec_mmap), and whoever reads its `stat`, `wchan`, `stack` or
/// `maps` may wait as long as it does (seen on 6.18).
pub fn await_exec(pid: u32) -> Result<(), Failure> {
    let begun = Instant::now();
    let mut since = begun;
    while since.elapsed() < STEADY {
        if !is_asleep(pid, pid) {
            since = Instant::now();
        }
        if begun.elapsed() > PATIENCE {
            return Err(Failure::refused(format!("process {pid} does not come to wait in exec")));
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Waits until that thread sleeps there.
pub fn await_wait(pid: u32, tid: u32, function: &str) -> Result<(), Failure> {
    let begun = Instant::now();
    while !waits_in(pid, tid, function) {
        if begun.elapsed() > PATIENCE {
            return Err(Failure::refused(format!(
                "thread {tid} of {pid} does not come to wait in {function}"
            )));
        }
        thread::sleep(Duration::from_micros(200));
    }
    Ok(())
}
