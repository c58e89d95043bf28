//! `/proc/PID/smaps` and `/proc/PID/maps`: every mapping of a process, and which of them are rings.
//!
//! ```text
//! 7f9ed1510000-7f9ed1513000 rw-s 00000000 00:13 38567                      /[aio] (deleted)
//! Size:                 12 kB
//! VmFlags: rd wr sh mr mw me ms de
//! ```
//! One header line a mapping (fs/proc/task_mmu.c:show_map_vma); smaps adds lines that begin with a capital letter and
//! hold a colon. The kernel escapes line feeds in names, so a line is a line; all other bytes are the file system's.

use aioinspect_model::evidence::{MappingSource, Perms, RingMapping, Vma};

/// What `/proc` prints for a ring: it has a name of its own and never had a link.
const RING_NAMES: [&[u8]; 2] = [b"/[aio] (deleted)", b"/[aio]"];
/// `S_IFMT`: the bits of a mode that say what kind of file it is. A ring's inode is of none (fs/libfs.c:alloc_anon_inode).
const FILE_TYPE: u32 = 0o170_000;

/// Why a text is not a list of mappings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SmapsError {
    /// A line that is neither a mapping nor a key.
    #[error("line {line} of the mappings is neither a mapping nor a key: {text:?}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// How it begins.
        text: String,
    },
    /// A key before the first mapping.
    #[error("line {line} of the mappings is a key without a mapping")]
    Stray {
        /// Its number, from 1.
        line: usize,
    },
}

/// All mappings, in the text's order. `is_ring` is set for candidates: see `confirm_rings`.
pub fn parse(text: &[u8]) -> Result<Vec<Vma>, SmapsError> {
    read(text, |_| true)
}

/// Only the candidates for rings, which costs next to nothing for a process without any.
pub fn parse_rings(text: &[u8]) -> Result<Vec<Vma>, SmapsError> {
    let mut vmas = read(text, |line| RING_NAMES.iter().any(|name| line.ends_with(name)))?;
    vmas.retain(|vma| vma.is_ring);
    Ok(vmas)
}

/// Whether a mapping may be a ring: by name, anonymous device, inode and sharing.
///
/// A file called `/[aio]` on a file system with an anonymous device (overlayfs, btrfs, tmpfs) passes too.
pub fn is_ring_candidate(vma: &Vma) -> bool {
    RING_NAMES.contains(&vma.name.as_slice()) && vma.device.0 == 0 && vma.inode != 0 && vma.perms.shared
}

/// Settles which candidates are rings by the mode of the mapped file (`/proc/PID/map_files/START-END`, followed).
///
/// All rings live on one device (fs/aio.c:aio_init_fs_context) that holds nothing else, so one answer settles a
/// device, and `mode_of` is asked no more than that. Where it cannot tell, a candidate stays one unless
/// another device is known to be the rings'.
pub fn confirm_rings(vmas: &mut [Vma], mode_of: impl Fn(u64, u64) -> Option<u32>) {
    let mut settled: Vec<((u32, u32), bool)> = Vec::new();
    for vma in vmas.iter_mut() {
        vma.is_ring = is_ring_candidate(vma);
        if vma.is_ring
            && !settled.iter().any(|(device, _)| *device == vma.device)
            && let Some(mode) = mode_of(vma.start, vma.end)
        {
            settled.push((vma.device, mode & FILE_TYPE == 0));
        }
    }
    let one_is_known = settled.iter().any(|(_, rings)| *rings);
    for vma in vmas.iter_mut().filter(|vma| vma.is_ring) {
        let known = settled.iter().find(|(device, _)| *device == vma.device);
        vma.is_ring = known.map_or(!one_is_known, |(_, rings)| *rings);
    }
}

/// The mappings that are rings, as the witness reports them.
pub fn ring_mappings(vmas: &[Vma]) -> Vec<RingMapping> {
    let ring = |vma: &Vma| RingMapping {
        start: vma.start,
        end: vma.end,
        offset: vma.offset,
        inode: vma.inode,
        perms: vma.perms,
        source: MappingSource::Smaps,
    };
    vmas.iter().filter(|vma| vma.is_ring).map(ring).collect()
}

