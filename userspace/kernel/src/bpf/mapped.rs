//! A BPF array map that is mapped into our memory: the kernel's program writes it, we read it, with no call between.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, OwnedFd};

use aioinspect_ebpf::Wire;
use aya_obj::generated::bpf_map_type::BPF_MAP_TYPE_ARRAY;

use crate::bpf::map::{INDEX_SIZE, check};
use crate::bpf::syscall::Mapping;

/// Bytes that stay mapped; the kernel puts every page of a mapping into our memory at once, and nearly always few records are
/// in use. What lies beyond is mapped when it is read.
const WINDOW: usize = 256 * 1024;

/// Bytes of the largest record.
const ROOM: usize = 256;

/// An array of records of one kind.
#[derive(Debug)]
pub(crate) struct MappedArray<T> {
    map: OwnedFd,
    window: Mapping,
    capacity: u32,
    of: PhantomData<fn() -> T>,
}

impl<T: Wire + Default> MappedArray<T> {
    /// Maps the first part of a map, whose elements must be of this kind.
    pub(crate) fn open(map: OwnedFd) -> io::Result<Self> {
        const {
            assert!(
                T::SIZE <= ROOM && T::SIZE.is_multiple_of(8),
                "a record that the kernel does not put end to end"
            );
        };
        let info = check(map.as_fd(), BPF_MAP_TYPE_ARRAY, INDEX_SIZE, T::SIZE)?;
        let bytes = usize::try_from(info.max_entries).map_err(io::Error::other)?.saturating_mul(T::SIZE);
        let window = Mapping::new(map.as_fd(), bytes.min(WINDOW))?;
        Ok(Self { map, window, capacity: info.max_entries, of: PhantomData })
    }

    /// Reads the first record.
    pub(crate) fn first(&self) -> T {
        read(&self.window, 0)
    }

    /// Writes the first record.
    pub(crate) fn set_first(&mut self, record: &T) {
        let mut bytes = [0; ROOM];
        // A record is not larger than this room: `open` asks the compiler.
        let _ = record.write(&mut bytes);
        self.window.write_first(bytes.get(..T::SIZE).unwrap_or_default());
    }

    /// Reads the first `count` records behind what is there (those beyond the capacity were left out by the program).
    pub(crate) fn read_into(&self, count: u32, records: &mut Vec<T>) {
        let count = usize::try_from(count.min(self.capacity)).unwrap_or(0);
        let bytes = count.saturating_mul(T::SIZE);
        if bytes <= self.window.bytes() {
            return read_all(&self.window, count, records);
        }
        // Without memory for a larger mapping: what can be seen.
        match Mapping::new(self.map.as_fd(), bytes) {
            Ok(whole) => read_all(&whole, count, records),
            Err(_) => read_all(&self.window, self.window.bytes().checked_div(T::SIZE).unwrap_or(0), records),
        }
    }
}

fn read_all<T: Wire + Default>(from: &Mapping, count: usize, records: &mut Vec<T>) {
    records.extend((0..count).map(|index| read(from, index)));
}

fn read<T: Wire + Default>(from: &Mapping, index: usize) -> T {
    let mut bytes = [0; ROOM];
    let bytes = bytes.get_mut(..T::SIZE).unwrap_or_default();
    from.read(index.saturating_mul(T::SIZE), bytes);
    T::read(bytes).unwrap_or_default()
}
