//! From /sys/kernel/btf/vmlinux to the offsets the eBPF programs are given.

use std::path::Path;

use aioinspect_ebpf::{Offsets, Place};

use super::probe_error::ProbeError;
use super::vmlinux_btf::VmlinuxBtf;
use crate::model::btf::Btf;
use crate::model::hook_ids::HookIds;
use crate::model::layout::Layout;

/// Where the kernel shows its own types.
pub const VMLINUX_BTF: &str = "/sys/kernel/btf/vmlinux";

/// `PIDTYPE_TGID`, the second kind of id (include/linux/pid_types.h).
const PIDTYPE_TGID: u32 = 1;

/// Reads the running kernel's layout. The 5 MB of BTF are let go before this returns.
pub fn read_layout() -> Result<Layout, ProbeError> {
    read(|_| ()).map(|(layout, ())| layout)
}

/// The same, and where calls can be seen.
pub fn read_layout_and_hooks() -> Result<(Layout, HookIds), ProbeError> {
    read(HookIds::resolve)
}

fn read<T>(more: impl FnOnce(&Btf<'_>) -> T) -> Result<(Layout, T), ProbeError> {
    let path = Path::new(VMLINUX_BTF);
    let blob = VmlinuxBtf::open(path).map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            let what = format!("BTF of its own types ({VMLINUX_BTF}, CONFIG_DEBUG_INFO_BTF)");
            return ProbeError::Lacks { what };
        }
        ProbeError::Io { action: "read /sys/kernel/btf/vmlinux", error }
    })?;
    let lacks = |what: String| ProbeError::Lacks { what };
    let btf = Btf::parse(&blob).map_err(|e| lacks(format!("readable BTF ({VMLINUX_BTF}: {e})")))?;
    let layout = Layout::resolve(&btf).map_err(|e| lacks(format!("a layout this program knows: {e}")))?;
    Ok((layout, more(&btf)))
}

/// A number at an offset.
fn place(offset: u32) -> u64 {
    Place::whole(offset, 8).0
}

/// The same of a member that may be absent.
fn maybe(offset: Option<u32>) -> u64 {
    offset.map_or(Place::ABSENT.0, place)
}

/// The layout as the eBPF object wants it.
pub fn offsets(layout: &Layout, possible_cpus: u32) -> Offsets {
    let pointer = 8;
    Offsets {
        task_mm: place(layout.task_mm),
        task_signal: place(layout.task_signal),
        task_group_leader: place(layout.task_group_leader),
        task_thread_pid: place(layout.task_thread_pid),
        task_comm: place(layout.task_comm),
        task_start_boottime: place(layout.task_start_boottime),
        task_nvcsw: place(layout.task_nvcsw),
        task_nivcsw: place(layout.task_nivcsw),
        task_sum_exec_runtime: place(layout.task_sum_exec_runtime),
        task_on_cpu: place(layout.task_on_cpu),
        task_state: place(layout.task_state),
        task_exit_state: place(layout.task_exit_state),
        task_flags: place(layout.task_flags),
        signal_tgid: place(layout.signal_pids.saturating_add(pointer * PIDTYPE_TGID)),
        pid_level: place(layout.pid_level),
        pid_numbers_nr: place(layout.pid_numbers.saturating_add(layout.upid_nr)),
        upid_size: layout.upid_size,
        mm_ioctx_table: place(layout.mm_ioctx_table),
        mm_brk: place(layout.mm_brk),
        mm_flags: place(layout.mm_flags),
        mm_map_count: place(layout.mm_map_count),
        mm_lock_seq: maybe(layout.mm_lock_seq),
        table_nr: place(layout.table_nr),
        table_table: place(layout.table_table),
        kioctx_dead: place(layout.kioctx_dead),
        kioctx_reqs_ptr: place(layout.kioctx_reqs_ptr),
        kioctx_reqs_data: place(layout.kioctx_reqs_data),
        ref_data_count: place(layout.ref_data_count),
        kioctx_user_id: place(layout.kioctx_user_id),
        kioctx_cpu: place(layout.kioctx_cpu),
        kioctx_max_reqs: place(layout.kioctx_max_reqs),
        kioctx_nr_events: place(layout.kioctx_nr_events),
        kioctx_mmap_base: place(layout.kioctx_mmap_base),
        kioctx_mmap_size: place(layout.kioctx_mmap_size),
        kioctx_nr_pages: place(layout.kioctx_nr_pages),
        kioctx_reqs_available: place(layout.kioctx_reqs_available),
        kioctx_tail: place(layout.kioctx_tail),
        kioctx_completed_events: place(layout.kioctx_completed_events),
        kioctx_cpu_reqs_available: place(layout.kioctx_cpu_reqs_available),
        vma_start: place(layout.vma_start),
        vma_end: place(layout.vma_end),
        vma_flags: place(layout.vma_flags),
        vma_pgoff: place(layout.vma_pgoff),
        vma_file: place(layout.vma_file),
        vma_mm: place(layout.vma_mm),
        file_inode: place(layout.file_inode),
        inode_sb: place(layout.inode_sb),
        inode_ino: place(layout.inode_ino),
        sb_magic: place(layout.sb_magic),
        bpf_array_pptrs: place(layout.bpf_array_pptrs),
        possible_cpus,
        pid_numbers_ns: place(layout.pid_numbers.saturating_add(layout.upid_ns)),
        mm_start_code: place(layout.mm_start_code),
        task_status: maybe(layout.task_status),
        task_cgroups: maybe(layout.task_cgroups),
        ..Offsets::default()
    }
}
