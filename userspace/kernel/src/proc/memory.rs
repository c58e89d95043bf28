//! Ring headers of another process, read in as few calls as the kernel allows.

#![expect(unsafe_code, reason = "process_vm_readv is a raw call")]

use rustix::io::Errno;

use aioinspect_model::evidence::HeaderReading;
use aioinspect_model::units::{ContextId, RING_HEADER_LEN, Tid};

/// Iovecs that one call takes (include/uapi/linux/uio.h:UIO_MAXIOV).
const IOV_MAX: usize = 1024;

/// One range of the other process: `struct iovec`, with an address that means nothing here.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct RemoteRange {
    base: usize,
    len: usize,
}

const _: () = assert!(size_of::<RemoteRange>() == size_of::<libc::iovec>());
const _: () = assert!(align_of::<RemoteRange>() == align_of::<libc::iovec>());

/// Why no header at all could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// It has exited, or what is left of it has no memory.
    #[error("thread {0} is gone or has no memory any more")]
    Gone(Tid),
    /// The kernel refused: EPERM.
    #[error("not permitted to read the memory of thread {0}: needs CAP_SYS_PTRACE")]
    NotPermitted(Tid),
    /// Anything else; ENOSYS where the kernel was built without it.
    #[error("process_vm_readv of thread {0} failed: {1}")]
    Failed(Tid, Errno),
}

/// A reading of ring headers, prepared so that [`read`](Self::read) does nothing but read.
#[derive(Debug)]
pub struct HeaderPlan {
    tid: Tid,
    ranges: Vec<RemoteRange>,
    headers: Vec<[u8; RING_HEADER_LEN]>,
    errors: Vec<Option<Errno>>,
}

impl HeaderPlan {
    /// Plans to read the 32 bytes at each of `addresses` in the address space of `tid`, any live thread of it.
    pub fn new(addresses: &[ContextId], tid: Tid) -> Self {
        let ranges: Vec<_> = addresses
            .iter()
            // An address that this machine cannot have becomes one that is never mapped.
            .map(|one| RemoteRange {
                base: usize::try_from(one.0).unwrap_or(usize::MAX),
                len: RING_HEADER_LEN,
            })
            .collect();
        let errors = vec![Some(Errno::NODATA); ranges.len()];
        Self { tid, headers: vec![[0; RING_HEADER_LEN]; ranges.len()], ranges, errors }
    }

    /// Reads all headers, the unreadable ones with the errno of each. Allocates nothing; may be called again.
    ///
    /// The kernel stops at the first page it cannot read and tells how many bytes came before
    /// (mm/process_vm_access.c:process_vm_rw_core); we note that address and go on after it.
    pub fn read(&mut self) -> Result<(), MemoryError> {
        self.errors.fill(Some(Errno::NODATA));
        let mut at = 0;
        while at < self.ranges.len() {
            let end = self.ranges.len().min(at.saturating_add(IOV_MAX));
            let (Some(ranges), Some(headers)) = (self.ranges.get(at..end), self.headers.get_mut(at..end))
            else {
                break;
            };
            let (whole, error) = match read_some(self.tid, ranges, headers) {
                Ok(whole) if whole >= ranges.len() => (whole, None),
                // What stopped it is not told with a partial result; a page that cannot be read is the one reason there is.
                Ok(whole) => (whole, Some(Errno::FAULT)),
                Err(Errno::FAULT) => (0, Some(Errno::FAULT)),
                Err(Errno::SRCH) => return Err(MemoryError::Gone(self.tid)),
                Err(Errno::PERM) => return Err(MemoryError::NotPermitted(self.tid)),
                Err(error) => return Err(MemoryError::Failed(self.tid, error)),
            };
            if let Some(good) = self.errors.get_mut(at..at.saturating_add(whole)) {
                good.fill(None);
            }
            at = at.saturating_add(whole);
            if let (Some(error), Some(bad)) = (error, self.errors.get_mut(at)) {
                *bad = Some(error);
                at = at.saturating_add(1);
            }
        }
        Ok(())
    }

    /// What the last [`read`](Self::read) gave, in the order of the addresses; ENODATA for what was never read.
    pub fn finish(self) -> Vec<HeaderReading> {
        let readings = self.ranges.iter().zip(&self.headers).zip(&self.errors);
        readings
            .map(|((range, header), error)| HeaderReading {
                address: ContextId(range.base as u64),
                bytes: error.map_or(Ok(*header), |error| Err(error.raw_os_error())),
            })
            .collect()
    }
}

