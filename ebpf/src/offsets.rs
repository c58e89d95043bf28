//! Where the kernel that runs keeps what the programs read: filled in by userspace from BTF before loading.

use crate::bytes::wire;

/// Where a number lies in a struct: its offset and size, and for a bit field which of its bits. One word, a constant to the verifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(pub u64);

#[expect(
    clippy::cast_possible_truncation,
    clippy::inline_always,
    reason = "each part is cut out of its word, and the programs do so at every reading"
)]
impl Place {
    /// The kernel that runs has no such member.
    pub const ABSENT: Self = Self(0);

    /// A whole number of `size` bytes (1, 2, 4 or 8).
    pub const fn whole(offset: u32, size: u8) -> Self {
        Self(offset as u64 | ((size as u64) << 32))
    }

    /// `bits` bits from the bit `shift` on of the `size` bytes at `offset`.
    pub const fn bit_field(offset: u32, size: u8, shift: u8, bits: u8) -> Self {
        Self(offset as u64 | ((size as u64) << 32) | ((shift as u64) << 40) | ((bits as u64) << 48))
    }

    /// Bytes from the start of the struct.
    #[inline(always)]
    pub const fn offset(self) -> u32 {
        self.0 as u32
    }

    /// Bytes that hold it; 0 if there is no such member.
    #[inline(always)]
    pub const fn size(self) -> u8 {
        (self.0 >> 32) as u8
    }

    /// The lowest bit of a bit field.
    #[inline(always)]
    pub const fn shift(self) -> u8 {
        (self.0 >> 40) as u8
    }

    /// Bits of a bit field; 0 if it is none.
    #[inline(always)]
    pub const fn bits(self) -> u8 {
        (self.0 >> 48) as u8
    }

    /// Whether this kernel has it.
    #[inline(always)]
    pub const fn is_present(self) -> bool {
        self.size() != 0
    }

    /// The number, from the bytes that hold it with zeroes above them.
    #[inline(always)]
    pub const fn number(self, bytes: u64) -> u64 {
        if self.bits() == 0 {
            return bytes;
        }
        bytes << ((64 - (self.shift() as u32 + self.bits() as u32)) & 63) >> ((64 - self.bits() as u32) & 63)
    }

    /// The number with its sign.
    #[inline(always)]
    pub const fn signed(self, number: u64) -> i64 {
        let bits = if self.bits() == 0 { self.size() as u32 * 8 } else { self.bits() as u32 };
        let above = (64 - bits) & 63;
        (number << above).cast_signed() >> above
    }
}

