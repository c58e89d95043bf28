//! What a process can do to its own ring: move, protect and cut it, and write lies into its header.
#![expect(unsafe_code, reason = "mappings by address and stores into the ring")]

use serde_json::json;

use crate::context::{Context, Page};
use crate::failure::{Done, Failure};
use crate::memory::{self, page};
use crate::state::State;
use crate::words::Words;

/// `mremap CTX [PAGES]`: moves the ring, and with it the id; keeps only PAGES if told.
pub(crate) fn mremap(state: &mut State, words: &mut Words) -> Done {
    let context = state.context(words.word("CTX")?)?;
    let pages = context.pages.len();
    let keep = words.maybe::<usize>("PAGES")?.unwrap_or(pages);
    if keep == 0 || keep > pages {
        return Err(Failure::refused(format!("a ring of {pages} pages cannot become {keep}")));
    }
    let keep_len = u64::try_from(keep).unwrap_or(0) * page();
    // SAFETY: a ring holds no Rust object.
    context.id = unsafe { memory::relocate(context.id, context.ring_len(), keep_len)? };
    for page in context.pages.iter_mut().skip(keep) {
        *page = Page::Gone;
    }
    Ok(json!({"id": format!("{:#x}", context.id)}))
}

/// `mprotect CTX none|ro|rw [page K]`.
pub(crate) fn mprotect(state: &mut State, words: &mut Words) -> Done {
    let context = state.context(words.word("CTX")?)?;
    let (page, prot) = match words.word("none|ro|rw")? {
        "none" => (Page::None, libc::PROT_NONE),
        "ro" => (Page::ReadOnly, libc::PROT_READ),
        "rw" => (Page::ReadWrite, libc::PROT_READ | libc::PROT_WRITE),
        other => return Err(Failure::refused(format!("no protection {other:?}"))),
    };
    let (address, len, range) = part(context, words)?;
    if context.pages.get(range.clone()).is_none_or(|pages| pages.contains(&Page::Gone)) {
        return Err(Failure::refused("not all of that is mapped"));
    }
    // SAFETY: a ring holds no Rust object.
    unsafe { memory::protect(address, len, prot)? };
    for known in context.pages.iter_mut().take(range.end).skip(range.start) {
        *known = page;
    }
    Ok(json!({}))
}

/// `munmap CTX all|page K [hold]`: with `hold`, the hole is kept, so that no later ring gets the same id.
pub(crate) fn munmap(state: &mut State, words: &mut Words) -> Done {
    let context = state.context(words.word("CTX")?)?;
    let (address, len, range) = part(context, words)?;
    if context.pages.get(range.clone()).is_none_or(|pages| pages.contains(&Page::Gone)) {
        return Err(Failure::refused("not all of that is mapped"));
    }
    if words.next() == Some("hold") {
        // SAFETY: a ring holds no Rust object.
        unsafe { memory::occupy(address, len)? };
    } else {
        // SAFETY: as above.
        unsafe { memory::unmap(address, len)? };
    }
    for known in context.pages.iter_mut().take(range.end).skip(range.start) {
        *known = Page::Gone;
    }
    Ok(json!({}))
}

/// `forge CTX FIELD VALUE`.
pub(crate) fn forge(state: &mut State, words: &mut Words) -> Done {
    let context = state.context(words.word("CTX")?)?;
    let (address, field) = context.field(words.word("FIELD")?)?;
    let value = words.number("VALUE")?;
    writable(context)?;
    context.note_forged(field, value);
    // SAFETY: page 0 is mapped writable, and a ring holds no Rust object.
    unsafe { memory::store_u32(address, value) };
    Ok(json!({}))
}

/// `unforge CTX`: every forged word says again what the kernel would have it say.
pub(crate) fn unforge(state: &mut State, words: &mut Words) -> Done {
    let context = state.context(words.word("CTX")?)?;
    writable(context)?;
    for forged in std::mem::take(&mut context.forged) {
        let value = match forged.field {
            "head" => context.head(),
            "tail" => context.tail(),
            _ => forged.original,
        };
        let (address, _) = context.field(forged.field)?;
        // SAFETY: page 0 is mapped writable, and a ring holds no Rust object.
        unsafe { memory::store_u32(address, value) };
    }
    Ok(json!({}))
}

fn writable(context: &Context) -> Result<(), Failure> {
    if context.header_writable() {
        Ok(())
    } else {
        Err(Failure::refused("the header is not mapped writable"))
    }
}

fn part(context: &Context, words: &mut Words) -> Result<(u64, u64, std::ops::Range<usize>), Failure> {
    let pages = context.pages.len();
    match words.next() {
        None | Some("all") => Ok((context.id, context.ring_len(), 0..pages)),
        Some("page") => {
            let k = words.number::<usize>("K")?;
            if k >= pages {
                return Err(Failure::refused(format!("the ring has only {pages} pages")));
            }
            let offset = u64::try_from(k).unwrap_or(0) * page();
            Ok((context.id + offset, page(), k..k + 1))
        }
        Some(other) => Err(Failure::refused(format!("all or page K, not {other:?}"))),
    }
}
