//! The fixture's own memory: mappings moved, protected and cut by address, and words read without a fault.
#![expect(unsafe_code, reason = "mappings by address")]

use std::ffi::c_void;
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) use aioinspect_tests::pages::size as page;

use crate::failure::{At, Failure};

/// `len` as the C library wants it.
pub(crate) fn size(len: u64) -> Result<usize, Failure> {
    usize::try_from(len).map_err(|_| Failure::refused(format!("length {len} is too large")))
}

fn pointer(address: u64) -> Result<*mut c_void, Failure> {
    Ok(ptr::with_exposed_provenance_mut(size(address)?))
}

/// Reads this process's memory at `address`; EFAULT rather than a signal where it cannot be read.
pub(crate) fn read_self(address: u64, into: &mut [u8]) -> io::Result<()> {
    let address = usize::try_from(address).map_err(|_| io::Error::from_raw_os_error(libc::EFAULT))?;
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let remote = libc::iovec { iov_base: ptr::with_exposed_provenance_mut(address), iov_len: into.len() };
    // SAFETY: `local` describes `into`; the kernel checks `remote` as it would any foreign address.
    let n = unsafe { libc::process_vm_readv(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0) };
    match usize::try_from(n) {
        Ok(n) if n == into.len() => Ok(()),
        Ok(_) => Err(io::Error::from_raw_os_error(libc::EFAULT)),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Reads one word of this process's memory; `None` where it cannot be read.
pub(crate) fn load_u32(address: u64) -> Option<u32> {
    let mut word = [0; 4];
    read_self(address, &mut word).ok()?;
    Some(u32::from_ne_bytes(word))
}

/// Writes one word of a ring without a system call, as libaio writes `head`.
///
/// # Safety
/// `address` is four-byte aligned, mapped and writable, and no Rust object lies there.
pub(crate) unsafe fn store_u32(address: u64, value: u32) {
    let Ok(address) = usize::try_from(address) else { return };
    // SAFETY: the caller vouches for the address; the kernel and other processes see it as one word.
    let word = unsafe { AtomicU32::from_ptr(ptr::with_exposed_provenance_mut(address)) };
    word.store(value, Ordering::SeqCst);
}

/// Writes bytes to memory of ours by address.
///
/// # Safety
/// The range is mapped and writable, and no Rust object lies there.
pub(crate) unsafe fn store(address: u64, bytes: &[u8]) {
    let Ok(address) = usize::try_from(address) else { return };
    // SAFETY: the caller vouches for the range; a fresh slice does not overlap it.
    unsafe {
        ptr::copy_nonoverlapping(bytes.as_ptr(), ptr::with_exposed_provenance_mut(address), bytes.len());
    };
}

/// Maps `len` bytes of fresh private memory, somewhere.
pub(crate) fn map(len: u64, prot: i32) -> Result<u64, Failure> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping where the kernel finds room touches no existing memory.
    let at = unsafe { libc::mmap(ptr::null_mut(), size(len)?, prot, flags, -1, 0) };
    if at == libc::MAP_FAILED { Err(Failure::last("mmap")) } else { Ok(at.expose_provenance() as u64) }
}

/// Puts an inaccessible private mapping at `address`, so that nothing else comes to lie there.
///
/// # Safety
/// No Rust object lies in the range.
pub(crate) unsafe fn occupy(address: u64, len: u64) -> Result<(), Failure> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    // SAFETY: the caller vouches that nothing of ours lies in the range that is replaced.
    let at = unsafe { libc::mmap(pointer(address)?, size(len)?, libc::PROT_NONE, flags, -1, 0) };
    if at == libc::MAP_FAILED { Err(Failure::last("mmap")) } else { Ok(()) }
}

/// Unmaps a range.
///
/// # Safety
/// No Rust object lies in the range.
pub(crate) unsafe fn unmap(address: u64, len: u64) -> Result<(), Failure> {
    // SAFETY: as the caller vouches.
    let result = unsafe { libc::munmap(pointer(address)?, size(len)?) };
    if result == 0 { Ok(()) } else { Err(Failure::last("munmap")) }
}

/// Changes the protection of a range.
///
/// # Safety
/// No Rust object lies in the range.
pub(crate) unsafe fn protect(address: u64, len: u64, prot: i32) -> Result<(), Failure> {
    // SAFETY: as the caller vouches.
    let result = unsafe { libc::mprotect(pointer(address)?, size(len)?, prot) };
    if result == 0 { Ok(()) } else { Err(Failure::last("mprotect")) }
}

/// Moves a mapping of `len` bytes to a place where nothing was, keeping its first `keep` bytes.
///
/// # Safety
/// No Rust object lies in the range.
pub(crate) unsafe fn relocate(address: u64, len: u64, keep: u64) -> Result<u64, Failure> {
    let target = map(keep, libc::PROT_NONE)?;
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    // SAFETY: `target` is our own fresh placeholder; the caller vouches for the source.
    let at = unsafe { libc::mremap(pointer(address)?, size(len)?, size(keep)?, flags, pointer(target)?) };
    if at == libc::MAP_FAILED {
        let error = io::Error::last_os_error();
        // SAFETY: the placeholder is ours alone.
        unsafe { unmap(target, keep)? };
        return Err(error).at("mremap");
    }
    Ok(target)
}

/// Grows the heap's end by `bytes` and returns the new end.
pub(crate) fn grow_brk(bytes: u64) -> Result<u64, Failure> {
    let by = isize::try_from(bytes).map_err(|_| Failure::refused(format!("{bytes} is too large")))?;
    // SAFETY: growing leaves what is below as it was; the allocator copes with a break that others move.
    let old = unsafe { libc::sbrk(by) };
    if old.addr() == usize::MAX { Err(Failure::last("sbrk")) } else { Ok(brk()) }
}

/// The heap's end, as the kernel has it.
pub(crate) fn brk() -> u64 {
    // SAFETY: brk(0) changes nothing and returns the present end.
    let end = unsafe { libc::syscall(libc::SYS_brk, 0) };
    end.cast_unsigned()
}
