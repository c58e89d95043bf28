//! Where the kernel that runs keeps what the programs read: filled in by userspace from BTF before loading.

use crate::bytes::wire;

wire! {
    /// Byte offsets of members, each named struct_member. The global `OFFSETS` of the eBPF object holds one.
    pub struct Offsets: 224 {
        /// `task_struct.mm`
        task_mm: u32,
        /// `task_struct.signal`
        task_signal: u32,
        /// `task_struct.group_leader`
        task_group_leader: u32,
        /// `task_struct.thread_pid`
        task_thread_pid: u32,
        /// `task_struct.comm`
        task_comm: u32,
        /// `task_struct.start_boottime`
        task_start_boottime: u32,
        /// `task_struct.nvcsw`
        task_nvcsw: u32,
        /// `task_struct.nivcsw`
        task_nivcsw: u32,
        /// `task_struct.se.sum_exec_runtime`
        task_sum_exec_runtime: u32,
        /// `task_struct.on_cpu`
        task_on_cpu: u32,
        /// `task_struct.__state`
        task_state: u32,
        /// `task_struct.exit_state`
        task_exit_state: u32,
        /// `task_struct.flags`
        task_flags: u32,
        /// `signal_struct.pids[PIDTYPE_TGID]`
        signal_tgid: u32,
        /// `pid.level`
        pid_level: u32,
        /// `pid.numbers[0].nr`
        pid_numbers_nr: u32,
        /// size of `struct upid`
        upid_size: u32,
        /// `mm_struct.ioctx_table`
        mm_ioctx_table: u32,
        /// `mm_struct.brk`
        mm_brk: u32,
        /// `mm_struct.flags`
        mm_flags: u32,
        /// `mm_struct.map_count`
        mm_map_count: u32,
        /// `mm_struct.mm_lock_seq`, or `u32::MAX` where there is none
        mm_lock_seq: u32,
        /// `kioctx_table.nr`
        table_nr: u32,
        /// `kioctx_table.table`
        table_table: u32,
        /// `kioctx.dead`
        kioctx_dead: u32,
        /// `kioctx.reqs.percpu_count_ptr`
        kioctx_reqs_ptr: u32,
        /// `kioctx.reqs.data`
        kioctx_reqs_data: u32,
        /// `percpu_ref_data.count`
        ref_data_count: u32,
        /// `kioctx.user_id`
        kioctx_user_id: u32,
        /// `kioctx.cpu`
        kioctx_cpu: u32,
        /// `kioctx.max_reqs`
        kioctx_max_reqs: u32,
        /// `kioctx.nr_events`
        kioctx_nr_events: u32,
        /// `kioctx.mmap_base`
        kioctx_mmap_base: u32,
        /// `kioctx.mmap_size`
        kioctx_mmap_size: u32,
        /// `kioctx.nr_pages`
        kioctx_nr_pages: u32,
        /// `kioctx.reqs_available`
        kioctx_reqs_available: u32,
        /// `kioctx.tail`
        kioctx_tail: u32,
        /// `kioctx.completed_events`
        kioctx_completed_events: u32,
        /// `kioctx_cpu.reqs_available`
        kioctx_cpu_reqs_available: u32,
        /// `vm_area_struct.vm_start`
        vma_start: u32,
        /// `vm_area_struct.vm_end`
        vma_end: u32,
        /// `vm_area_struct.vm_flags`
        vma_flags: u32,
        /// `vm_area_struct.vm_pgoff`
        vma_pgoff: u32,
        /// `vm_area_struct.vm_file`
        vma_file: u32,
        /// `vm_area_struct.vm_mm`
        vma_mm: u32,
        /// `file.f_inode`
        file_inode: u32,
        /// `inode.i_sb`
        inode_sb: u32,
        /// `inode.i_ino`
        inode_ino: u32,
        /// `super_block.s_magic`
        sb_magic: u32,
        /// `bpf_array.pptrs`
        bpf_array_pptrs: u32,
        /// Number of possible CPUs; a count, not an offset.
        possible_cpus: u32,
        /// Bytes of a kioctx up to the end of the last member that is read; at most `KIOCTX_ROOM`.
        kioctx_span: u32,
        /// `pid.numbers[0].ns`
        pid_numbers_ns: u32,
        /// `mm_struct.start_code`
        mm_start_code: u32,
        /// `task_struct.thread_info.status`, or `u32::MAX` where there is none
        task_status: u32,
        /// `task_struct.cgroups`, or `u32::MAX` where there is none
        task_cgroups: u32,
    }
}
