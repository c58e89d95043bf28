//! Reading BPF maps element by element, and many at a time; and taking elements out.

use std::io;
use std::os::fd::BorrowedFd;

use aioinspect_ebpf::Wire;

use crate::bpf::call::{bpf, raw};

const BPF_MAP_LOOKUP_ELEM: libc::c_long = 1;
const BPF_MAP_DELETE_ELEM: libc::c_long = 3;
const BPF_MAP_LOOKUP_BATCH: libc::c_long = 24;

/// How many elements one call asks for; more if a bucket of the kernel's hash table holds more.
const BATCH: usize = 1024;

/// The value of a key; `None` if the map has none. `value` is as long as the map's values, for all CPUs if it is per CPU.
pub fn lookup(map: BorrowedFd<'_>, key: &[u8], value: &mut [u8]) -> io::Result<Option<()>> {
    #[repr(C)]
    struct Attr {
        map_fd: u32,
        pad: u32,
        key: u64,
        value: u64,
        flags: u64,
    }
    let mut attr = Attr {
        map_fd: raw(map)?,
        pad: 0,
        key: key.as_ptr() as u64,
        value: value.as_mut_ptr() as u64,
        flags: 0,
    };
    match bpf(BPF_MAP_LOOKUP_ELEM, &mut attr) {
        Ok(_) => Ok(Some(())),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Takes a key and its value out of a map; one that is not there is gone already.
pub fn delete<K: Wire>(map: BorrowedFd<'_>, key: &K) -> io::Result<()> {
    #[repr(C)]
    struct Attr {
        map_fd: u32,
        pad: u32,
        key: u64,
    }
    let mut bytes = vec![0; K::SIZE];
    key.write(&mut bytes).ok_or_else(|| io::Error::other("a key of another size"))?;
    let mut attr = Attr { map_fd: raw(map)?, pad: 0, key: bytes.as_ptr() as u64 };
    match bpf(BPF_MAP_DELETE_ELEM, &mut attr) {
        Ok(_) => Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Every element of a hash map; those that come or go meanwhile may be missed, none is given twice.
pub fn all<K: Wire, V: Wire>(map: BorrowedFd<'_>) -> io::Result<Vec<(K, V)>> {
    #[repr(C)]
    struct Attr {
        in_batch: u64,
        out_batch: u64,
        keys: u64,
        values: u64,
        count: u32,
        map_fd: u32,
        elem_flags: u64,
        flags: u64,
    }
    let mut found = Vec::new();
    let mut room = BATCH;
    // Where the walk is, in the kernel's own terms (for a hash map: a bucket's number).
    let (mut from, mut to) = ([0u8; 16], [0u8; 16]);
    let mut begun = false;
    loop {
        let mut keys = vec![0u8; room.saturating_mul(K::SIZE)];
        let mut values = vec![0u8; room.saturating_mul(V::SIZE)];
        let mut attr = Attr {
            in_batch: if begun { from.as_mut_ptr() as u64 } else { 0 },
            out_batch: to.as_mut_ptr() as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            count: u32::try_from(room).map_err(io::Error::other)?,
            map_fd: raw(map)?,
            elem_flags: 0,
            flags: 0,
        };
        let answer = bpf(BPF_MAP_LOOKUP_BATCH, &mut attr);
        let last = match answer {
            Ok(_) => false,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
            // One bucket holds more than there is room for.
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) && room < 1 << 24 => {
                room = room.saturating_mul(4);
                continue;
            }
            Err(error) => return Err(error),
        };
        let count = usize::try_from(attr.count).map_err(io::Error::other)?;
        let pairs = keys.chunks_exact(K::SIZE).zip(values.chunks_exact(V::SIZE)).take(count);
        found.extend(pairs.filter_map(|(key, value)| Some((K::read(key)?, V::read(value)?))));
        if last {
            return Ok(found);
        }
        (from, begun) = (to, true);
    }
}