/// Reads the mappings whose header line `wanted` lets pass; the keys of the others are passed over.
fn read(text: &[u8], wanted: impl Fn(&[u8]) -> bool) -> Result<Vec<Vma>, SmapsError> {
    let mut vmas = Vec::new();
    let (mut any, mut skipping) = (false, false);
    for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let bad = || SmapsError::Line {
            line: number + 1,
            text: String::from_utf8_lossy(line.get(..60).unwrap_or(line)).into_owned(),
        };
        match line.first() {
            None => {}
            Some(b'A'..=b'Z') => {
                if !any {
                    return Err(SmapsError::Stray { line: number + 1 });
                }
                if let Some(codes) = line.strip_prefix(b"VmFlags:".as_slice()) {
                    if let Some(vma) = vmas.last_mut().filter(|_| !skipping) {
                        set_flags(vma, codes);
                    }
                } else if !line.contains(&b':') {
                    return Err(bad());
                }
            }
            Some(b'0'..=b'9' | b'a'..=b'f') => {
                any = true;
                skipping = !wanted(line);
                if !skipping {
                    vmas.push(header(line).ok_or_else(bad)?);
                }
            }
            Some(_) => return Err(bad()),
        }
    }
    Ok(vmas)
}

/// The two-letter codes, single blanks between them.
fn set_flags(vma: &mut Vma, codes: &[u8]) {
    let codes = codes.split(u8::is_ascii_whitespace).filter(|code| !code.is_empty());
    vma.vm_flags.clear();
    for code in codes.filter_map(|code| str::from_utf8(code).ok()) {
        if !vma.vm_flags.is_empty() {
            vma.vm_flags.push(' ');
        }
        vma.vm_flags.push_str(code);
    }
}

/// The first line of a mapping.
fn header(line: &[u8]) -> Option<Vma> {
    let (start, rest) = number(line, 16, b'-')?;
    let (end, rest) = number(rest, 16, b' ')?;
    let ([r, w, x, s, b' '], rest) = rest.split_first_chunk()? else { return None };
    let perms = Perms {
        read: letter(*r, b'r', b'-')?,
        write: letter(*w, b'w', b'-')?,
        exec: letter(*x, b'x', b'-')?,
        shared: letter(*s, b's', b'p')?,
    };
    let (offset, rest) = number(rest, 16, b' ')?;
    let (major, rest) = number(rest, 16, b':')?;
    let (minor, rest) = number(rest, 16, b' ')?;
    // Without a name some kernels end the line right after the inode.
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let inode = value(rest.get(..digits)?, 10)?;
    let rest = rest.get(digits..)?;
    if !matches!(rest.first(), None | Some(b' ')) || start >= end {
        return None;
    }
    let name = rest.get(rest.iter().take_while(|byte| **byte == b' ').count()..)?;
    let device = (u32::try_from(major).ok()?, u32::try_from(minor).ok()?);
    let mut vma = Vma {
        start,
        end,
        offset,
        perms,
        device,
        inode,
        name: name.to_vec(),
        vm_flags: String::new(),
        is_ring: false,
    };
    vma.is_ring = is_ring_candidate(&vma);
    Some(vma)
}

/// True for `yes`, false for `no`.
fn letter(found: u8, yes: u8, no: u8) -> Option<bool> {
    if found == yes { Some(true) } else { (found == no).then_some(false) }
}

/// A number and what follows the byte that ends it.
fn number(text: &[u8], radix: u32, end: u8) -> Option<(u64, &[u8])> {
    let len = text.iter().take(17).position(|byte| *byte == end)?;
    Some((value(text.get(..len)?, radix)?, text.get(len + 1..)?))
}

/// Digits, one at least, as a number.
fn value(digits: &[u8], radix: u32) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, digit| {
        let digit = char::from(*digit).to_digit(radix)?;
        sum.checked_mul(u64::from(radix))?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests;
