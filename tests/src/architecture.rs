//! What differs between the architectures for tests, and what stands in for a kernel or CPUs that lack it.
#![expect(unsafe_code, reason = "the personality of a thread")]

use std::io;

/// Number of io_pgetevents, which libc does not name everywhere.
pub const IO_PGETEVENTS: u32 = match () {
    #[cfg(target_arch = "x86_64")]
    () => 333,
    #[cfg(target_arch = "aarch64")]
    () => 292,
};

/// Why no 32-bit program can call here; `None` where one can, and where one must be able to for all that is known.
///
/// On x86_64 any process can make a 32-bit call. On aarch64 it takes a process of its own, for which a kernel needs CONFIG_COMPAT, which those with
/// larger pages than 4 kB seldom have, and CPUs that run AArch32, which newer ones do not.
pub fn no_callers_of_32_bits() -> Option<&'static str> {
    if cfg!(target_arch = "x86_64") {
        return None;
    }
    let symbols = std::fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    if symbols.contains(" T ") && !symbols.contains(" __arm64_compat_sys_io_setup\n") {
        return Some("this kernel is built without CONFIG_COMPAT");
    }
    if can_be_of_32_bits() { None } else { Some("these CPUs run no 32-bit program") }
}

/// Whether the kernel lets a thread say that it is of a 32-bit machine, which it refuses where no CPU runs such programs
/// (arch/arm64/kernel/sys.c:arm64_personality).
fn can_be_of_32_bits() -> bool {
    /// Asks and changes nothing (personality(2)).
    const ASK: libc::c_ulong = 0xffff_ffff;
    /// uapi/linux/personality.h.
    const PER_LINUX32: libc::c_ulong = 8;
    // SAFETY: takes a number; what it changes is of this thread, and put back.
    let before = unsafe { libc::personality(ASK) };
    let Ok(flags) = libc::c_ulong::try_from(before) else { return true };
    // SAFETY: as above.
    let taken = unsafe { libc::personality(flags | PER_LINUX32) };
    let refused = taken < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL);
    // SAFETY: as above.
    unsafe { libc::personality(flags) };
    !refused
}
