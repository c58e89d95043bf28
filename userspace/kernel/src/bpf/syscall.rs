//! The border: the one place that calls bpf(2), and that maps the memory of a map.
//!
//! Every caller stands in this folder and says why its pointers are good. Tests put a stand-in kernel behind it.

#![expect(unsafe_code, reason = "bpf(2) takes pointers")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use aya_obj::generated::{bpf_attr, bpf_cmd, bpf_insn, bpf_map_info, bpf_prog_info, perf_event_attr};
use rustix::mm::{MapFlags, ProtFlags};

use crate::bpf::memlock;
#[cfg(test)]
use crate::bpf::stand_in;

/// A generated struct that may begin as zeroes.
///
/// # Safety
/// It is made of plain numbers: all zeroes is one of its values.
pub(super) unsafe trait Plain: Sized {
    /// One of zeroes, the padding too: the kernel refuses what is set in the fields of other commands.
    fn zeroed() -> Self {
        // SAFETY: zeroes are a value of it, by the contract of this trait.
        unsafe { std::mem::zeroed() }
    }
}

// SAFETY: bindgen makes it of integers, arrays of them, and unions and structs of these.
unsafe impl Plain for bpf_attr {}
// SAFETY: as above.
unsafe impl Plain for bpf_insn {}
// SAFETY: as above.
unsafe impl Plain for bpf_map_info {}
// SAFETY: as above.
unsafe impl Plain for bpf_prog_info {}
// SAFETY: as above.
unsafe impl Plain for perf_event_attr {}

/// Runs one command.
///
/// # Safety
/// Each pointer in `attr` that the command uses is to memory of as many bytes as the kernel takes it to have: by another field of
/// `attr`, or by the sizes of the map's keys and values. It lives through the call, and where the kernel writes it is the caller's alone.
pub(super) unsafe fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<libc::c_long> {
    #[cfg(test)]
    if let Some(answer) = stand_in::bpf(command, attr) {
        return answer;
    }
    let (attr, size) = (std::ptr::from_mut(attr), size_of::<bpf_attr>());
    // SAFETY: the kernel reads and writes at most `size` bytes of `attr`; the caller vouches for the pointers in it.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command as libc::c_long, attr, size) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Runs one command that answers with a new file descriptor.
///
/// # Safety
/// As [`bpf`], and the command is one of those.
pub(super) unsafe fn bpf_fd_once(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    // SAFETY: the caller's promise.
    let fd = RawFd::try_from(unsafe { bpf(command, attr) }?).map_err(io::Error::other)?;
    // SAFETY: the command succeeded, so this is a new file descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The same; where the locked memory is used up it raises the limit and tries again.
///
/// # Safety
/// As [`bpf_fd_once`].
pub(super) unsafe fn bpf_fd(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    // SAFETY: the caller's promise.
    match unsafe { bpf_fd_once(command, attr) } {
        // Kernels before 5.11 charge maps and programs to the locked memory, and this is what they say where it is used up.
        Err(error) if error.raw_os_error() == Some(libc::EPERM) && memlock::raise() => {
            // SAFETY: the caller's promise.
            unsafe { bpf_fd_once(command, attr) }
        }
        answer => answer,
    }
}

/// A descriptor as `bpf_attr` has it.
pub(super) fn raw(fd: BorrowedFd<'_>) -> io::Result<u32> {
    u32::try_from(fd.as_raw_fd()).map_err(io::Error::other)
}

/// The first bytes of a mappable map, in our memory.
#[derive(Debug)]
pub(super) struct Mapping {
    address: *mut libc::c_void,
    bytes: usize,
}

// SAFETY: the pointer is to a mapping that lives as long as this value and is reached through `&self` and `&mut self` only by copying.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps the first `bytes` of a map.
    pub(super) fn new(map: BorrowedFd<'_>, bytes: usize) -> io::Result<Self> {
        #[cfg(test)]
        if let Some(answer) = stand_in::mmap(map, bytes) {
            return answer.map(|address| Self { address, bytes });
        }
        // SAFETY: a new mapping at an address of the kernel's choice; it overlaps nothing.
        let address = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                bytes,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                map,
                0,
            )?
        };
        Ok(Self { address, bytes })
    }

    /// How many bytes are mapped.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Copies bytes out, word by word; zeroes where the range is not inside the mapping, or no range of whole words.
    pub(super) fn read(&self, offset: usize, to: &mut [u8]) {
        let fits = offset.checked_add(to.len()).is_some_and(|end| end <= self.bytes);
        if !fits || !offset.is_multiple_of(8) || !to.len().is_multiple_of(8) {
            to.fill(0);
            return;
        }
        for (index, word) in to.chunks_exact_mut(8).enumerate() {
            // SAFETY: the range was checked to lie inside the mapping, which begins at a page. The kernel may write there meanwhile.
            let value = unsafe { self.address.byte_add(offset).cast::<u64>().add(index).read_volatile() };
            word.copy_from_slice(&value.to_ne_bytes());
        }
    }

    /// Writes the first bytes, as many whole words as there are.
    pub(super) fn write_first(&mut self, from: &[u8]) {
        for (index, word) in from.as_chunks::<8>().0.iter().enumerate().take(self.bytes / 8) {
            // SAFETY: the words before the end of the mapping are taken, and it begins at a page.
            unsafe { self.address.cast::<u64>().add(index).write_volatile(u64::from_ne_bytes(*word)) };
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        #[cfg(test)]
        if stand_in::munmap(self.address) {
            return;
        }
        // SAFETY: the mapping was made by `new`, is unmapped once, and no reference into it exists.
        let _ = unsafe { rustix::mm::munmap(self.address, self.bytes) };
    }
}

/// `None` for what is not there.
pub(super) fn there(answer: io::Result<libc::c_long>) -> io::Result<Option<()>> {
    match answer {
        Ok(_) => Ok(Some(())),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}
