//! What a file holds whose every page is known: so bytes that were read or written can be told right from wrong.

/// Bytes of a page.
const PAGE: u64 = 4096;

/// What such a file says from page `first` on, `bytes` of it: each page is one word all over, each another.
pub fn content(first: u64, bytes: u64) -> Vec<u8> {
    let mut all = Vec::new();
    for page in first..first + bytes.div_ceil(PAGE) {
        let word = page.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1).to_ne_bytes();
        all.extend(word.iter().copied().cycle().take(4096));
    }
    all.truncate(usize::try_from(bytes).unwrap_or(usize::MAX));
    all
}
