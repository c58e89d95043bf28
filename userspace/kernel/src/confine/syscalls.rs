//! The system calls of a server that is up: a list of what is allowed, everything else answers EPERM.
//!
//! EPERM and not death: what was forgotten here shall be an error in the log, not the end of the server. Arguments are looked at where a
//! number alone would allow too much; pointers cannot be.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::RawFd;

use seccompiler::{
    BackendError, BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch,
};

/// What must stay possible besides serving.
#[derive(Clone, Copy, Debug)]
pub(super) struct Needs {
    /// Removing a file (Landlock says where).
    pub unlink: bool,
    /// Making, renaming and removing files by names in this open directory.
    pub record_in: Option<RawFd>,
    /// A terminal's modes, and stopping ourselves.
    pub terminal: bool,
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Calls that are allowed with any arguments.
const ALWAYS: [libc::c_long; 86] = [
    // Reading and writing what is open.
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_getdents64,
    libc::SYS_readlinkat,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    // Waiting.
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_futex,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_restart_syscall,
    libc::SYS_sched_yield,
    // Connections of sockets that listen already.
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_shutdown,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    // Memory and threads.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_rseq,
    libc::SYS_membarrier,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_getrandom,
    // Signals of our own.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_rt_sigsuspend,
    libc::SYS_sigaltstack,
    // Asking who and when.
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_getpgid,
    libc::SYS_getsid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getgroups,
    libc::SYS_getresuid,
    libc::SYS_getresgid,
    libc::SYS_capget,
    libc::SYS_getrusage,
    libc::SYS_times,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_getcpu,
    libc::SYS_getcwd,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min,
    libc::SYS_getitimer,
    libc::SYS_getpriority,
];

/// The older names of some of them, which x86_64 has kept and musl still uses.
#[cfg(target_arch = "x86_64")]
const OLDER: [libc::c_long; 10] = [
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_epoll_wait,
    libc::SYS_epoll_create,
    libc::SYS_time,
    libc::SYS_getpgrp,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: [libc::c_long; 0] = [];

/// bpf(2) once everything is attached: BPF_MAP_LOOKUP_ELEM, BPF_MAP_DELETE_ELEM (counts of processes that have ended), BPF_OBJ_GET_INFO_BY_FD, BPF_MAP_LOOKUP_BATCH, BPF_ITER_CREATE.
const BPF_COMMANDS: [u64; 5] = [1, 3, 15, 24, 33];
/// FIOCLEX, FIONBIO, and TCGETS in both forms (is it a terminal?).
const IOCTLS: [u64; 4] = [0x5451, 0x5421, 0x5401, 0x802C_542A];
/// TCSETS, TCSETSW, TCSETSF in both forms, TIOCGPGRP, TIOCGWINSZ. Never TIOCSTI.
const TERMINAL_IOCTLS: [u64; 8] =
    [0x5402, 0x5403, 0x5404, 0x402C_542B, 0x402C_542C, 0x402C_542D, 0x540F, 0x5413];
/// F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC.
const FCNTLS: [u64; 5] = [1, 2, 3, 4, 1030];
/// PR_SET_NAME, PR_GET_NAME, and PR_SET_VMA, by which glibc names its memory.
const PRCTLS: [u64; 3] = [15, 16, 0x5356_4D41];
/// All that makes more than a thread in clone(2): CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID, NET, CLONE_PTRACE.
const CLONE_MORE: u64 = 0x0002_0000 | 0x0200_0000 | 0x7C00_0000 | 0x2000;
const CLONE_THREAD: u64 = 0x0001_0000;
const PROT_EXEC: u64 = 4;

/// Puts the filters on the calling thread; false where the kernel has no seccomp.
pub(super) fn restrict(needs: Needs) -> Result<bool, Error> {
    let Ok(arch) = TargetArch::try_from(std::env::consts::ARCH) else { return Ok(false) };
    // clone3 hides its flags behind a pointer. As if it did not exist, libc takes clone, whose flags can be seen. The other filter has
    // to let it through: of two filters the stricter answer counts.
    let no_clone3 = Rules::from([(libc::SYS_clone3, Vec::new())]);
    let absent = SeccompAction::Errno(errno(libc::ENOSYS));
    let denied = SeccompAction::Errno(errno(libc::EPERM));
    let first: BpfProgram = SeccompFilter::new(no_clone3, SeccompAction::Allow, absent, arch)?.try_into()?;
    let second: BpfProgram =
        SeccompFilter::new(rules(needs)?, denied, SeccompAction::Allow, arch)?.try_into()?;
    // In this order: neither seccomp nor the prctl before it is on the list.
    for filter in [&first, &second] {
        match seccompiler::apply_filter(filter) {
            Ok(()) => {}
            Err(Error::Seccomp(error)) if unknown_to_kernel(&error) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn unknown_to_kernel(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL))
}

fn errno(of: libc::c_int) -> u32 {
    of.unsigned_abs()
}

fn rules(needs: Needs) -> Result<Rules, BackendError> {
    let mut rules: Rules = ALWAYS.iter().chain(&OLDER).map(|call| (*call, Vec::new())).collect();
    // As if absent, by the other filter.
    rules.insert(libc::SYS_clone3, Vec::new());
    let thread = (0, SeccompCmpOp::MaskedEq(CLONE_THREAD | CLONE_MORE), CLONE_THREAD);
    rules.insert(libc::SYS_clone, vec![all(vec![thread])?]);

    let writing = (libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC).unsigned_abs();
    let reading = SeccompCmpOp::MaskedEq(u64::from(writing));
    let mut openat = vec![all(vec![(2, reading.clone(), 0)])?];
    if let Some(directory) = needs.record_in {
        openat.push(recording(&mut rules, directory)?);
    }
    rules.insert(libc::SYS_openat, openat);
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_open, vec![all(vec![(1, reading, 0)])?]);

    let no_code = vec![all(vec![(2, SeccompCmpOp::MaskedEq(PROT_EXEC), 0)])?];
    rules.insert(libc::SYS_mmap, no_code.clone());
    rules.insert(libc::SYS_mprotect, no_code);

    rules.insert(libc::SYS_bpf, one_of(0, &BPF_COMMANDS)?);
    rules.insert(libc::SYS_fcntl, one_of(1, &FCNTLS)?);
    rules.insert(libc::SYS_prctl, one_of(0, &PRCTLS)?);
    // SOL_SOCKET and IPPROTO_TCP.
    rules.insert(libc::SYS_setsockopt, one_of(1, &[1, 6])?);
    // A runtime wakes itself through a pair.
    rules.insert(libc::SYS_socketpair, one_of(0, &[1])?);
    // Limits are asked for, never set, and nobody else's.
    rules.insert(libc::SYS_prlimit64, vec![all64(vec![(0, 0), (2, 0)])?]);
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_getrlimit, Vec::new());

    let pid = u64::from(std::process::id());
    // abort(3) and pthread_kill(3).
    rules.insert(libc::SYS_tgkill, one_of(0, &[pid])?);
    let mut ioctls = IOCTLS.to_vec();
    if needs.terminal {
        ioctls.extend(TERMINAL_IOCTLS);
        // Our group is named by its negative number; it may be led by another.
        let group = rustix::process::getpgrp().as_raw_nonzero().get();
        let group = u64::from(group.wrapping_neg().cast_unsigned());
        rules.insert(libc::SYS_kill, one_of(0, &[pid, group])?);
    }
    rules.insert(libc::SYS_ioctl, one_of(1, &ioctls)?);
    if needs.unlink {
        rules.entry(libc::SYS_unlinkat).or_default().extend(one_of(2, &[0])?);
        #[cfg(target_arch = "x86_64")]
        rules.insert(libc::SYS_unlink, Vec::new());
    }
    Ok(rules)
}

/// What a recording needs: files that are new are made, and those of the directory get other names or none. Where Landlock is not there, a name that
/// begins at the root could be given all the same. The rule for openat is left to the caller.
fn recording(rules: &mut Rules, directory: RawFd) -> Result<SeccompRule, BackendError> {
    let is = |argument| (argument, SeccompCmpOp::Eq, u64::from(directory.cast_unsigned()));
    rules.insert(libc::SYS_unlinkat, vec![all(vec![is(0), (2, SeccompCmpOp::Eq, 0)])?]);
    rules.insert(libc::SYS_renameat, vec![all(vec![is(0), is(2)])?]);
    let no_replace = u64::from(libc::RENAME_NOREPLACE);
    rules.insert(libc::SYS_renameat2, vec![all(vec![is(0), is(2), (4, SeccompCmpOp::Eq, no_replace)])?]);
    rules.insert(libc::SYS_ftruncate, Vec::new());
    // LOCK_EX and LOCK_NB.
    rules.insert(libc::SYS_flock, one_of(1, &[6])?);
    let new = libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
    let looked_at = SeccompCmpOp::MaskedEq(u64::from((libc::O_ACCMODE | libc::O_TRUNC | new).unsigned_abs()));
    all(vec![is(0), (2, looked_at, u64::from((libc::O_WRONLY | new).unsigned_abs()))])
}

/// A rule that holds if all of these do: argument, comparison, number. The kernel looks at the lower 32 bits of these arguments, and so do we.
fn all(conditions: Vec<(u8, SeccompCmpOp, u64)>) -> Result<SeccompRule, BackendError> {
    let conditions = conditions
        .into_iter()
        .map(|(argument, op, value)| SeccompCondition::new(argument, SeccompCmpArgLen::Dword, op, value))
        .collect::<Result<_, _>>()?;
    SeccompRule::new(conditions)
}

/// The same for whole arguments that are to be equal.
fn all64(conditions: Vec<(u8, u64)>) -> Result<SeccompRule, BackendError> {
    let conditions = conditions
        .into_iter()
        .map(|(argument, value)| {
            SeccompCondition::new(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, value)
        })
        .collect::<Result<_, _>>()?;
    SeccompRule::new(conditions)
}

/// Rules of which one must hold: the argument is one of the values.
fn one_of(argument: u8, values: &[u64]) -> Result<Vec<SeccompRule>, BackendError> {
    values.iter().map(|value| all(vec![(argument, SeccompCmpOp::Eq, *value)])).collect()
}