/// Reads one chunk; the number of headers that are whole.
fn read_some(
    tid: Tid,
    ranges: &[RemoteRange],
    headers: &mut [[u8; RING_HEADER_LEN]],
) -> Result<usize, Errno> {
    let tid = libc::pid_t::try_from(tid.0).map_err(|_| Errno::SRCH)?;
    let local = libc::iovec { iov_base: headers.as_mut_ptr().cast(), iov_len: headers.as_flattened().len() };
    // SAFETY: `local` covers exactly `headers`, which is borrowed mutably for the call; `ranges` has the layout of
    // iovec (asserted above) and its addresses are only ever looked up in the other process.
    let read = unsafe {
        let count = ranges.len() as libc::c_ulong;
        libc::process_vm_readv(tid, &raw const local, 1, ranges.as_ptr().cast(), count, 0)
    };
    match usize::try_from(read) {
        Ok(bytes) => Ok(bytes / RING_HEADER_LEN),
        Err(_) => {
            Err(std::io::Error::last_os_error().raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 4096;

    /// Pages of ours, each filled with its number, some of them unreadable; read through the same call as another's.
    struct Pages {
        base: *mut u8,
        count: usize,
    }

    impl Pages {
        fn new(count: usize, unreadable: impl Fn(usize) -> bool) -> Self {
            let (rw, private) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            // SAFETY: a fresh anonymous mapping, of which only its own bytes are written below.
            unsafe {
                let base = libc::mmap(std::ptr::null_mut(), count * PAGE, rw, private, -1, 0);
                assert_ne!(base, libc::MAP_FAILED);
                for page in 0..count {
                    let start = base.cast::<u8>().add(page * PAGE);
                    start.cast::<usize>().write_unaligned(page);
                    if unreadable(page) {
                        assert_eq!(libc::mprotect(start.cast(), PAGE, libc::PROT_NONE), 0);
                    }
                }
                Self { base: base.cast(), count }
            }
        }

        fn addresses(&self) -> Vec<ContextId> {
            (0..self.count).map(|page| ContextId((self.base as usize + page * PAGE) as u64)).collect()
        }
    }

    impl Drop for Pages {
        fn drop(&mut self) {
            // SAFETY: the mapping made in `new`, unmapped once.
            unsafe { libc::munmap(self.base.cast(), self.count * PAGE) };
        }
    }

    fn check(count: usize, unreadable: impl Fn(usize) -> bool) {
        let pages = Pages::new(count, &unreadable);
        let mut plan = HeaderPlan::new(&pages.addresses(), Tid(std::process::id()));
        for _ in 0..2 {
            plan.read().unwrap();
        }
        let readings = plan.finish();
        assert_eq!(readings.len(), count);
        for (page, reading) in readings.iter().enumerate() {
            assert_eq!(reading.address, pages.addresses()[page]);
            if unreadable(page) {
                assert_eq!(reading.bytes, Err(libc::EFAULT), "page {page}");
            } else {
                assert_eq!(reading.bytes.unwrap()[..8], page.to_ne_bytes(), "page {page}");
            }
        }
    }

    /// Check counts around the limit of one call.
    #[test]
    fn any_number_of_headers() {
        for count in [1, 2, 1023, 1024, 1025, 2500] {
            check(count, |_| false);
        }
    }

    /// Check that unreadable pages are named and the rest is read: first, last, at a chunk's edge, all, every other.
    #[test]
    fn unreadable_pages_are_skipped() {
        check(3, |page| page == 0);
        check(3, |page| page == 2);
        check(1100, |page| page == 1023 || page == 1024);
        check(5, |_| true);
        check(1100, |page| page % 2 == 1);
    }

    /// Check that an empty plan reads nothing, and that a plan never read says so.
    #[test]
    fn empty_and_unread() {
        let mut empty = HeaderPlan::new(&[], Tid(std::process::id()));
        empty.read().unwrap();
        assert!(empty.finish().is_empty());
        let unread = HeaderPlan::new(&[ContextId(4096)], Tid(1)).finish();
        assert_eq!(unread[0].bytes, Err(libc::ENODATA));
    }

    /// Check absurd addresses and absent threads.
    #[test]
    fn nonsense_is_an_answer() {
        let mut plan = HeaderPlan::new(&[ContextId(u64::MAX), ContextId(0)], Tid(std::process::id()));
        plan.read().unwrap();
        assert!(plan.finish().iter().all(|one| one.bytes == Err(libc::EFAULT)));
        for tid in [Tid(0x3fff_ffff), Tid(u32::MAX)] {
            let mut plan = HeaderPlan::new(&[ContextId(4096)], tid);
            assert_eq!(plan.read(), Err(MemoryError::Gone(tid)));
        }
    }
}
