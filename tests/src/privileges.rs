//! What a watch has to keep of its privileges on the kernel that runs, found by trying.

use aioinspect_ebpf::{SpaceKey, SubmitErrors};
use aioinspect_kernel::bpf::call::{MapShape, map_create};
use aioinspect_kernel::bpf::map::HashMap;
use aioinspect_kernel::confine::without_privileges;

/// The capabilities that are left to whoever reads BPF maps, as `/proc/PID/status` shows a set: none, or CAP_BPF alone where the kernel asks for
/// it at every call of bpf(2) (before 5.19, with unprivileged BPF off).
///
/// # Panics
///
/// If maps cannot be made here at all.
pub fn left() -> &'static str {
    let trial = std::thread::spawn(|| {
        let map = map_create("left", MapShape::hash::<SpaceKey, SubmitErrors>(1))?;
        let map = HashMap::<SpaceKey, SubmitErrors>::open(map)?;
        without_privileges::give_up(|| map.get(&SpaceKey::default()).map(drop))
    });
    match trial.join() {
        Ok(Ok(true)) => "0000008000000000",
        Ok(Ok(false)) => "0000000000000000",
        Ok(Err(error)) => panic!("{error}"),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}