wire! {
    /// Places of members, each named struct_member, and what else the programs take from the kernel that runs. The global `OFFSETS` of
    /// the eBPF objects holds one. A member that this kernel has not is 0 and reads as 0.
    pub struct Offsets: 688 {
        /// `task_struct.mm`
        task_mm: u64,
        /// `task_struct.signal`
        task_signal: u64,
        /// `task_struct.group_leader`
        task_group_leader: u64,
        /// `task_struct.thread_pid`
        task_thread_pid: u64,
        /// `task_struct.comm`
        task_comm: u64,
        /// `task_struct.start_boottime`
        task_start_boottime: u64,
        /// `task_struct.nvcsw`
        task_nvcsw: u64,
        /// `task_struct.nivcsw`
        task_nivcsw: u64,
        /// `task_struct.se.sum_exec_runtime`
        task_sum_exec_runtime: u64,
        /// `task_struct.on_cpu`
        task_on_cpu: u64,
        /// `task_struct.__state`
        task_state: u64,
        /// `task_struct.exit_state`
        task_exit_state: u64,
        /// `task_struct.flags`
        task_flags: u64,
        /// `signal_struct.pids[PIDTYPE_TGID]`
        signal_tgid: u64,
        /// `pid.level`
        pid_level: u64,
        /// `pid.numbers[0].nr`
        pid_numbers_nr: u64,
        /// `mm_struct.ioctx_table`
        mm_ioctx_table: u64,
        /// `mm_struct.brk`
        mm_brk: u64,
        /// `mm_struct.flags`
        mm_flags: u64,
        /// `mm_struct.map_count`
        mm_map_count: u64,
        /// `mm_struct.mm_lock_seq`
        mm_lock_seq: u64,
        /// `kioctx_table.nr`
        table_nr: u64,
        /// `kioctx_table.table`
        table_table: u64,
        /// `kioctx.dead`
        kioctx_dead: u64,
        /// `kioctx.reqs.percpu_count_ptr`
        kioctx_reqs_ptr: u64,
        /// `kioctx.reqs.data`
        kioctx_reqs_data: u64,
        /// `percpu_ref_data.count`
        ref_data_count: u64,
        /// `kioctx.user_id`
        kioctx_user_id: u64,
        /// `kioctx.cpu`
        kioctx_cpu: u64,
        /// `kioctx.max_reqs`
        kioctx_max_reqs: u64,
        /// `kioctx.nr_events`
        kioctx_nr_events: u64,
        /// `kioctx.req_batch`
        kioctx_req_batch: u64,
        /// `kioctx.mmap_base`
        kioctx_mmap_base: u64,
        /// `kioctx.mmap_size`
        kioctx_mmap_size: u64,
        /// `kioctx.nr_pages`
        kioctx_nr_pages: u64,
        /// `kioctx.reqs_available`
        kioctx_reqs_available: u64,
        /// `kioctx.tail`
        kioctx_tail: u64,
        /// `kioctx.completed_events`
        kioctx_completed_events: u64,
        /// `kioctx_cpu.reqs_available`
        kioctx_cpu_reqs_available: u64,
        /// `vm_area_struct.vm_start`
        vma_start: u64,
        /// `vm_area_struct.vm_end`
        vma_end: u64,
        /// `vm_area_struct.vm_flags`
        vma_flags: u64,
        /// `vm_area_struct.vm_pgoff`
        vma_pgoff: u64,
        /// `vm_area_struct.vm_file`
        vma_file: u64,
        /// `vm_area_struct.vm_mm`
        vma_mm: u64,
        /// `file.f_inode`
        file_inode: u64,
        /// `inode.i_sb`
        inode_sb: u64,
        /// `inode.i_ino`
        inode_ino: u64,
        /// `super_block.s_magic`
        sb_magic: u64,
        /// `bpf_array.pptrs`
        bpf_array_pptrs: u64,
        /// `pid.numbers[0].ns`
        pid_numbers_ns: u64,
        /// `mm_struct.start_code`
        mm_start_code: u64,
        /// `task_struct.thread_info.status`
        task_status: u64,
        /// `task_struct.cgroups`
        task_cgroups: u64,
        /// `task_struct.pid`, the number in the first PID namespace
        task_pid: u64,
        /// `task_struct.tgid`, likewise
        task_tgid: u64,
        /// `task_struct.stack`
        task_stack: u64,
        /// `task_struct.nsproxy`
        task_nsproxy: u64,
        /// `nsproxy.cgroup_ns`
        nsproxy_cgroup_ns: u64,
        /// `cgroup_namespace.root_cset`
        cgroup_ns_root: u64,
        /// `css_set.cgrp_links.next`
        css_set_links: u64,
        /// `cgrp_cset_link.cgrp`
        link_cgroup: u64,
        /// `cgrp_cset_link.cgrp_link.next`
        link_next: u64,
        /// `cgroup.root`
        cgroup_root: u64,
        /// `cgroup.kn`
        cgroup_kn: u64,
        /// `cgroup_root.hierarchy_id`
        root_hierarchy: u64,
        /// `kernfs_node.id`
        kernfs_id: u64,
        /// `kernfs_node.name`
        kernfs_name: u64,
        /// `kernfs_node.parent`
        kernfs_parent: u64,
        /// `task_struct.sched_info.last_arrival`
        task_last_arrival: u64,
        /// `kioctx.rq_wait`
        kioctx_rq_wait: u64,
        /// `ctx_rq_wait.count`
        rq_wait_count: u64,
        /// `mm_struct.mm_users`
        mm_users: u64,
        /// `mm_struct.mmap`, the first of its mappings (before v6.1)
        mm_mmap: u64,
        /// `vm_area_struct.vm_next` (likewise)
        vma_next: u64,
        /// `mm_struct.mm_mt.ma_root`, the root of the tree of its mappings (since v6.1)
        mm_tree_root: u64,
        /// `maple_range_64.slot`
        range_slots: u64,
        /// `maple_arange_64.slot`
        arange_slots: u64,
        /// `file.f_mapping`
        file_mapping: u64,
        /// `address_space.i_private_data`: of a ring, its context (before v7.3)
        mapping_private: u64,
        /// `aio_inode_info.ctx`: of a ring, its context (since v7.3 at the latest)
        aio_inode_ctx: u64,
        /// Kernel address of the array of distances of each CPU's memory (`__per_cpu_offset`), 0: not known.
        per_cpu_offset_at: u64,
        /// Size of `struct upid`.
        upid_size: u32,
        /// Bits of [`crate::way`]: what this kernel offers.
        ways: u32,
        /// BTF id of a struct with an 8-byte number, through which any 8 bytes are read; used with `way::CAST`.
        word8_type: u32,
        /// Where in it that number lies.
        word8_at: u32,
        /// The same for 4 bytes.
        word4_type: u32,
        /// Where in it that number lies.
        word4_at: u32,
        /// The same for 1 byte.
        word1_type: u32,
        /// Where in it that number lies.
        word1_at: u32,
    }
}

#[cfg(test)]
mod tests {
    use super::Place;

    /// Check that a place is what it was made of, and that bits are picked and signs kept.
    #[test]
    fn picks_numbers() {
        let whole = Place::whole(0x1234, 4);
        assert_eq!((whole.offset(), whole.size(), whole.shift(), whole.bits()), (0x1234, 4, 0, 0));
        assert_eq!(whole.number(0xffff_fffe), 0xffff_fffe);
        assert_eq!(whole.signed(0xffff_fffe), -2);
        assert_eq!(Place::whole(0, 8).signed(u64::MAX), -1);
        assert_eq!(Place::whole(0, 1).signed(0x7f), 127);
        let field = Place::bit_field(8, 4, 5, 3);
        assert_eq!((field.offset(), field.size(), field.shift(), field.bits()), (8, 4, 5, 3));
        assert_eq!(field.number(0b1101_1010_0000), 0b101);
        assert_eq!(field.signed(0b101), -3);
        assert_eq!(Place::bit_field(0, 8, 0, 63).number(u64::MAX), u64::MAX >> 1);
        assert!(whole.is_present() && !Place::ABSENT.is_present());
    }
}
