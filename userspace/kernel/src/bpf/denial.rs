//! Why a call was refused with EPERM: the capabilities we lack, or who forbids it although we have them.

use std::fmt;

use crate::bpf::call::{MapShape, map_create, map_create_within_limits};
use crate::bpf::lockdown::{self, Lockdown};
use crate::bpf::memlock;
use crate::host::caps::{self, Capability, names};

/// What loading and attaching eBPF programs takes.
const NEEDED: [Capability; 2] = [Capability::Bpf, Capability::Perfmon];

/// Why a call of bpf(2) or perf_event_open(2) is not permitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// These capabilities are missing.
    Missing(Vec<Capability>),
    /// They are held in a user namespace, which does not count.
    UserNamespace,
    /// A seccomp filter is on, and bpf(2) is refused whatever is asked.
    Seccomp,
    /// bpf(2) is refused whatever is asked, by a security module.
    SecurityModule,
    /// The kernel is locked down to confidentiality.
    Lockdown,
    /// Whether it is so is not known, and we do not try: it would do harm.
    MaybeLockdown,
    /// Maps are charged to RLIMIT_MEMLOCK, which is that many bytes.
    Memlock(u64),
    /// None of these.
    Other,
}

/// What is known of us and of the kernel where a call was refused. Each is asked only if those before it do not explain it.
trait Witness {
    fn missing(&self) -> Vec<Capability>;
    fn in_user_namespace(&self) -> bool;
    /// Whether bpf(2) is refused before the kernel looks at what is asked.
    fn bpf_is_forbidden(&self) -> bool;
    fn has_seccomp_filter(&self) -> bool;
    fn lockdown(&self) -> Lockdown;
    fn memlock_limit(&self) -> Option<u64>;
    fn memlock_is_charged(&self) -> bool;
}

impl Denial {
    /// Finds out why a call of ours was refused.
    ///
    /// Not from `kernel.unprivileged_bpf_disabled`: it concerns those who lack the capabilities, and they lack them whatever it says.
    pub fn of_ours() -> Self {
        Self::by(&Here)
    }

    fn by(witness: &impl Witness) -> Self {
        let missing = witness.missing();
        if !missing.is_empty() {
            return Self::Missing(missing);
        }
        if witness.in_user_namespace() {
            return Self::UserNamespace;
        }
        if witness.bpf_is_forbidden() {
            return if witness.has_seccomp_filter() { Self::Seccomp } else { Self::SecurityModule };
        }
        // Maps come before all that lockdown refuses with EPERM.
        match witness.memlock_limit() {
            Some(limit) if witness.memlock_is_charged() => return Self::Memlock(limit),
            Some(_) | None => {}
        }
        if witness.lockdown() == Lockdown::Confidentiality { Self::Lockdown } else { Self::Other }
    }

    /// The line that mends it; `None`: none is known.
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::Missing(missing) => Some(caps::way_to(missing)),
            Self::UserNamespace => Some(caps::OUT_OF_USER_NAMESPACE.to_owned()),
            Self::Seccomp => Some(
                "allow bpf and perf_event_open in the seccomp profile (in a systemd unit: SystemCallFilter=bpf perf_event_open; \
                 in a container: --security-opt seccomp=PROFILE)"
                    .to_owned(),
            ),
            Self::SecurityModule => Some(
                "allow bpf in its policy; `journalctl -k` or /var/log/audit/audit.log names the rule".to_owned(),
            ),
            Self::Lockdown => Some(lockdown::FIX.to_owned()),
            Self::MaybeLockdown => Some(lockdown::SHOW.to_owned()),
            Self::Memlock(_) => Some(memlock::FIX.to_owned()),
            Self::Other => None,
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(missing) => {
                let verb = if missing.len() == 1 { "is" } else { "are" };
                write!(f, "{} {verb} missing", names(missing))?;
                // One of two is not seen to be half of what is needed.
                let is_half = missing.len() == 1 && missing.iter().all(|one| NEEDED.contains(one));
                if is_half { write!(f, " ({} are needed)", names(&NEEDED)) } else { Ok(()) }
            }
            Self::UserNamespace => {
                write!(f, "{} are held only in a user namespace, where they do not count", names(&NEEDED))
            }
            Self::Seccomp => f.write_str("a seccomp filter forbids bpf(2), although the capabilities are held"),
            Self::SecurityModule => f.write_str(
                "a security module (SELinux, AppArmor, a BPF one) forbids bpf(2), although the capabilities are held",
            ),
            Self::Lockdown => f.write_str("the kernel is locked down (lockdown=confidentiality)"),
            Self::MaybeLockdown => f.write_str("it is not known whether lockdown=confidentiality is in force"),
            Self::Memlock(limit) => write!(
                f,
                "this kernel charges BPF maps to RLIMIT_MEMLOCK, which is {limit} bytes; raising it needs \
                 CAP_SYS_RESOURCE"
            ),
            Self::Other => f.write_str("the kernel refuses it, although CAP_BPF and CAP_PERFMON are held"),
        }
    }
}

/// Whether a seccomp filter is on. It may let pass whatever is asked.
pub fn has_seccomp_filter() -> bool {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    // SECCOMP_MODE_FILTER
    status.lines().any(|line| line.strip_prefix("Seccomp:").is_some_and(|mode| mode.trim() == "2"))
}

/// Whether this kernel charges maps to RLIMIT_MEMLOCK: tried with a limit of nothing, for a moment. Maps must be permitted otherwise.
pub fn memlock_is_charged() -> bool {
    let made = memlock::with_nothing(|| map_create_within_limits("smallest", MapShape::SMALLEST));
    made.is_some_and(|made| made.is_err_and(|error| error.raw_os_error() == Some(libc::EPERM)))
}

/// This process on this kernel.
struct Here;

impl Witness for Here {
    fn missing(&self) -> Vec<Capability> {
        caps::missing(&NEEDED).unwrap_or_default()
    }

    fn in_user_namespace(&self) -> bool {
        caps::in_user_namespace()
    }

    fn bpf_is_forbidden(&self) -> bool {
        // No map is of this type: EINVAL from a kernel that looks (kernel/bpf/syscall.c:map_create), EPERM or EACCES before it does.
        match map_create("none", MapShape { kind: u32::MAX, ..MapShape::SMALLEST }) {
            Ok(_) => false,
            Err(error) => matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES)),
        }
    }

    fn has_seccomp_filter(&self) -> bool {
        has_seccomp_filter()
    }

    fn lockdown(&self) -> Lockdown {
        Lockdown::of_this_kernel()
    }

    fn memlock_limit(&self) -> Option<u64> {
        memlock::limit()
    }

    fn memlock_is_charged(&self) -> bool {
        memlock_is_charged()
    }
}

#[cfg(test)]
mod tests;
