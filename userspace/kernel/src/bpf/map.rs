//! Maps of known keys and values: the kernel is asked once how long they are, when a map is opened, and then no buffer is of another size.

#![expect(unsafe_code, reason = "the kernel reads and writes keys and values through pointers")]

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use aioinspect_ebpf::Wire;
use aya_obj::generated::bpf_cmd::{BPF_MAP_DELETE_ELEM, BPF_MAP_LOOKUP_BATCH, BPF_MAP_LOOKUP_ELEM};
use aya_obj::generated::bpf_map_type::{self, BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_PERCPU_ARRAY};
use aya_obj::generated::{bpf_attr, bpf_map_info};

use crate::bpf::info::map_info;
use crate::bpf::syscall::{Plain, bpf, raw, there};
use crate::host::system;

/// Bytes of the key of every array.
pub(super) const INDEX_SIZE: usize = size_of::<u32>();
/// How many elements one call asks for; more if a bucket of the kernel's hash table holds more.
const BATCH: usize = 1024;
/// The most that one call asks for.
const LARGEST_BATCH: usize = 1 << 24;

/// What the kernel says of a map, if it is of that type and its keys and values are that long.
pub(super) fn check(
    map: BorrowedFd<'_>,
    kind: bpf_map_type,
    key: usize,
    value: usize,
) -> io::Result<bpf_map_info> {
    let info = map_info(map)?;
    let is = [info.type_, info.key_size, info.value_size].map(usize::try_from);
    if is == [Ok(kind as usize), Ok(key), Ok(value)] {
        return Ok(info);
    }
    let text = format!(
        "a map of type {}, keys of {} and values of {} bytes is not {kind:?} of {key} and {value}",
        info.type_, info.key_size, info.value_size
    );
    Err(io::Error::new(io::ErrorKind::InvalidData, text))
}

/// A hash map from `K` to `V`.
#[derive(Debug)]
pub struct HashMap<K, V> {
    map: OwnedFd,
    of: PhantomData<fn(K) -> V>,
}

impl<K: Wire, V: Wire> HashMap<K, V> {
    /// Takes a map; an error if the kernel says that it is another one.
    pub fn open(map: OwnedFd) -> io::Result<Self> {
        check(map.as_fd(), BPF_MAP_TYPE_HASH, K::SIZE, V::SIZE)?;
        Ok(Self { map, of: PhantomData })
    }

    /// The value of a key; `None` if the map has none.
    pub fn get(&self, key: &K) -> io::Result<Option<V>> {
        let (key, mut value) = (bytes(key)?, vec![0; V::SIZE]);
        // SAFETY: both are as long as the map's, which `open` has checked.
        let found = unsafe { lookup(self.map.as_fd(), &key, &mut value) }?;
        Ok(found.and_then(|()| V::read(&value)))
    }

    /// Takes a key and its value out; one that is not there is gone already.
    pub(crate) fn delete(&self, key: &K) -> io::Result<()> {
        let key = bytes(key)?;
        let mut attr = bpf_attr::zeroed();
        attr.__bindgen_anon_2.map_fd = raw(self.map.as_fd())?;
        attr.__bindgen_anon_2.key = key.as_ptr() as u64;
        // SAFETY: the key is as long as the map's, which `open` has checked.
        there(unsafe { bpf(BPF_MAP_DELETE_ELEM, &mut attr) }).map(drop)
    }

    /// Every element; those that come or go meanwhile may be missed, none is given twice.
    pub(crate) fn all(&self) -> io::Result<Vec<(K, V)>> {
        self.all_by(BATCH)
    }

