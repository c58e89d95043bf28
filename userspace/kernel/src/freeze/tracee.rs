//! ptrace of one thread, call by call, without allocation.
//!
//! Stops are looked at with `WNOWAIT` and never consumed: a consumed signal-delivery stop forgets its
//! signal (kernel/exit.c:wait_task_stopped clears `exit_code`), and if the tracer then died before its
//! detach, the signal would be lost. Unconsumed, the kernel delivers it whatever becomes of the tracer.

#![expect(unsafe_code, reason = "ptrace, waitid and tgkill are raw calls")]

use std::mem::MaybeUninit;

use rustix::io::Errno;

/// A thread id as system calls take it.
pub type RawTid = libc::pid_t;

/// New threads and children of a tracee are tracees as well and stop before their first instruction;
/// an exec is seen. Never `PTRACE_O_EXITKILL`: the target outlives us.
const OPTIONS: libc::c_int = libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACEEXEC;

/// What a look at a thread shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It has not stopped (yet).
    Running,
    /// It is stopped and stays so until it is detached.
    Stopped(Stop),
    /// It has exited or was killed.
    Ended,
    /// It is no tracee of ours (any more).
    Foreign,
}

/// A stop, as `siginfo.si_status` tells it: signal in the low byte, event above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop(pub libc::c_int);

/// What a stop is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopKind {
    /// On the way to a signal's delivery: the signal must be given back.
    Signal(libc::c_int),
    /// It has just made a thread or a child, itself a tracee now; [`event_message`] has its id.
    Birth,
    /// It has just replaced its program, and with it its address space.
    Exec,
    /// By our interrupt, newly born, or stopped by job control.
    Held,
}

impl Stop {
    /// What this stop is about.
    pub fn kind(self) -> StopKind {
        match self.0 >> 8 {
            0 => StopKind::Signal(self.0 & 0xff),
            libc::PTRACE_EVENT_CLONE | libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK => StopKind::Birth,
            libc::PTRACE_EVENT_EXEC => StopKind::Exec,
            _ => StopKind::Held,
        }
    }

    /// The signal that [`detach`] has to give back, or 0.
    pub fn signal_to_give_back(self) -> libc::c_int {
        match self.kind() {
            StopKind::Signal(signal) => signal,
            StopKind::Birth | StopKind::Exec | StopKind::Held => 0,
        }
    }
}

/// Makes the calling thread the tracer of `tid`, which runs on.
pub fn seize(tid: RawTid) -> Result<(), Errno> {
    request(libc::PTRACE_SEIZE, tid, OPTIONS.into())
}

/// Asks a tracee to stop.
pub fn interrupt(tid: RawTid) -> Result<(), Errno> {
    request(libc::PTRACE_INTERRUPT, tid, 0)
}

/// Lets a stopped tracee go, handing it `signal` (0: none).
pub fn detach(tid: RawTid, signal: libc::c_int) -> Result<(), Errno> {
    request(libc::PTRACE_DETACH, tid, signal.into())
}

/// The id of what a tracee stopped by [`StopKind::Birth`] gave birth to.
pub fn event_message(tid: RawTid) -> Result<RawTid, Errno> {
    let mut message: libc::c_ulong = 0;
    // SAFETY: PTRACE_GETEVENTMSG writes one unsigned long to its data argument, which lives here.
    let answer = unsafe {
        libc::ptrace(
            libc::PTRACE_GETEVENTMSG,
            tid,
            std::ptr::null_mut::<libc::c_void>(),
            (&raw mut message).cast::<libc::c_void>(),
        )
    };
    checked(answer)?;
    RawTid::try_from(message).map_err(|_| Errno::RANGE)
}

fn request(what: libc::c_uint, tid: RawTid, data: libc::c_long) -> Result<(), Errno> {
    // SAFETY: none of the requests made here reads or writes our memory: address is null and data a number.
    let answer = unsafe { libc::ptrace(what, tid, std::ptr::null_mut::<libc::c_void>(), data) };
    checked(answer)
}

/// Looks at a tracee without waiting and without consuming what is seen. Any thread of ours may do it.
pub fn peek(tid: RawTid) -> Seen {
    wait(tid, libc::WSTOPPED | libc::WEXITED | libc::WNOWAIT)
}

