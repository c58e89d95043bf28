//! What the kernel says of loaded programs and of maps: bpf(2) commands that ask.

#![expect(unsafe_code, reason = "the kernel writes its answer through a pointer")]

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use aya_obj::generated::bpf_cmd::{BPF_MAP_GET_FD_BY_ID, BPF_MAP_GET_NEXT_ID, BPF_OBJ_GET_INFO_BY_FD};
use aya_obj::generated::{bpf_attr, bpf_map_info, bpf_prog_info};

use crate::bpf::syscall::{Plain, bpf, bpf_fd, raw, there};

/// Asks what a program is.
fn prog_info(program: BorrowedFd<'_>) -> io::Result<bpf_prog_info> {
    info(program)
}

/// The id by which the kernel lists a loaded program.
pub(crate) fn prog_id(program: BorrowedFd<'_>) -> io::Result<u32> {
    prog_info(program).map(|info| info.id)
}

/// How often a program was not run because it ran already on that CPU.
pub(crate) fn recursion_misses(program: BorrowedFd<'_>) -> io::Result<u64> {
    prog_info(program).map(|info| info.recursion_misses)
}

/// Asks what a map is.
pub(super) fn map_info(map: BorrowedFd<'_>) -> io::Result<bpf_map_info> {
    info(map)
}

/// The name of a map, NUL-padded.
pub(crate) fn map_name(map: BorrowedFd<'_>) -> io::Result<[u8; 16]> {
    map_info(map).map(|info| info.name.map(|byte| u8::from_ne_bytes(byte.to_ne_bytes())))
}

fn info<T: Plain>(object: BorrowedFd<'_>) -> io::Result<T> {
    let mut info = T::zeroed();
    let mut attr = bpf_attr::zeroed();
    attr.info.bpf_fd = raw(object)?;
    attr.info.info_len = u32::try_from(size_of::<T>()).map_err(io::Error::other)?;
    attr.info.info = (&raw mut info) as u64;
    // SAFETY: the kernel writes at most `info_len` bytes to `info`, which may be any numbers; the lists that it could copy elsewhere
    // are asked for by numbers that are zero.
    unsafe { bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attr) }?;
    Ok(info)
}

/// The id of the map after `id`, of all maps of the host; `None` after the last. Needs CAP_SYS_ADMIN.
pub(crate) fn next_map_id(id: u32) -> io::Result<Option<u32>> {
    let mut attr = bpf_attr::zeroed();
    attr.__bindgen_anon_6.__bindgen_anon_1.start_id = id;
    // SAFETY: there is no pointer in this command; every member of the union is plain numbers, and this one is the command's.
    unsafe {
        let next = there(bpf(BPF_MAP_GET_NEXT_ID, &mut attr))?;
        Ok(next.map(|()| attr.__bindgen_anon_6.next_id))
    }
}

/// Opens a map by its id. Needs CAP_SYS_ADMIN.
pub(crate) fn map_by_id(id: u32) -> io::Result<OwnedFd> {
    let mut attr = bpf_attr::zeroed();
    attr.__bindgen_anon_6.__bindgen_anon_1.map_id = id;
    // SAFETY: there is no pointer in this command.
    unsafe { bpf_fd(BPF_MAP_GET_FD_BY_ID, &mut attr) }
}
