//! A kernel in memory for the tests of this folder: maps, made and read by the commands that the program gives the real one.
//!
//! It reads and writes as many bytes as the real one would, through the pointers that it is given: under Miri a buffer that is too short
//! is found. Each thread has its own, while a [`StandIn`] lives.

#![expect(clippy::wildcard_enum_match_arm, reason = "it knows few commands")]
#![expect(unsafe_code, reason = "a kernel follows the pointers of programs")]
#![expect(clippy::cast_possible_truncation, reason = "sizes and addresses of a 64-bit machine")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::{ptr, slice};

use aioinspect_ebpf::Wire;
use aya_obj::generated::bpf_map_type::{BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_PERCPU_ARRAY};
use aya_obj::generated::{BPF_F_MMAPABLE, bpf_attr, bpf_cmd, bpf_map_info};

use crate::bpf::syscall::Plain;
use crate::host::system;

/// Buckets of every hash map.
const BUCKETS: u32 = 4;

thread_local! {
    static KERNEL: RefCell<Option<Kernel>> = const { RefCell::new(None) };
}

#[derive(Default)]
struct Kernel {
    /// By id, from 1.
    maps: BTreeMap<u32, Map>,
    /// The map of each descriptor. One that is closed stays until the number is given again.
    open: BTreeMap<RawFd, u32>,
    mapped: Vec<*mut libc::c_void>,
}

struct Map {
    info: bpf_map_info,
    hash: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The elements of an array, end to end.
    memory: *mut [u64],
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: made of a box, freed once.
        drop(unsafe { Box::from_raw(self.memory) });
    }
}

/// The stand-in of this thread. Dropping it brings the real kernel back.
pub(crate) struct StandIn(());

impl StandIn {
    pub(crate) fn start() -> Self {
        KERNEL.set(Some(Kernel::default()));
        Self(())
    }

    /// Does what a program would: puts an element into a hash map.
    pub(crate) fn put(map: &OwnedFd, key: &impl Wire, value: &impl Wire) {
        let bytes = |record: &dyn Fn(&mut [u8])| {
            let mut bytes = vec![0; 512];
            record(&mut bytes);
            bytes
        };
        let key = bytes(&|to| key.write(to).unwrap());
        let value = bytes(&|to| value.write(to).unwrap());
        with(|kernel| {
            let map = kernel.map(map.as_raw_fd())?;
            let (key_len, value_len) = (map.info.key_size as usize, map.info.value_size as usize);
            map.hash.insert(key[..key_len].to_vec(), value[..value_len].to_vec());
            Ok(0)
        })
        .unwrap()
        .unwrap();
    }

    /// The same with an element of an array, or of one CPU's part of it.
    pub(crate) fn set(map: &OwnedFd, index: usize, value: &impl Wire) {
        let mut bytes = [0; 512];
        value.write(&mut bytes).unwrap();
        with(|kernel| {
            let map = kernel.map(map.as_raw_fd())?;
            let size = map.info.value_size as usize;
            let memory = map.memory();
            // SAFETY: the element lies inside the memory, which the test's own thread alone uses.
            unsafe {
                assert!((index + 1) * size <= memory.len());
                ptr::copy_nonoverlapping(bytes.as_ptr(), memory.cast::<u8>().add(index * size), size);
            }
            Ok(0)
        })
        .unwrap()
        .unwrap();
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        KERNEL.set(None);
    }
}