    /// The same by so many at a time.
    fn all_by(&self, mut room: usize) -> io::Result<Vec<(K, V)>> {
        let mut found = Vec::new();
        // The bucket that is next.
        let mut next = 0_u32;
        let mut begun = false;
        loop {
            let mut keys = vec![0u8; room.saturating_mul(K::SIZE)];
            let mut values = vec![0u8; room.saturating_mul(V::SIZE)];
            let from = next;
            let mut attr = bpf_attr::zeroed();
            attr.batch.in_batch = if begun { (&raw const from) as u64 } else { 0 };
            attr.batch.out_batch = (&raw mut next) as u64;
            attr.batch.keys = keys.as_mut_ptr() as u64;
            attr.batch.values = values.as_mut_ptr() as u64;
            attr.batch.count = u32::try_from(room).map_err(io::Error::other)?;
            attr.batch.map_fd = raw(self.map.as_fd())?;
            // SAFETY: there is room for `count` keys and values, which are as long as the map's; where it goes on, a hash map says by
            // the number of a bucket, a u32 (kernel/bpf/hashtab.c:__htab_map_lookup_and_delete_batch).
            let last = match there(unsafe { bpf(BPF_MAP_LOOKUP_BATCH, &mut attr) }) {
                Ok(more) => more.is_none(),
                // One bucket holds more than there is room for.
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) && room < LARGEST_BATCH => {
                    room = room.saturating_mul(4);
                    next = from;
                    continue;
                }
                Err(error) => return Err(error),
            };
            // SAFETY: every member of the union is plain numbers, and this one is the command's.
            let count = usize::try_from(unsafe { attr.batch.count }).map_err(io::Error::other)?;
            let pairs = keys.chunks_exact(K::SIZE).zip(values.chunks_exact(V::SIZE)).take(count);
            found.extend(pairs.filter_map(|(key, value)| Some((K::read(key)?, V::read(value)?))));
            if last {
                return Ok(found);
            }
            begun = true;
        }
    }
}

/// An array of one element, of which each CPU has its own.
#[derive(Debug)]
pub(crate) struct PerCpuValue<V> {
    map: OwnedFd,
    possible_cpus: usize,
    of: PhantomData<fn() -> V>,
}

impl<V: Wire> PerCpuValue<V> {
    /// Takes a map; an error if the kernel says that it is another one.
    pub(crate) fn open(map: OwnedFd) -> io::Result<Self> {
        const { assert!(V::SIZE.is_multiple_of(8), "the kernel puts such values further apart") };
        check(map.as_fd(), BPF_MAP_TYPE_PERCPU_ARRAY, INDEX_SIZE, V::SIZE)?;
        let possible_cpus = usize::try_from(system::possible_cpus()?).map_err(io::Error::other)?;
        Ok(Self { map, possible_cpus, of: PhantomData })
    }

    /// The value of each possible CPU.
    pub(crate) fn of_each_cpu(&self) -> io::Result<Vec<V>> {
        let mut values = vec![0; V::SIZE.saturating_mul(self.possible_cpus)];
        // SAFETY: the key of an array is a u32, and there is room for a value of each possible CPU; `open` has checked its size.
        unsafe { lookup(self.map.as_fd(), &0_u32.to_ne_bytes(), &mut values) }?;
        Ok(values.chunks_exact(V::SIZE).filter_map(V::read).collect())
    }
}

/// Copies the value of a key to `value`; `None` if the map has none.
///
/// # Safety
/// `key` is as long as the map's keys; `value` as its values, for all possible CPUs if each has its own.
unsafe fn lookup(map: BorrowedFd<'_>, key: &[u8], value: &mut [u8]) -> io::Result<Option<()>> {
    let mut attr = bpf_attr::zeroed();
    attr.__bindgen_anon_2.map_fd = raw(map)?;
    attr.__bindgen_anon_2.key = key.as_ptr() as u64;
    attr.__bindgen_anon_2.__bindgen_anon_1.value = value.as_mut_ptr() as u64;
    // SAFETY: the caller's promise.
    there(unsafe { bpf(BPF_MAP_LOOKUP_ELEM, &mut attr) })
}

fn bytes<T: Wire>(record: &T) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; T::SIZE];
    record.write(&mut bytes).ok_or_else(|| io::Error::other("a record longer than its size"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
