//! The few words of the FUSE protocol that a server of one file needs (uapi/linux/fuse.h, version 7.31).

/// Asks for attributes.
pub(crate) const GETATTR: u32 = 3;
/// No reply wanted.
pub(crate) const FORGET: u32 = 2;
/// Opens the file.
pub(crate) const OPEN: u32 = 14;
/// Reads from it.
pub(crate) const READ: u32 = 15;
/// The last descriptor is closed.
pub(crate) const RELEASE: u32 = 18;
/// A descriptor is closed.
pub(crate) const FLUSH: u32 = 25;
/// The first request.
pub(crate) const INIT: u32 = 26;
/// Somebody waits no longer; the request itself is still answered.
pub(crate) const INTERRUPT: u32 = 36;
/// The file system is unmounted.
pub(crate) const DESTROY: u32 = 38;
/// No reply wanted.
pub(crate) const BATCH_FORGET: u32 = 42;

const FUSE_ASYNC_READ: u32 = 1 << 0;
const FUSE_ASYNC_DIO: u32 = 1 << 15;
const FOPEN_DIRECT_IO: u32 = 1 << 0;

/// One request of the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    /// What it wants.
    pub opcode: u32,
    /// To be named in the answer.
    pub unique: u64,
    body: &'a [u8],
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(offset..offset + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(offset..offset + 8)?.try_into().ok()?))
}

impl<'a> Request<'a> {
    /// Takes a request apart: a header of 40 bytes (len, opcode, unique, ...), then its body.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        Some(Request { opcode: u32_at(bytes, 4)?, unique: u64_at(bytes, 8)?, body: bytes.get(40..)? })
    }

    /// Of a READ: offset and size.
    pub(crate) fn range(&self) -> Option<(u64, u32)> {
        Some((u64_at(self.body, 8)?, u32_at(self.body, 16)?))
    }
}

/// An answer: length, minus errno, unique, body.
pub(crate) fn reply(unique: u64, errno: i32, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(16 + body.len()).unwrap_or(u32::MAX);
    let mut out = Vec::with_capacity(16 + body.len());
    out.extend(len.to_ne_bytes());
    out.extend((-errno).to_ne_bytes());
    out.extend(unique.to_ne_bytes());
    out.extend(body);
    out
}

/// Answer to INIT: asynchronous direct reads, and room for as many as anyone will queue.
///
/// With the usual max_background of 12 the thirteenth io_submit would wait (fs/fuse/dev.c:fuse_get_req).
pub(crate) fn init_body() -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    for word in [7_u32, 31, 0, FUSE_ASYNC_READ | FUSE_ASYNC_DIO] {
        out.extend(word.to_ne_bytes());
    }
    out.extend(u16::MAX.to_ne_bytes()); // max_background
    out.extend(u16::MAX.to_ne_bytes()); // congestion_threshold
    out.extend(4096_u32.to_ne_bytes()); // max_write
    out.extend(1_u32.to_ne_bytes()); // time_gran
    out.resize(64, 0);
    out
}

/// Answer to GETATTR: a regular file of `size` bytes, valid for a long time.
pub(crate) fn attributes(size: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(104);
    out.extend(3600_u64.to_ne_bytes());
    out.extend([0; 8]);
    for word in [1, size, size / 512, 0, 0, 0] {
        out.extend(word.to_ne_bytes());
    }
    out.extend([0; 12]);
    for word in [0o100_444_u32, 1, 0, 0, 0, 4096, 0] {
        out.extend(word.to_ne_bytes());
    }
    out
}

/// Answer to OPEN.
pub(crate) fn opened() -> Vec<u8> {
    let mut out = vec![0; 8];
    out.extend(FOPEN_DIRECT_IO.to_ne_bytes());
    out.extend([0; 4]);
    out
}
