//! The five system calls of native AIO, raw: no libaio, and no reaping behind our back.
#![expect(unsafe_code, reason = "raw system calls")]

use std::io;
use std::os::fd::RawFd;
use std::ptr;
use std::time::Duration;

/// `IOCB_CMD_PREAD` (uapi/linux/aio_abi.h).
const CMD_PREAD: u16 = 0;
/// `IOCB_CMD_PWRITE`.
const CMD_PWRITE: u16 = 1;
/// `IOCB_CMD_FSYNC`, since 4.18.
const CMD_FSYNC: u16 = 2;
/// `IOCB_CMD_FDSYNC`.
const CMD_FDSYNC: u16 = 3;
/// `IOCB_CMD_POLL`, since 4.19.
const CMD_POLL: u16 = 5;
/// `IOCB_FLAG_RESFD`: signal an eventfd for each completion.
const FLAG_RESFD: u32 = 1;

/// `struct iocb`, little endian.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct Iocb {
    data: u64,
    key: u32,
    rw_flags: i32,
    opcode: u16,
    priority: i16,
    fd: u32,
    buf: u64,
    nbytes: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    resfd: u32,
}

const _: () = assert!(size_of::<Iocb>() == 64);

/// `struct io_event`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct IoEvent {
    /// The tag given at submission.
    pub data: u64,
    /// Address of the iocb.
    pub obj: u64,
    /// Result: bytes, poll mask, or minus errno.
    pub res: i64,
    /// 0.
    pub res2: i64,
}

const _: () = assert!(size_of::<IoEvent>() == 32);

impl Iocb {
    /// A poll for readability.
    pub(crate) fn poll(tag: u64, fd: RawFd, resfd: Option<RawFd>) -> Self {
        let events = u64::from(libc::POLLIN.unsigned_abs());
        Iocb { data: tag, opcode: CMD_POLL, fd: fd.cast_unsigned(), buf: events, ..Iocb::default() }
            .signalling(resfd)
    }

    /// A read of `len` bytes at `offset` into the memory at `address`.
    pub(crate) fn read(
        tag: u64,
        fd: RawFd,
        address: u64,
        len: u64,
        offset: i64,
        resfd: Option<RawFd>,
    ) -> Self {
        let fd = fd.cast_unsigned();
        Iocb { data: tag, opcode: CMD_PREAD, fd, buf: address, nbytes: len, offset, ..Iocb::default() }
            .signalling(resfd)
    }

    /// A write of `len` bytes at `offset` from the memory at `address`.
    pub(crate) fn write(tag: u64, fd: RawFd, address: u64, len: u64, offset: i64) -> Self {
        Iocb { opcode: CMD_PWRITE, ..Iocb::read(tag, fd, address, len, offset, None) }
    }

    /// An fsync, or an fdatasync: a kernel worker does it.
    pub(crate) fn sync(tag: u64, fd: RawFd, data_only: bool) -> Self {
        let opcode = if data_only { CMD_FDSYNC } else { CMD_FSYNC };
        Iocb { data: tag, opcode, fd: fd.cast_unsigned(), ..Iocb::default() }
    }

    /// What the kernel refuses: no such operation.
    pub(crate) fn invalid() -> Self {
        Iocb { opcode: u16::MAX, ..Iocb::default() }
    }

    /// As it lies in memory.
    pub(crate) fn to_bytes(&self) -> [u8; size_of::<Iocb>()] {
        // SAFETY: it has no padding, as its members' sizes add up to its own.
        unsafe { ptr::read(ptr::from_ref(self).cast()) }
    }

    fn signalling(mut self, resfd: Option<RawFd>) -> Self {
        if let Some(fd) = resfd {
            self.flags = FLAG_RESFD;
            self.resfd = fd.cast_unsigned();
        }
        self
    }
}

fn checked(result: libc::c_long) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Makes a context for `n` requests; its id is the address of its ring.
pub(crate) fn io_setup(n: u32) -> io::Result<u64> {
    let mut id: u64 = 0;
    // SAFETY: the kernel writes one aio_context_t, an unsigned long, into `id`.
    checked(unsafe { libc::syscall(libc::SYS_io_setup, n, &raw mut id) })?;
    Ok(id)
}

/// Destroys a context; waits for its requests and for an RCU grace period.
pub(crate) fn io_destroy(id: u64) -> io::Result<()> {
    // SAFETY: takes a number; the kernel unmaps the ring, to which the fixture holds no reference.
    checked(unsafe { libc::syscall(libc::SYS_io_destroy, id) }).map(|_| ())
}

/// Submits requests, as many as the kernel takes.
///
/// # Safety
/// Every pointer is valid until the call returns, and what its iocb points to until it completes.
pub(crate) unsafe fn io_submit(id: u64, iocbs: &mut [*mut Iocb]) -> io::Result<usize> {
    // SAFETY: the slice holds as many pointers as its length says; the caller vouches for them.
    checked(unsafe { libc::syscall(libc::SYS_io_submit, id, iocbs.len(), iocbs.as_mut_ptr()) })
}

/// Reaps at least `min` events; waits for ever without a timeout.
pub(crate) fn io_getevents(
    id: u64,
    min: usize,
    events: &mut [IoEvent],
    timeout: Option<Duration>,
) -> io::Result<usize> {
    let time = timeout.map(|t| libc::timespec {
        tv_sec: i64::try_from(t.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(t.subsec_nanos()),
    });
    let time_ptr = time.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: `events` has room for as many events as its length says, `time_ptr` is null or points to `time`.
    checked(unsafe {
        libc::syscall(libc::SYS_io_getevents, id, min, events.len(), events.as_mut_ptr(), time_ptr)
    })
}

/// Cancels a poll: the completion then goes to the ring, and the call answers EINPROGRESS.
pub(crate) fn io_cancel(id: u64, iocb: &mut Iocb) -> io::Result<()> {
    let mut event = IoEvent::default();
    // SAFETY: `iocb` is alive, and the kernel may write one event.
    let result =
        checked(unsafe { libc::syscall(libc::SYS_io_cancel, id, ptr::from_mut(iocb), &raw mut event) });
    match result {
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(()),
        other => other.map(|_| ()),
    }
}