fn errno(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

fn with<T>(act: impl FnOnce(&mut Kernel) -> io::Result<T>) -> Option<io::Result<T>> {
    KERNEL.with_borrow_mut(|kernel| kernel.as_mut().map(act))
}

/// What the stand-in answers; `None` without one.
pub(super) fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> Option<io::Result<libc::c_long>> {
    with(|kernel| kernel.answer(command, attr))
}

pub(super) fn mmap(map: BorrowedFd<'_>, bytes: usize) -> Option<io::Result<*mut libc::c_void>> {
    with(|kernel| {
        let map = kernel.map(map.as_raw_fd())?;
        let memory = map.memory();
        if map.info.map_flags & BPF_F_MMAPABLE == 0 || bytes > memory.len() {
            return Err(errno(libc::EINVAL));
        }
        let address = memory.cast::<libc::c_void>();
        kernel.mapped.push(address);
        Ok(address)
    })
}

/// Whether that was mapped here.
pub(super) fn munmap(address: *mut libc::c_void) -> bool {
    let unmap = |kernel: &mut Kernel| {
        let place = kernel.mapped.iter().position(|one| *one == address);
        Ok(place.map(|place| kernel.mapped.swap_remove(place)).is_some())
    };
    with(unmap).is_some_and(|known| known.unwrap())
}

impl Map {
    fn memory(&self) -> *mut [u8] {
        ptr::slice_from_raw_parts_mut(self.memory.cast::<u8>(), self.memory.len() * 8)
    }

    fn is(&self, kind: aya_obj::generated::bpf_map_type) -> bool {
        self.info.type_ == kind as u32
    }

    fn buckets(&self) -> Vec<Vec<(&[u8], &[u8])>> {
        let bucket = |key: &[u8]| key.iter().map(|byte| u32::from(*byte)).sum::<u32>() % BUCKETS;
        let of = |number| {
            let inside = self.hash.iter().filter(|(key, _)| bucket(key) == number);
            inside.map(|(key, value)| (key.as_slice(), value.as_slice())).collect()
        };
        (0..BUCKETS).map(of).collect()
    }
}

/// What the program's memory at that address holds.
fn from_user(address: u64, len: u32) -> Vec<u8> {
    // SAFETY: none but Miri's: it is the contract of `bpf` that is tested.
    unsafe { slice::from_raw_parts(ptr::with_exposed_provenance::<u8>(address as usize), len as usize) }
        .to_vec()
}

/// Writes the program's memory.
fn to_user(address: u64, bytes: &[u8]) {
    let to = ptr::with_exposed_provenance_mut::<u8>(address as usize);
    // SAFETY: as above.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
}

impl Kernel {
    fn map(&mut self, fd: RawFd) -> io::Result<&mut Map> {
        let id = self.open.get(&fd).ok_or_else(|| errno(libc::EBADF))?;
        self.maps.get_mut(id).ok_or_else(|| errno(libc::EBADF))
    }

    /// A new descriptor: a real one, which can be closed.
    fn open(&mut self, id: u32) -> io::Result<libc::c_long> {
        let fd = io::pipe()?.0.into_raw_fd();
        self.open.insert(fd, id);
        Ok(fd.into())
    }

    /// Every member of the union is plain numbers, and each command reads its own.
    fn answer(&mut self, command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<libc::c_long> {
        // SAFETY: zeroed by whoever made it, so each member is there.
        let (new, element, batch, info, next) = unsafe {
            (attr.__bindgen_anon_1, attr.__bindgen_anon_2, attr.batch, attr.info, attr.__bindgen_anon_6)
        };
        // SAFETY: as above.
        let (value, id) = unsafe { (element.__bindgen_anon_1.value, next.__bindgen_anon_1.start_id) };
        match command {
            bpf_cmd::BPF_MAP_CREATE => {
                let id = self.maps.last_key_value().map_or(1, |(last, _)| last + 1);
                let cpus = if new.map_type == BPF_MAP_TYPE_PERCPU_ARRAY as u32 {
                    system::possible_cpus()?
                } else {
                    1
                };
                let elements =
                    if new.map_type == BPF_MAP_TYPE_HASH as u32 { 0 } else { new.max_entries * cpus };
                let words = vec![0_u64; (elements * new.value_size.div_ceil(8)) as usize];
                let mut info = bpf_map_info::zeroed();
                (info.type_, info.id, info.max_entries) = (new.map_type, id, new.max_entries);
                (info.key_size, info.value_size) = (new.key_size, new.value_size);
                (info.map_flags, info.name) = (new.map_flags, new.map_name);
                let memory = Box::into_raw(words.into_boxed_slice());
                self.maps.insert(id, Map { info, hash: BTreeMap::new(), memory });
                self.open(id)
            }
            bpf_cmd::BPF_MAP_LOOKUP_ELEM => {
                let map = self.map(element.map_fd.cast_signed())?;
                let key = from_user(element.key, map.info.key_size);
                if map.is(BPF_MAP_TYPE_HASH) {
                    to_user(value, map.hash.get(&key).ok_or_else(|| errno(libc::ENOENT))?);
                } else if key == [0; 4] {
                    // SAFETY: the whole memory, which nobody changes meanwhile.
                    to_user(value, unsafe { &*map.memory() });
                } else {
                    return Err(errno(libc::ENOENT));
                }
                Ok(0)
            }
            bpf_cmd::BPF_MAP_UPDATE_ELEM => {
                let map = self.map(element.map_fd.cast_signed())?;
                assert!(map.is(BPF_MAP_TYPE_ARRAY) && from_user(element.key, map.info.key_size) == [0; 4]);
                to_user(map.memory.expose_provenance() as u64, &from_user(value, map.info.value_size));
                Ok(0)
            }
            bpf_cmd::BPF_MAP_DELETE_ELEM => {
                let map = self.map(element.map_fd.cast_signed())?;
                let key = from_user(element.key, map.info.key_size);
                map.hash.remove(&key).map(|_| 0).ok_or_else(|| errno(libc::ENOENT))
            }
            bpf_cmd::BPF_MAP_LOOKUP_BATCH => {
                let map = self.map(batch.map_fd.cast_signed())?;
                let from = if batch.in_batch == 0 { vec![0; 4] } else { from_user(batch.in_batch, 4) };
                let mut bucket = u32::from_ne_bytes(from.try_into().unwrap());
                let mut found = Vec::new();
                for inside in map.buckets().into_iter().skip(bucket as usize) {
                    if found.len() + inside.len() > batch.count as usize {
                        break;
                    }
                    found.extend(inside);
                    bucket += 1;
                }
                to_user(batch.keys, &found.iter().flat_map(|(key, _)| *key).copied().collect::<Vec<u8>>());
                to_user(
                    batch.values,
                    &found.iter().flat_map(|(_, value)| *value).copied().collect::<Vec<u8>>(),
                );
                to_user(batch.out_batch, &bucket.to_ne_bytes());
                attr.batch.count = u32::try_from(found.len()).unwrap();
                match found.len() {
                    _ if bucket == BUCKETS => Err(errno(libc::ENOENT)),
                    0 => Err(errno(libc::ENOSPC)),
                    _ => Ok(0),
                }
            }
            bpf_cmd::BPF_OBJ_GET_INFO_BY_FD => {
                let map = self.map(info.bpf_fd.cast_signed())?;
                let bytes = from_user((&raw const map.info).expose_provenance() as u64, info.info_len);
                to_user(info.info, &bytes);
                Ok(0)
            }
            bpf_cmd::BPF_MAP_GET_NEXT_ID => {
                let (next, _) = self.maps.range(id + 1..).next().ok_or_else(|| errno(libc::ENOENT))?;
                attr.__bindgen_anon_6.next_id = *next;
                Ok(0)
            }
            bpf_cmd::BPF_MAP_GET_FD_BY_ID => self.open(id),
            other => panic!("the stand-in does not know {other:?}"),
        }
    }
}
