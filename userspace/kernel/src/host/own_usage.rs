//! What this process itself uses.

use std::io;

use rustix::process::Resource;

/// Memory and time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OwnUsage {
    /// Resident memory, bytes.
    pub resident: u64,
    /// User and system time so far, seconds.
    pub cpu_seconds: f64,
}

/// Asks the kernel; what cannot be had is 0.
pub fn own_usage() -> OwnUsage {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok()).unwrap_or(0);
    let page = u64::from(crate::host::page::page_size());
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
    let seconds = u32::try_from(time.tv_sec).unwrap_or(u32::MAX);
    OwnUsage {
        resident: pages.saturating_mul(page),
        cpu_seconds: f64::from(seconds) + f64::from(nanoseconds) / 1e9,
    }
}

/// Asks for as many file descriptors as we may have; how many those are.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    // More than a server of this kind needs would only make the kernel's tables larger.
    let wanted = limit.maximum.unwrap_or(u64::MAX).min(65_536);
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(wanted);
        rustix::process::setrlimit(Resource::Nofile, limit)?;
    }
    Ok(limit.current.unwrap_or(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that a process that runs has used something, and that time passes.
    #[test]
    fn something_is_used() {
        let before = own_usage();
        assert!(before.resident > 100_000, "{before:?}");
        let work: u64 = (0..3_000_000_u64).map(std::hint::black_box).sum();
        assert!(work > 0 && own_usage().cpu_seconds > before.cpu_seconds);
        assert!(raise_descriptor_limit().unwrap() >= 64);
    }
}
