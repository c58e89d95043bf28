//! What the kernel says of loaded programs and of maps: bpf(2) commands that ask.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use crate::bpf::call::{bpf, bpf_fd, raw};

const BPF_MAP_GET_NEXT_ID: libc::c_long = 12;
const BPF_MAP_GET_FD_BY_ID: libc::c_long = 14;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;

#[repr(C)]
struct InfoAttr {
    bpf_fd: u32,
    info_len: u32,
    info: u64,
}

/// The id by which the kernel lists a loaded program.
pub fn prog_id(program: BorrowedFd<'_>) -> io::Result<u32> {
    // struct bpf_prog_info begins with type and id.
    let mut info = [0u32; 2];
    let mut attr = InfoAttr { bpf_fd: raw(program)?, info_len: 8, info: info.as_mut_ptr() as u64 };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    let [_, id] = info;
    Ok(id)
}

/// How often a program was not run because it ran already on that CPU.
pub fn recursion_misses(program: BorrowedFd<'_>) -> io::Result<u64> {
    // struct bpf_prog_info of include/uapi/linux/bpf.h: recursion_misses is its 27th word of 8 bytes (since v5.12).
    const WORD: usize = 26;
    let mut info = [0u64; WORD + 1];
    let info_len = u32::try_from(size_of_val(&info)).map_err(io::Error::other)?;
    let mut attr = InfoAttr { bpf_fd: raw(program)?, info_len, info: info.as_mut_ptr() as u64 };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    let [.., misses] = info;
    Ok(misses)
}

/// What a map is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MapInfo {
    /// `BPF_MAP_TYPE_*`.
    pub kind: u32,
    /// Its id.
    pub id: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Its name, NUL-padded.
    pub name: [u8; 16],
}

/// Asks what a map is.
pub fn map_info(map: BorrowedFd<'_>) -> io::Result<MapInfo> {
    #[repr(C)]
    #[derive(Default)]
    struct Info {
        kind: u32,
        id: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        map_flags: u32,
        name: [u8; 16],
    }
    let mut info = Info::default();
    let info_len = u32::try_from(size_of::<Info>()).map_err(io::Error::other)?;
    let mut attr = InfoAttr { bpf_fd: raw(map)?, info_len, info: (&raw mut info) as u64 };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    Ok(MapInfo {
        kind: info.kind,
        id: info.id,
        key_size: info.key_size,
        value_size: info.value_size,
        name: info.name,
    })
}

/// The id of the map after `id`, of all maps of the host; `None` after the last. Needs CAP_SYS_ADMIN.
pub fn next_map_id(id: u32) -> io::Result<Option<u32>> {
    let mut attr = [id, 0, 0];
    match bpf(BPF_MAP_GET_NEXT_ID, &mut attr) {
        Ok(_) => {
            let [_, next, _] = attr;
            Ok(Some(next))
        }
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens a map by its id. Needs CAP_SYS_ADMIN.
pub fn map_by_id(id: u32) -> io::Result<OwnedFd> {
    bpf_fd(BPF_MAP_GET_FD_BY_ID, &mut [id, 0, 0])
}
