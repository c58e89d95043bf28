//! RLIMIT_MEMLOCK, to which kernels before 5.11 charge what BPF takes.

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
