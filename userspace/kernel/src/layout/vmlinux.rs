//! The bytes of the kernel's own BTF, some 5 MB: mapped where the kernel allows it, else copied.
//!
//! Kernels since 6.16 let it be mapped ("btf: allow mmap of vmlinux btf"). Others hand it out in pieces of a page: 1,300 calls,
//! and as many page faults for the copy; whoever knows which pages it needs copies those.

#![expect(unsafe_code, reason = "the mapping is the kernel's memory, reached through a pointer")]

use std::fs::File;
use std::io::{self, Read};
use std::ops::Deref;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::mm::{MapFlags, ProtFlags};

use aioinspect_parse::btf::index::{Index, PAGE};

/// Where the kernel shows its own types.
pub const VMLINUX_BTF: &str = "/sys/kernel/btf/vmlinux";

/// The bytes, for as long as they are needed.
pub struct VmlinuxBtf(Bytes);

enum Bytes {
    Mapped { address: *mut libc::c_void, len: usize },
    Copied(Vec<u8>),
}

impl VmlinuxBtf {
    /// Opens it at `path`, which must be of sysfs.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let len = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        // SAFETY: a new mapping at an address of the kernel's choice; it overlaps nothing.
        let mapped = unsafe {
            rustix::mm::mmap(std::ptr::null_mut(), len, ProtFlags::READ, MapFlags::PRIVATE, &file, 0)
        };
        if let Ok(address) = mapped {
            return Ok(Self(Bytes::Mapped { address, len }));
        }
        let mut bytes = Vec::with_capacity(len.saturating_add(1));
        file.read_to_end(&mut bytes)?;
        Ok(Self(Bytes::Copied(bytes)))
    }
}

/// The same bytes, but zeroes where `index` has no page: its few pages cost less than to map all, and any kernel hands them out.
pub fn pages_of(path: &Path, index: &Index) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let len = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let mut bytes = vec![0; len];
    for page in index.pages() {
        let at = page.checked_mul(PAGE).ok_or(io::ErrorKind::InvalidData)?;
        let end = at.saturating_add(PAGE).min(len);
        let to = bytes.get_mut(at..end).ok_or(io::ErrorKind::InvalidData)?;
        file.read_exact_at(to, u64::try_from(at).map_err(io::Error::other)?)?;
    }
    Ok(bytes)
}

impl Deref for VmlinuxBtf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            // SAFETY: the mapping has this length, lives as long as `self`, and is of a section of the kernel that never changes.
            Bytes::Mapped { address, len } => unsafe {
                std::slice::from_raw_parts(address.cast::<u8>(), *len)
            },
            Bytes::Copied(bytes) => bytes,
        }
    }
}

impl Drop for VmlinuxBtf {
    fn drop(&mut self) {
        if let Bytes::Mapped { address, len } = &self.0 {
            // SAFETY: the mapping made by `open`, unmapped once, and no reference into it exists.
            let _ = unsafe { rustix::mm::munmap(*address, *len) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aioinspect_parse::btf::Btf;
    use aioinspect_parse::kernel::layout::{Layout, WANTED};

    /// Check that the bytes are those that a plain read gives, mapped or not, where this kernel has them and lets us.
    #[test]
    fn the_bytes_of_the_file() {
        let path = Path::new(VMLINUX_BTF);
        let Ok(plain) = std::fs::read(path) else { return };
        assert!(*VmlinuxBtf::open(path).unwrap() == *plain);
    }

    /// Check that the pages of an index are enough to answer what it was made for, and that no others are read.
    #[test]
    fn pages_alone() {
        let path = Path::new(VMLINUX_BTF);
        let Ok(plain) = std::fs::read(path) else { return };
        let btf = Btf::parse(&plain, WANTED).unwrap();
        let layout = Layout::resolve(&btf).unwrap();
        let index = Index::of(&btf, plain.len()).unwrap();
        let sparse = pages_of(path, &index).unwrap();
        let btf = Btf::indexed(&sparse, WANTED, &index).unwrap();
        assert_eq!(Layout::resolve(&btf), Ok(layout));
        assert!(!btf.went_beyond());
        let read = sparse.chunks(PAGE).filter(|page| page.iter().any(|byte| *byte != 0)).count();
        assert!(read <= index.pages().count() && read < 200, "{read}");
        assert!(pages_of(Path::new("/dev/null"), &index).is_err());
    }

    /// Check that what is absent is an error of that kind.
    #[test]
    fn absent() {
        let error = VmlinuxBtf::open(Path::new("/sys/kernel/btf/no such module")).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
