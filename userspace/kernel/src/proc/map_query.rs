//! One mapping by address, asked of the kernel as a number and answered as numbers: the PROCMAP_QUERY ioctl.
//!
//! Since Linux 6.11 (fs/proc/task_mmu.c:do_procmap_query). It allocates and parses nothing, so it may be asked
//! while the target is frozen.

#![expect(unsafe_code, reason = "an ioctl is a raw call")]

use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;

use aioinspect_model::evidence::Perms;

/// `struct procmap_query` of include/uapi/linux/fs.h.
#[repr(C)]
#[derive(Default)]
struct ProcmapQuery {
    size: u64,
    query_flags: u64,
    query_addr: u64,
    vma_start: u64,
    vma_end: u64,
    vma_flags: u64,
    vma_page_size: u64,
    vma_offset: u64,
    inode: u64,
    dev_major: u32,
    dev_minor: u32,
    vma_name_size: u32,
    build_id_size: u32,
    vma_name_addr: u64,
    build_id_addr: u64,
}

const SIZE: u64 = 104;
const _: () = assert!(size_of::<ProcmapQuery>() as u64 == SIZE);

/// `_IOWR('f', 17, struct procmap_query)`.
const PROCMAP_QUERY: libc::Ioctl = (3 << 30) | ((SIZE as libc::Ioctl) << 16) | (0x66 << 8) | 0x11;

const VMA_READABLE: u64 = 1;
const VMA_WRITABLE: u64 = 2;
const VMA_EXECUTABLE: u64 = 4;
const VMA_SHARED: u64 = 8;

/// A mapping, in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// First address.
    pub start: u64,
    /// Address after the last.
    pub end: u64,
    /// Permissions, as `rw-s` in smaps.
    pub perms: Perms,
    /// Offset into the mapped file, in bytes.
    pub offset: u64,
    /// Inode number, 0 without a file.
    pub inode: u64,
    /// Device major and minor.
    pub device: (u32, u32),
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QueryError {
    /// A kernel before 6.11, or a descriptor that is not `/proc/PID/maps`.
    #[error("this kernel has no PROCMAP_QUERY")]
    Unsupported,
    /// The address space the descriptor was opened on is gone: exit or exec.
    #[error("the address space is gone")]
    Gone,
    /// Anything else.
    #[error("PROCMAP_QUERY failed: {0}")]
    Failed(Errno),
}

/// The mapping that covers `address`, or `None`. `maps` is an open `/proc/PID/maps`; the answer is about the
/// address space that process had when it was opened.
pub(crate) fn query_exact(maps: impl AsFd, address: u64) -> Result<Option<Answer>, QueryError> {
    let mut query = ProcmapQuery { size: SIZE, query_addr: address, ..ProcmapQuery::default() };
    // SAFETY: the kernel reads and writes `size` bytes at the pointer, which is a live struct of that size; with both
    // name sizes 0 it follows no other pointer in it.
    let answer = unsafe { libc::ioctl(maps.as_fd().as_raw_fd(), PROCMAP_QUERY, &raw mut query) };
    if answer == 0 {
        let has = |bit| query.vma_flags & bit != 0;
        return Ok(Some(Answer {
            start: query.vma_start,
            end: query.vma_end,
            perms: Perms {
                read: has(VMA_READABLE),
                write: has(VMA_WRITABLE),
                exec: has(VMA_EXECUTABLE),
                shared: has(VMA_SHARED),
            },
            offset: query.vma_offset,
            inode: query.inode,
            device: (query.dev_major, query.dev_minor),
        }));
    }
    let error = std::io::Error::last_os_error().raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error);
    match error {
        Errno::NOENT => Ok(None),
        Errno::NOTTY => Err(QueryError::Unsupported),
        Errno::SRCH => Err(QueryError::Gone),
        other => Err(QueryError::Failed(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;

    /// Check against `/proc/self/maps` for each mapping of ours, where this kernel can.
    #[test]
    fn agrees_with_maps() {
        let maps = File::open("/proc/self/maps").unwrap();
        if query_exact(&maps, 0) == Err(QueryError::Unsupported) {
            let skipped = writeln!(
                std::io::stderr(),
                "SKIPPED map_query::agrees_with_maps: needs PROCMAP_QUERY (Linux 6.11)"
            );
            return skipped.unwrap();
        }
        let exe = std::fs::metadata("/proc/self/exe").unwrap();
        let text = std::fs::read_to_string("/proc/self/maps").unwrap();
        let mut checked = 0;
        for line in
            text.lines().filter(|line| line.contains(std::env::current_exe().unwrap().to_str().unwrap()))
        {
            let fields: Vec<_> = line.split_whitespace().collect();
            let (start, end) = fields[0].split_once('-').unwrap();
            let start = u64::from_str_radix(start, 16).unwrap();
            let answer = query_exact(&maps, start + 1).unwrap().unwrap();
            assert_eq!((answer.start, answer.end), (start, u64::from_str_radix(end, 16).unwrap()));
            assert_eq!(answer.perms.exec, fields[1].contains('x'));
            assert_eq!(answer.perms.write, fields[1].contains('w'));
            assert_eq!(answer.perms.read, fields[1].contains('r'));
            assert_eq!(answer.perms.shared, fields[1].contains('s'));
            assert_eq!(answer.offset, u64::from_str_radix(fields[2], 16).unwrap());
            assert_eq!(answer.inode, exe.ino());
            assert_eq!(format!("{:02x}:{:02x}", answer.device.0, answer.device.1), fields[3]);
            checked += 1;
        }
        assert!(checked >= 2, "{text}");
    }

    /// Check that an address in no mapping has none, and that other descriptors are not taken for old kernels' silence.
    #[test]
    fn nothing_there() {
        let maps = File::open("/proc/self/maps").unwrap();
        match query_exact(&maps, 0) {
            Ok(found) => assert_eq!(found, None),
            Err(error) => assert_eq!(error, QueryError::Unsupported),
        }
        assert_eq!(query_exact(File::open("/proc/self/stat").unwrap(), 0), Err(QueryError::Unsupported));
    }
}
