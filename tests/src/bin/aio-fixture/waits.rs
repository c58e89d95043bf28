//! In which function of the kernel a task sleeps, from /proc.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::state::PATIENCE;

/// What io_destroy waits in; the compiler gives it one of several names (`__x64_sys_io_destroy`,
/// `__arm64_sys_io_destroy`, `__se_sys_io_destroy`, `__do_sys_io_destroy`).
pub(crate) const IO_DESTROY: &str = "io_destroy";
/// For how long a task must not have run to be asleep for good, where nothing tells in which function.
const STEADY: Duration = Duration::from_millis(100);

/// Whether that thread of a living process sleeps, not to be disturbed, in a function whose name contains `function`.
///
/// Where the kernel cannot tell the function (before 5.16, without frame pointers, arch/x86/kernel/process.c:get_wchan says 0), the
/// state D is all there is.
pub(crate) fn waits_in(pid: u32, tid: u32, function: &str) -> bool {
    // What is gone waits for nothing.
    let wchan = wchan(pid, tid);
    wchan.contains(function) || (wchan == "0" && is_asleep(pid, tid))
}

fn wchan(pid: u32, tid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/task/{tid}/wchan")).unwrap_or_default()
}

/// By `status`: not to be asked of a process that is about to give up its memory. Who reads it uses that memory meanwhile, and who lets go of it
/// as the last waits for the requests itself (kernel/fork.c:mmput).
fn is_asleep(pid: u32, tid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/task/{tid}/status")).unwrap_or_default();
    status.contains("State:\tD")
}

/// What a task has run so far: reading it uses nothing of the task's, and waits for nobody.
pub(crate) fn ran(pid: u32, tid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/task/{tid}/schedstat")).unwrap_or_default()
}

/// Waits until a process that was told to end, or to become another program, has gone to sleep for it: it has run since `before`, and then not any
/// more. In exit its name of a program is gone with its memory, which is asked for too (fs/proc/base.c:proc_exe_link takes no part in it).
///
/// By `schedstat`: in exec it holds `exec_update_lock` (fs/exec.c:exec_mmap), and whoever reads its `stat`, `wchan`, `stack` or `maps` may wait
/// as long as it does (seen on 6.18).
pub(crate) fn await_end(pid: u32, tid: u32, before: &str, exits: bool) -> Result<(), Failure> {
    let begun = Instant::now();
    let (mut last, mut since) = (ran(pid, tid), begun);
    let has_memory = || fs::read_link(format!("/proc/{pid}/task/{tid}/exe")).is_ok();
    while since.elapsed() < STEADY || last == before || (exits && has_memory()) {
        if begun.elapsed() > PATIENCE {
            return Err(Failure::refused(format!("thread {tid} of {pid} does not come to wait for its end")));
        }
        thread::sleep(Duration::from_millis(1));
        let now = ran(pid, tid);
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    Ok(())
}

/// Waits until that thread of a living process sleeps there.
pub(crate) fn await_wait(pid: u32, tid: u32, function: &str) -> Result<(), Failure> {
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