/// Lays a dead thread to rest, if it is dead. Not for thread-group leaders: their death belongs to their parent.
///
/// An exec elsewhere in its process waits for this (fs/exec.c:de_thread). Any thread of ours may do it.
pub fn reap(tid: RawTid) {
    // A wait for exits alone would consume stops as well: of a tracee they are always reported
    // (kernel/exit.c:wait_task_stopped).
    if peek(tid) == Seen::Ended {
        wait(tid, libc::WEXITED);
    }
}

fn wait(tid: RawTid, flags: libc::c_int) -> Seen {
    let Ok(id) = libc::id_t::try_from(tid) else { return Seen::Foreign };
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    loop {
        // SAFETY: `info` is a live siginfo_t, zeroed, which is a valid value of it.
        let answer =
            unsafe { libc::waitid(libc::P_PID, id, info.as_mut_ptr(), flags | libc::WNOHANG | libc::__WALL) };
        if answer == 0 {
            break;
        }
        if last_error() != Errno::INTR {
            return Seen::Foreign;
        }
    }
    // SAFETY: zeroed above and, if anything was seen, written by waitid.
    let info = unsafe { info.assume_init() };
    // SAFETY: waitid fills the SIGCHLD member of the union, or left it zero.
    let (seen, status) = unsafe { (info.si_pid(), info.si_status()) };
    match info.si_code {
        _ if seen == 0 => Seen::Running,
        libc::CLD_EXITED | libc::CLD_KILLED | libc::CLD_DUMPED => Seen::Ended,
        _ => Seen::Stopped(Stop(status)),
    }
}

/// Whether `tid` is a thread of process `leader`, asked without reading any file.
pub fn is_thread_of(leader: RawTid, tid: RawTid) -> bool {
    // SAFETY: signal 0 is never delivered; the call only checks that the pair exists.
    unsafe { libc::syscall(libc::SYS_tgkill, leader, tid, 0) == 0 }
}

/// Whether two threads share one `mm_struct` (kernel/kcmp.c). Two threads without any share none, too: `true`.
pub fn share_mm(one: RawTid, other: RawTid) -> Result<bool, Errno> {
    const KCMP_VM: libc::c_int = 1;
    // SAFETY: KCMP_VM takes no pointers; the last two arguments are ignored.
    let answer = unsafe { libc::syscall(libc::SYS_kcmp, one, other, KCMP_VM, 0, 0) };
    if answer < 0 { Err(last_error()) } else { Ok(answer == 0) }
}

fn checked(answer: libc::c_long) -> Result<(), Errno> {
    if answer == -1 { Err(last_error()) } else { Ok(()) }
}

fn last_error() -> Errno {
    std::io::Error::last_os_error().raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that each kind of stop is told apart, and that only a signal's stop gives a signal back.
    #[test]
    fn stops_are_told_apart() {
        let event = |event: libc::c_int, signal: libc::c_int| Stop(event << 8 | signal);
        assert_eq!(Stop(libc::SIGUSR1).kind(), StopKind::Signal(libc::SIGUSR1));
        assert_eq!(Stop(libc::SIGUSR1).signal_to_give_back(), libc::SIGUSR1);
        for group in [libc::SIGTRAP, libc::SIGSTOP, libc::SIGTTIN] {
            let stop = event(libc::PTRACE_EVENT_STOP, group);
            assert_eq!(stop.kind(), StopKind::Held);
            assert_eq!(stop.signal_to_give_back(), 0);
        }
        for birth in [libc::PTRACE_EVENT_CLONE, libc::PTRACE_EVENT_FORK, libc::PTRACE_EVENT_VFORK] {
            assert_eq!(event(birth, libc::SIGTRAP).kind(), StopKind::Birth);
            assert_eq!(event(birth, libc::SIGTRAP).signal_to_give_back(), 0);
        }
        assert_eq!(event(libc::PTRACE_EVENT_EXEC, libc::SIGTRAP).kind(), StopKind::Exec);
    }

    /// Check that a thread that is no tracee is called so, and that threads of one process share an mm.
    #[test]
    fn strangers_and_relatives() {
        assert_eq!(peek(1), Seen::Foreign);
        let own = RawTid::try_from(std::process::id()).unwrap();
        // SAFETY: gettid has no arguments and cannot fail.
        let me = unsafe { libc::gettid() };
        assert!(is_thread_of(own, me));
        assert!(!is_thread_of(1, me));
        assert_eq!(share_mm(own, me), Ok(true));
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let other = RawTid::try_from(child.id()).unwrap();
        assert_eq!(share_mm(own, other), Ok(false));
        assert_eq!(peek(other), Seen::Running);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(peek(other), Seen::Foreign);
    }
}
