//! The program `rings`: every mapping, in any address space, of a file on the kernel's AIO ring file system.
//!
//! This is how rings without a context are found: a ring inherited by fork outlives its context and is in no table.

use aioinspect_ebpf::AIO_RING_FS_MAGIC;
use aya_ebpf::bindings::task_struct;

use crate::constants::place;
use crate::kernel::read;
use crate::maps::RINGS;
use crate::pointer::as_number;
use crate::reader::{ring_control, tgid};

/// `VM_SHARED` of include/linux/mm.h: a ring is mapped shared (fs/aio.c:aio_setup_ring), and no call takes that from a mapping.
const VM_SHARED: u64 = 8;

/// What a program on an iterator answers: run it on the same object again (kernel/bpf/task_iter.c:task_vma_seq_stop keeps the place).
const AGAIN: i32 = 1;

/// What the kernel hands to a program on `iter/task_vma`; null pointers end the walk.
#[repr(C)]
pub struct IterTaskVma {
    meta: *const core::ffi::c_void,
    task: *const task_struct,
    vma: *const core::ffi::c_void,
}

// SAFETY: the section names the hook, the symbol is this program's own.
#[unsafe(link_section = "iter/task_vma")]
#[unsafe(no_mangle)]
extern "C" fn rings(iter: *const IterTaskVma) -> i32 {
    // SAFETY: the kernel hands a valid context to every run.
    let (task, vma) = unsafe { ((*iter).task, (*iter).vma) };
    if task.is_null() || vma.is_null() {
        return 0;
    }
    let Some(control) = ring_control() else { return 0 };
    let vma = as_number(&mut control.pointer, vma);
    let flags: u64 = read(vma, place!(vma_flags));
    // Nearly every mapping there is ends here, before its file is fetched into the cache.
    if flags & VM_SHARED == 0 {
        return 0;
    }
    let file: u64 = read(vma, place!(vma_file));
    if file == 0 {
        return 0;
    }
    let inode: u64 = read(file, place!(file_inode));
    let sb: u64 = read(inode, place!(inode_sb));
    if read::<u64>(sb, place!(sb_magic)) != AIO_RING_FS_MAGIC {
        return 0;
    }
    let position = control.rings;
    let record = RINGS.get_ptr_mut(position);
    if record.is_none() && control.in_pieces != 0 {
        control.is_full = 1;
        return AGAIN;
    }
    control.rings = position.wrapping_add(1);
    let Some(record) = record else { return 0 };
    // SAFETY: a live map value that nobody else writes during this run.
    let record = unsafe { &mut *record };
    record.start = read(vma, place!(vma_start));
    record.end = read(vma, place!(vma_end));
    record.page_offset = read(vma, place!(vma_pgoff));
    record.inode = read(inode, place!(inode_ino));
    record.flags = flags;
    let task = as_number(&mut control.pointer, task);
    if control.last_task != task {
        control.last_tgid = tgid(task, control);
        control.last_mm = read(vma, place!(vma_mm));
        control.last_task = task;
    }
    record.tgid = control.last_tgid;
    record.mm = control.last_mm;
    record._pad = 0;
    0
}
