//! A BPF array map that is mapped into our memory: the kernel's program writes it, we read it, with no call between.

#![expect(unsafe_code, reason = "the mapping is shared with the kernel and reached through a pointer")]

use std::io;
use std::os::fd::OwnedFd;

use aioinspect_ebpf::Wire;
use rustix::mm::{MapFlags, ProtFlags};

use crate::bpf::call::{self, MapShape};

const BPF_MAP_TYPE_ARRAY: u32 = 2;
const BPF_F_MMAPABLE: u32 = 1 << 10;

/// Bytes that stay mapped; the kernel puts every page of a mapping into our memory at once, and nearly always few records are
/// in use. What lies beyond is mapped when it is read.
const WINDOW: usize = 256 * 1024;

/// Bytes of the largest record.
const ROOM: usize = 256;

/// An array of records of one kind.
#[derive(Debug)]
pub struct MappedArray {
    map: OwnedFd,
    window: Mapping,
    capacity: u32,
}

/// The first bytes of a map, mapped.
#[derive(Debug)]
struct Mapping {
    address: *mut libc::c_void,
    bytes: usize,
}

// SAFETY: the pointer is to a mapping that lives as long as this value and is reached through `&self` and `&mut self` only by copying.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(map: &OwnedFd, bytes: usize) -> io::Result<Self> {
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

    /// Copies bytes out; zeroes where the range is not inside the mapping.
    fn copy(&self, offset: usize, to: &mut [u8]) {
        let fits = offset.checked_add(to.len()).is_some_and(|end| end <= self.bytes);
        if !fits {
            to.fill(0);
            return;
        }
        // SAFETY: the range was checked to lie inside the mapping, and `to` is memory of our own.
        unsafe {
            std::ptr::copy_nonoverlapping(self.address.cast::<u8>().add(offset), to.as_mut_ptr(), to.len());
        };
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new`, is unmapped once, and no reference into it exists.
        let _ = unsafe { rustix::mm::munmap(self.address, self.bytes) };
    }
}

impl MappedArray {
    /// Creates a map of `capacity` records of `record_size` bytes (a multiple of 8), and maps it.
    pub fn create(name: &str, record_size: usize, capacity: u32) -> io::Result<Self> {
        let value_size = u32::try_from(record_size).map_err(io::Error::other)?;
        let bytes = usize::try_from(u64::from(value_size).saturating_mul(u64::from(capacity)))
            .map_err(io::Error::other)?;
        let map = call::map_create(
            name,
            MapShape {
                kind: BPF_MAP_TYPE_ARRAY,
                key_size: 4,
                value_size,
                max_entries: capacity,
                flags: BPF_F_MMAPABLE,
            },
        )?;
        let window = Mapping::new(&map, bytes.min(WINDOW))?;
        Ok(Self { map, window, capacity })
    }

    /// The map.
    pub fn fd(&self) -> &OwnedFd {
        &self.map
    }

    /// How many records fit.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Reads the first record.
    pub fn first<T: Wire>(&self) -> Option<T> {
        let mut one = [0; ROOM];
        const { assert!(T::SIZE <= ROOM, "a record larger than any") };
        let one = one.get_mut(..T::SIZE)?;
        self.window.copy(0, one);
        T::read(one)
    }

    /// Writes the first record.
    pub fn set_first<T: Wire>(&mut self, record: &T) -> Option<()> {
        let mut one = [0; ROOM];
        const { assert!(T::SIZE <= ROOM, "a record larger than any") };
        record.write(&mut one)?;
        let one = one.get(..T::SIZE).filter(|one| one.len() <= self.window.bytes)?;
        // SAFETY: source and destination are live, distinct, and at least as long as `one`; the kernel's program does not run now.
        unsafe { std::ptr::copy_nonoverlapping(one.as_ptr(), self.window.address.cast(), one.len()) };
        Some(())
    }

    /// Reads the first `count` records (those beyond the capacity were left out by the program).
    pub fn records<T: Wire>(&self, count: u32) -> Vec<T> {
        let mut records = Vec::new();
        self.read_into(count, &mut records);
        records
    }

    /// The same, behind what is there.
    pub fn read_into<T: Wire>(&self, count: u32, records: &mut Vec<T>) {
        let count = usize::try_from(count.min(self.capacity)).unwrap_or(0);
        let bytes = count.saturating_mul(T::SIZE);
        if bytes <= self.window.bytes {
            return read_all(&self.window, count, records);
        }
        // Without memory for a larger mapping: what can be seen.
        match Mapping::new(&self.map, bytes) {
            Ok(whole) => read_all(&whole, count, records),
            Err(_) => read_all(&self.window, self.window.bytes.checked_div(T::SIZE).unwrap_or(0), records),
        }
    }
}

fn read_all<T: Wire>(from: &Mapping, count: usize, records: &mut Vec<T>) {
    records.reserve(count);
    let mut one = [0; ROOM];
    const { assert!(T::SIZE <= ROOM, "a record larger than any") };
    let Some(one) = one.get_mut(..T::SIZE) else { return };
    for index in 0..count {
        from.copy(index.saturating_mul(T::SIZE), one);
        records.extend(T::read(one));
    }
}
