//! The program `rings`: every mapping, in any address space, of a file on the kernel's AIO ring file system.
//!
//! This is how rings without a context are found: a ring inherited by fork outlives its context and is in no table.

use aioinspect_ebpf::AIO_RING_FS_MAGIC;
use aya_ebpf::bindings::task_struct;

use crate::constants::offset;
use crate::kernel::{follow, load, read};
use crate::maps::RINGS;
use crate::reader::{id_for_reader, ring_control};

/// `VM_SHARED` of include/linux/mm.h: a ring is mapped shared (fs/aio.c:aio_setup_ring), and no call takes that from a mapping.
const VM_SHARED: u64 = 8;

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
    // SAFETY: `vma` comes from the context.
    let flags: u64 = unsafe { load(vma, offset!(vma_flags)) };
    // Nearly every mapping there is ends here, before its file is fetched into the cache.
    if flags & VM_SHARED == 0 {
        return 0;
    }
    // SAFETY: `vma` comes from the context, and what follows from it.
    let inode = unsafe {
        let file = follow(vma, offset!(vma_file));
        if file.is_null() {
            return 0;
        }
        let inode = follow(file, offset!(file_inode));
        let sb = follow(inode, offset!(inode_sb));
        if load::<u64, _>(sb, offset!(sb_magic)) != AIO_RING_FS_MAGIC {
            return 0;
        }
        inode as u64
    };
    let Some(control) = ring_control() else { return 0 };
    let position = control.rings;
    control.rings = position.wrapping_add(1);
    let Some(record) = RINGS.get_ptr_mut(position) else { return 0 };
    // SAFETY: a live map value that nobody else writes during this run.
    let record = unsafe { &mut *record };
    // SAFETY: `vma` comes from the context.
    unsafe {
        record.start = load(vma, offset!(vma_start));
        record.end = load(vma, offset!(vma_end));
        record.page_offset = load(vma, offset!(vma_pgoff));
    }
    record.inode = read(inode, offset!(inode_ino));
    record.flags = flags;
    if control.last_task != task as u64 {
        let signal: u64 = read(task as u64, offset!(task_signal));
        control.last_tgid = id_for_reader(read(signal, offset!(signal_tgid)), control);
        control.last_mm = read(vma as u64, offset!(vma_mm));
        control.last_task = task as u64;
    }
    record.tgid = control.last_tgid;
    record.mm = control.last_mm;
    record._pad = 0;
    0
}
