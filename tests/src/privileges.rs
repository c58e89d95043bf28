//! What a watch has to keep of its privileges on the kernel that runs, found by trying.

use std::os::fd::AsFd;

use aioinspect_kernel::bpf::call::{MapShape, map_create};
use aioinspect_kernel::{bpf::map, confine::without_privileges};

/// The capabilities that are left to whoever reads BPF maps, as `/proc/PID/status` shows a set: none, or CAP_BPF alone where the kernel asks for
/// it at every call of bpf(2) (before 5.19, with unprivileged BPF off).
///
/// # Panics
///
/// If maps cannot be made here at all.
pub fn left() -> &'static str {
    let trial = std::thread::spawn(|| {
        const BPF_MAP_TYPE_ARRAY: u32 = 2;
        let shape =
            MapShape { kind: BPF_MAP_TYPE_ARRAY, key_size: 4, value_size: 8, max_entries: 1, flags: 0 };
        let map = map_create("left", shape)?;
        without_privileges::give_up(|| map::lookup(map.as_fd(), &[0; 4], &mut [0; 8]).map(drop))
    });
    match trial.join() {
        Ok(Ok(true)) => "0000008000000000",
        Ok(Ok(false)) => "0000000000000000",
        Ok(Err(error)) => panic!("{error}"),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}
