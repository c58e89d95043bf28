//! From /sys/kernel/btf/vmlinux to the offsets the eBPF programs are given.

use std::path::Path;

use aioinspect_ebpf::{KIOCTX_ROOM, Offsets};

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
    let span = kioctx_span(&layout);
    if usize::try_from(span).unwrap_or(usize::MAX) > KIOCTX_ROOM {
        return Err(lacks(format!(
            "a layout this program knows: struct kioctx needs {span} bytes, {KIOCTX_ROOM} fit"
        )));
    }
    Ok((layout, more(&btf)))
}

/// Bytes of a kioctx up to the end of the last member that is read.
fn kioctx_span(layout: &Layout) -> u32 {
    let ends = [
        layout.kioctx_dead.saturating_add(4),
        layout.kioctx_reqs_ptr.saturating_add(8),
        layout.kioctx_reqs_data.saturating_add(8),
        layout.kioctx_user_id.saturating_add(8),
        layout.kioctx_cpu.saturating_add(8),
        layout.kioctx_max_reqs.saturating_add(4),
        layout.kioctx_nr_events.saturating_add(4),
        layout.kioctx_mmap_base.saturating_add(8),
        layout.kioctx_mmap_size.saturating_add(8),
        layout.kioctx_nr_pages.saturating_add(8),
        layout.kioctx_reqs_available.saturating_add(4),
        layout.kioctx_tail.saturating_add(4),
        layout.kioctx_completed_events.saturating_add(4),
    ];
    ends.into_iter().max().unwrap_or(0)
}

/// The layout as the eBPF object wants it.
pub fn offsets(layout: &Layout, possible_cpus: u32) -> Offsets {
    let pointer = 8;
    Offsets {
        task_mm: layout.task_mm,
        task_signal: layout.task_signal,
        task_group_leader: layout.task_group_leader,
        task_thread_pid: layout.task_thread_pid,
        task_comm: layout.task_comm,
        task_start_boottime: layout.task_start_boottime,
        task_nvcsw: layout.task_nvcsw,
        task_nivcsw: layout.task_nivcsw,
        task_sum_exec_runtime: layout.task_sum_exec_runtime,
        task_on_cpu: layout.task_on_cpu,
        task_state: layout.task_state,
        task_exit_state: layout.task_exit_state,
        task_flags: layout.task_flags,
        signal_tgid: layout.signal_pids.saturating_add(pointer * PIDTYPE_TGID),
        pid_level: layout.pid_level,
        pid_numbers_nr: layout.pid_numbers.saturating_add(layout.upid_nr),
        upid_size: layout.upid_size,
        mm_ioctx_table: layout.mm_ioctx_table,
        mm_brk: layout.mm_brk,
        mm_flags: layout.mm_flags,
        mm_map_count: layout.mm_map_count,
        mm_lock_seq: layout.mm_lock_seq.unwrap_or(u32::MAX),
        table_nr: layout.table_nr,
        table_table: layout.table_table,
        kioctx_dead: layout.kioctx_dead,
        kioctx_reqs_ptr: layout.kioctx_reqs_ptr,
        kioctx_reqs_data: layout.kioctx_reqs_data,
        ref_data_count: layout.ref_data_count,
        kioctx_user_id: layout.kioctx_user_id,
        kioctx_cpu: layout.kioctx_cpu,
        kioctx_max_reqs: layout.kioctx_max_reqs,
        kioctx_nr_events: layout.kioctx_nr_events,
        kioctx_mmap_base: layout.kioctx_mmap_base,
        kioctx_mmap_size: layout.kioctx_mmap_size,
        kioctx_nr_pages: layout.kioctx_nr_pages,
        kioctx_reqs_available: layout.kioctx_reqs_available,
        kioctx_tail: layout.kioctx_tail,
        kioctx_completed_events: layout.kioctx_completed_events,
        kioctx_cpu_reqs_available: layout.kioctx_cpu_reqs_available,
        vma_start: layout.vma_start,
        vma_end: layout.vma_end,
        vma_flags: layout.vma_flags,
        vma_pgoff: layout.vma_pgoff,
        vma_file: layout.vma_file,
        vma_mm: layout.vma_mm,
        file_inode: layout.file_inode,
        inode_sb: layout.inode_sb,
        inode_ino: layout.inode_ino,
        sb_magic: layout.sb_magic,
        bpf_array_pptrs: layout.bpf_array_pptrs,
        possible_cpus,
        kioctx_span: kioctx_span(layout),
        pid_numbers_ns: layout.pid_numbers.saturating_add(layout.upid_ns),
        mm_start_code: layout.mm_start_code,
        task_status: layout.task_status.unwrap_or(u32::MAX),
        task_cgroups: layout.task_cgroups.unwrap_or(u32::MAX),
    }
}
