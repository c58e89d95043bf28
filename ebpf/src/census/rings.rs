//! The program `rings`: every mapping, in any address space, of a file on the kernel's AIO ring
//! file system.
//!
//! This is how rings without a context are found: a ring inherited by fork outlives its context and
//! is in no table.

use aioinspect_ebpf::AIO_RING_FS_MAGIC;
use aioinspect_ebpf::shared::iterator::{AGAIN, IterTaskVma, NEXT};
use aioinspect_ebpf::shared::value::Value;

use crate::control::{ring_control, tgid};
use crate::maps::RINGS;
use aioinspect_ebpf::place;
use aioinspect_ebpf::shared::memory::read;
use aioinspect_ebpf::shared::pointer::as_number;

/// `VM_SHARED` of include/linux/mm.h: a ring is mapped shared (fs/aio.c:aio_setup_ring), and no
/// call takes that from a mapping.
const VM_SHARED: u64 = 8;

// SAFETY: the section names the hook, the symbol is this program's own.
#[unsafe(link_section = "iter/task_vma")]
#[unsafe(no_mangle)]
extern "C" fn rings(iter: *const IterTaskVma) -> i32 {
    // SAFETY: the kernel hands a valid context to every run.
    let (task, vma) = unsafe { ((*iter).task, (*iter).vma) };
    if task.is_null() || vma.is_null() {
        return NEXT;
    }
    let Some(control) = ring_control() else { return NEXT };
    let vma = as_number(control.pointer(), vma);
    let flags: u64 = read(vma, place!(vma_flags));
    // Nearly every mapping there is ends here, before its file is fetched into the cache.
    if flags & VM_SHARED == 0 {
        return NEXT;
    }
    let file: u64 = read(vma, place!(vma_file));
    if file == 0 {
        return NEXT;
    }
    let inode: u64 = read(file, place!(file_inode));
    let sb: u64 = read(inode, place!(inode_sb));
    if read::<u64>(sb, place!(sb_magic)) != AIO_RING_FS_MAGIC {
        return NEXT;
    }
    let position = control.rings().get();
    let record = Value::of(&RINGS, position);
    if record.is_none() && control.in_pieces().get() != 0 {
        control.is_full().set(1);
        // The iterator keeps the place (kernel/bpf/task_iter.c:task_vma_seq_stop).
        return AGAIN;
    }
    control.rings().set(position.wrapping_add(1));
    let Some(record) = record else { return NEXT };
    record.start().set(read(vma, place!(vma_start)));
    record.end().set(read(vma, place!(vma_end)));
    record.page_offset().set(read(vma, place!(vma_pgoff)));
    record.inode().set(read(inode, place!(inode_ino)));
    record.flags().set(flags);
    let task = as_number(control.pointer(), task);
    if control.last_task().get() != task {
        control.last_tgid().set(tgid(task, control));
        control.last_mm().set(read(vma, place!(vma_mm)));
        control.last_task().set(task);
    }
    record.tgid().set(control.last_tgid().get());
    record.mm().set(control.last_mm().get());
    record._pad().set(0);
    NEXT
}
