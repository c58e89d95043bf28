//! The size of a page: 4, 16 or 64 kB, as the kernel was built.
#![expect(unsafe_code, reason = "sysconf has no safe wrapper that asks libc")]

use std::sync::OnceLock;

/// Bytes of a page.
///
/// Of libc, which has it from the program's start. What reads /proc for it where there is none (rustix on kernels before 6.4) ends the program
/// instead.
pub fn page_size() -> u32 {
    static SIZE: OnceLock<u32> = OnceLock::new();
    *SIZE.get_or_init(|| {
        // SAFETY: takes a number.
        let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        // The smallest there is; libc never fails here.
        u32::try_from(size).ok().filter(|size| size.is_power_of_two()).unwrap_or(4096)
    })
}

#[cfg(test)]
mod tests {
    /// Check that it is what the kernel told this process (AT_PAGESZ).
    #[test]
    fn what_the_kernel_says() {
        assert_eq!(usize::try_from(super::page_size()).unwrap(), rustix::param::page_size());
    }
}
