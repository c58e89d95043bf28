//! Where CRIU put a page of a process: `pagemap-PID.img`.
//!
//! ```text
//! u32 LE 0x54564319   an image of CRIU 2.0 or later
//! u32 LE 0x56084025   of the pagemap kind
//! u32 LE size, size bytes of pagemap_head
//! u32 LE size, size bytes of pagemap_entry, as often as needed
//! ```
//! The pages of all entries that are present follow one another in `pages-N.img`, which has no header.

use prost::Message;

use crate::image::{IMAGE_MAGIC, word};
use crate::schema::criu::{PagemapEntry, PagemapHead};

/// Second word of a pagemap image (PAGEMAP_MAGIC).
const PAGEMAP_MAGIC: u32 = 0x5608_4025;
/// PE_PARENT and PE_PRESENT of `criu/include/pagemap.h`.
const IN_PARENT: u32 = 1;
const PRESENT: u32 = 4;
/// No entry is longer.
const MAX_ENTRY_LEN: usize = 64;

/// Where a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In `pages-N.img`.
    File {
        /// N.
        pages_id: u32,
        /// Byte of that file where the address is.
        offset: u64,
    },
    /// In the images of the iteration before.
    Parent,
    /// In no file of pages: it is zero, or was sent elsewhere.
    Nowhere,
}

/// Why bytes are not a pagemap image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PagemapError {
    /// The first words are others.
    #[error("not a pagemap image of CRIU")]
    NotAPagemap,
    /// The file ends within an entry, or has none.
    #[error("truncated pagemap image")]
    Truncated,
    /// An entry that no CRIU writes.
    #[error("malformed pagemap entry: {0}")]
    Decode(#[from] prost::DecodeError),
    /// A size or an address that cannot be.
    #[error("a pagemap entry is too large")]
    TooLarge,
}

/// Finds the page that holds `address`.
pub fn place_of(pagemap: &[u8], address: u64, page_size: u32) -> Result<Place, PagemapError> {
    if (word(pagemap, 0), word(pagemap, 4)) != (Some(IMAGE_MAGIC), Some(PAGEMAP_MAGIC)) {
        return Err(PagemapError::NotAPagemap);
    }
    let mut rest = pagemap.get(8..).unwrap_or_default();
    let PagemapHead { pages_id } = PagemapHead::decode(next(&mut rest)?)?;
    let mut offset = 0_u64;
    while !rest.is_empty() {
        let entry = PagemapEntry::decode(next(&mut rest)?)?;
        let pages = entry.nr_pages.filter(|pages| *pages > 0);
        let pages = pages.unwrap_or_else(|| entry.compat_nr_pages.unwrap_or(0).into());
        let bytes = pages.checked_mul(page_size.into()).ok_or(PagemapError::TooLarge)?;
        let flags = entry.flags.unwrap_or(if entry.in_parent == Some(true) { IN_PARENT } else { PRESENT });
        if let Some(within) = address.checked_sub(entry.vaddr).filter(|within| *within < bytes) {
            return Ok(match (flags & IN_PARENT != 0, flags & PRESENT != 0) {
                (true, _) => Place::Parent,
                (false, true) => {
                    let offset = offset.checked_add(within).ok_or(PagemapError::TooLarge)?;
                    Place::File { pages_id, offset }
                }
                (false, false) => Place::Nowhere,
            });
        }
        if flags & IN_PARENT == 0 && flags & PRESENT != 0 {
            offset = offset.checked_add(bytes).ok_or(PagemapError::TooLarge)?;
        }
    }
    Ok(Place::Nowhere)
}

fn next<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], PagemapError> {
    let size = word(rest, 0).and_then(|size| usize::try_from(size).ok()).ok_or(PagemapError::Truncated)?;
    if size > MAX_ENTRY_LEN {
        return Err(PagemapError::TooLarge);
    }
    let end = size.saturating_add(4);
    let entry = rest.get(4..end).ok_or(PagemapError::Truncated)?;
    *rest = rest.get(end..).unwrap_or_default();
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An image with these entries: address, pages, flags.
    fn image(entries: &[(u64, u64, u32)]) -> Vec<u8> {
        let mut bytes = [IMAGE_MAGIC, PAGEMAP_MAGIC].map(u32::to_le_bytes).concat();
        let mut push = |message: Vec<u8>| {
            bytes.extend_from_slice(&u32::try_from(message.len()).unwrap().to_le_bytes());
            bytes.extend_from_slice(&message);
        };
        push(PagemapHead { pages_id: 7 }.encode_to_vec());
        for (vaddr, pages, flags) in entries {
            let entry = PagemapEntry {
                vaddr: *vaddr,
                compat_nr_pages: Some(0),
                in_parent: None,
                flags: Some(*flags),
                nr_pages: Some(*pages),
            };
            push(entry.encode_to_vec());
        }
        bytes
    }

    /// Check where pages are: after those that are present before them, in the parent, or nowhere.
    #[test]
    fn places() {
        let bytes = image(&[(0x1000, 2, 4), (0x5000, 1, 1), (0x7000, 3, 2), (0x20000, 2, 6)]);
        let at = |address| place_of(&bytes, address, 4096).unwrap();
        assert_eq!(at(0x1010), Place::File { pages_id: 7, offset: 0x10 });
        assert_eq!(at(0x2fff), Place::File { pages_id: 7, offset: 0x1fff });
        assert_eq!(at(0x3000), Place::Nowhere);
        assert_eq!(at(0x5000), Place::Parent);
        assert_eq!(at(0x7000), Place::Nowhere);
        // The pages that are in the parent, or nowhere, take no room.
        assert_eq!(at(0x21000), Place::File { pages_id: 7, offset: 0x3000 });
    }

    /// Check entries as CRIU 3.17 writes them: another field for the number, and no flags.
    #[test]
    fn older_entries() {
        let mut bytes = image(&[]);
        for in_parent in [None, Some(true)] {
            let entry = PagemapEntry {
                vaddr: 0x1000,
                compat_nr_pages: Some(1),
                in_parent,
                ..PagemapEntry::default()
            };
            let message = entry.encode_to_vec();
            let mut one = bytes.clone();
            one.extend_from_slice(&u32::try_from(message.len()).unwrap().to_le_bytes());
            one.extend_from_slice(&message);
            let expected =
                if in_parent.is_some() { Place::Parent } else { Place::File { pages_id: 7, offset: 0 } };
            assert_eq!(place_of(&one, 0x1000, 4096), Ok(expected));
        }
        bytes.truncate(3);
        assert_eq!(place_of(&bytes, 0, 4096), Err(PagemapError::NotAPagemap));
    }

    proptest! {
        /// Check that no bytes make it panic, nor an image that is cut or changed anywhere.
        #[test]
        fn never_panics(noise in proptest::collection::vec(any::<u8>(), 0..200), cut in 0_usize..120, at in any::<u64>()) {
            let _ = place_of(&noise, at, 4096);
            let mut bytes = image(&[(at, u64::MAX, 4), (0, u64::MAX / 4096, 4), (0x1000, 1, 4)]);
            bytes.truncate(cut);
            let _ = place_of(&bytes, 0x1000, 4096);
            bytes.extend_from_slice(&noise);
            let _ = place_of(&bytes, at, u32::MAX);
        }
    }
}
