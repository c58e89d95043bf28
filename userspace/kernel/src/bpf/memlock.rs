//! RLIMIT_MEMLOCK, to which kernels before 5.11 charge BPF maps and programs (kernel/bpf/syscall.c:bpf_charge_memlock there).

use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::bpf::call::{self, MapShape};

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

/// Whether this kernel charges maps to it: tried with a limit of nothing, for a moment. Maps must be permitted otherwise.
pub fn is_charged() -> bool {
    let before = getrlimit(Resource::Memlock);
    let nothing = Rlimit { current: Some(0), maximum: before.maximum };
    if setrlimit(Resource::Memlock, nothing).is_err() {
        return false;
    }
    // It is what is asked here that must not be mended.
    let raised = RAISED.swap(true, Ordering::Relaxed);
    let made = smallest_map();
    RAISED.store(raised, Ordering::Relaxed);
    // A soft limit may always be set back to what it was.
    let _ = setrlimit(Resource::Memlock, before);
    made.is_err_and(|error| error.raw_os_error() == Some(libc::EPERM))
}

fn smallest_map() -> std::io::Result<()> {
    const BPF_MAP_TYPE_ARRAY: u32 = 2;
    let shape = MapShape { kind: BPF_MAP_TYPE_ARRAY, key_size: 4, value_size: 4, max_entries: 1, flags: 0 };
    call::map_create("smallest", shape).map(drop)
}
