//! RLIMIT_MEMLOCK, to which kernels before 5.11 charge BPF maps and programs (kernel/bpf/syscall.c:bpf_charge_memlock there).

use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

static RAISED: AtomicBool = AtomicBool::new(false);

/// Raises the limit as far as we may, once; whether that made it higher. It is our own process's alone.
pub(super) fn raise() -> bool {
    if RAISED.swap(true, Ordering::Relaxed) {
        return false;
    }
    let now = getrlimit(Resource::Memlock);
    if now.current.is_none() {
        return false;
    }
    let none = Rlimit { current: None, maximum: None };
    if setrlimit(Resource::Memlock, none).is_ok() {
        return true;
    }
    // Without CAP_SYS_RESOURCE.
    now.current != now.maximum
        && setrlimit(Resource::Memlock, Rlimit { current: now.maximum, maximum: now.maximum }).is_ok()
}

/// The line that raises it.
pub const FIX: &str =
    "ulimit -l unlimited (in a systemd unit: LimitMEMLOCK=infinity; in a container: --ulimit memlock=-1)";

/// The limit in bytes; `None`: there is none.
pub fn limit() -> Option<u64> {
    getrlimit(Resource::Memlock).current
}

/// Runs `act` under a limit of nothing; `None` where that cannot be set.
pub(super) fn with_nothing<T>(act: impl FnOnce() -> T) -> Option<T> {
    let before = getrlimit(Resource::Memlock);
    setrlimit(Resource::Memlock, Rlimit { current: Some(0), maximum: before.maximum }).ok()?;
    let done = act();
    // A soft limit may always be set back to what it was.
    let _ = setrlimit(Resource::Memlock, before);
    Some(done)
}
