//! The rival without the kernel's help: stop the process, read and parse its maps, read all headers with one call, let it go.
//!
//! What a careful C program would do, with its buffers made beforehand. It knows neither requests in flight nor max_reqs,
//! and takes a ring inherited by fork for a context.

#![expect(unsafe_code, reason = "ptrace, waitpid and process_vm_readv are raw calls")]

use std::fs::File;
use std::io::{Error, Read, Result};
use std::time::{Duration, Instant};

/// Bytes of a ring's header, and the magic number at its bytes 16 to 19.
const HEADER: usize = 32;
const MAGIC: u32 = 0xa10a_10a1;
/// Ranges that one process_vm_readv takes.
const IOV_MAX: usize = 1024;

/// What was read, and what it cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// From the first interrupt to the last detach.
    pub pause: Duration,
    /// Rings with a sane header.
    pub rings: usize,
}

/// Reads all rings of a process.
pub(crate) fn read(pid: u32) -> Result<Reading> {
    let threads = threads(pid)?;
    let mut text = vec![0_u8; 1 << 20];
    let mut remote = Vec::with_capacity(4096);
    let mut headers = vec![0_u8; HEADER * 4096];
    let path = format!("/proc/{pid}/maps");
    for tid in &threads {
        ptrace(libc::PTRACE_SEIZE, *tid)?;
    }
    let begun = Instant::now();
    for tid in &threads {
        ptrace(libc::PTRACE_INTERRUPT, *tid)?;
    }
    for tid in &threads {
        // SAFETY: a null pointer where no status is wanted.
        if unsafe { libc::waitpid(*tid, std::ptr::null_mut(), libc::__WALL) } != *tid {
            return Err(Error::last_os_error());
        }
    }
    let read = (|| {
        let length = read_whole(&path, &mut text)?;
        let text = text.get(..length).unwrap_or_default();
        text.split(|byte| *byte == b'\n').filter_map(ring_at).for_each(|base| {
            remote.push(libc::iovec { iov_base: base as *mut libc::c_void, iov_len: HEADER });
        });
        read_headers(pid, &remote, &mut headers)
    })();
    for tid in &threads {
        ptrace(libc::PTRACE_DETACH, *tid)?;
    }
    let pause = begun.elapsed();
    read?;
    let sane = headers.chunks(HEADER).take(remote.len()).filter(|header| is_sane(header));
    Ok(Reading { pause, rings: sane.count() })
}

fn threads(pid: u32) -> Result<Vec<libc::pid_t>> {
    let names = std::fs::read_dir(format!("/proc/{pid}/task"))?.map(|entry| Ok(entry?.file_name()));
    let names = names.collect::<Result<Vec<_>>>()?;
    Ok(names.iter().filter_map(|name| name.to_str()?.parse().ok()).collect())
}

fn ptrace(request: libc::c_uint, tid: libc::pid_t) -> Result<()> {
    // SAFETY: none of the three requests uses the address; data is an option mask or a signal, 0.
    if unsafe { libc::ptrace(request, tid, 0_usize, 0_usize) } == -1 {
        Err(Error::last_os_error())
    } else {
        Ok(())
    }
}

fn read_whole(path: &str, text: &mut [u8]) -> Result<usize> {
    let mut file = File::open(path)?;
    let mut at = 0;
    while let Some(room) = text.get_mut(at..).filter(|room| !room.is_empty()) {
        match file.read(room)? {
            0 => break,
            read => at += read,
        }
    }
    Ok(at)
}

/// The address of a line of maps that names a ring.
fn ring_at(line: &[u8]) -> Option<usize> {
    if !line.ends_with(b"/[aio] (deleted)") {
        return None;
    }
    let end = line.iter().position(|byte| *byte == b'-')?;
    usize::from_str_radix(std::str::from_utf8(line.get(..end)?).ok()?, 16).ok()
}

fn read_headers(pid: u32, remote: &[libc::iovec], headers: &mut [u8]) -> Result<()> {
    let pid = libc::pid_t::try_from(pid).map_err(Error::other)?;
    for (ranges, room) in remote.chunks(IOV_MAX).zip(headers.chunks_mut(IOV_MAX * HEADER)) {
        let local = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
        // SAFETY: `local` covers exactly `room`; the other addresses are looked up in the other process.
        let read = unsafe {
            libc::process_vm_readv(
                pid,
                &raw const local,
                1,
                ranges.as_ptr(),
                ranges.len() as libc::c_ulong,
                0,
            )
        };
        if read < 0 {
            return Err(Error::last_os_error());
        }
    }
    Ok(())
}

fn is_sane(header: &[u8]) -> bool {
    header.get(16..20).is_some_and(|magic| magic == MAGIC.to_ne_bytes())
}
