//! Pages of this machine, and what a file holds of which each block is known: so bytes that were read or written can be told right from wrong.
#![expect(unsafe_code, reason = "a question to the C library")]

/// Bytes of a block of such a file. Every page has a whole number of them.
pub const BLOCK: u64 = 4096;

/// What such a file says from block `first` on, `bytes` of it: each block is one word all over, each another.
pub fn content(first: u64, bytes: u64) -> Vec<u8> {
    let mut all = Vec::new();
    for block in first..first + bytes.div_ceil(BLOCK) {
        let word = block.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1).to_ne_bytes();
        all.extend(word.iter().copied().cycle().take(4096));
    }
    all.truncate(usize::try_from(bytes).unwrap_or(usize::MAX));
    all
}

/// Bytes of a page of this machine's memory.
///
/// # Panics
/// If the C library does not know.
pub fn size() -> u64 {
    // SAFETY: takes a number and returns one.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).unwrap_or_else(|_| panic!("pages of {size} bytes"))
}

/// Requests for which io_setup makes a ring of as many pages as it makes for `requests` where pages have 4 kB.
///
/// # Panics
/// If there are no such many requests.
pub fn as_many_pages(requests: u32) -> u32 {
    u32::try_from(u64::from(requests) * (size() / 4096)).unwrap_or_else(|_| panic!("{requests} requests"))
}
