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

/// The members of kernel structs that the programs read: one row each, for both halves.
///
/// `field: shape, "struct", ["path", "another name of it"], cost;` hands all rows to the macro `then`: here they become [`Offsets`], in
/// userspace (parse/kernel/layout.rs) what is looked up in BTF, where `shape` is one of `btf::number::Shape` and `cost` a `Cost`, what is
/// lost where a kernel has no such member. The same is said to readers in docs/kernel.md, and a test holds it against these rows.
#[macro_export]
macro_rules! members {
    ($then:ident) => {
        $then! {
            task_mm: Pointer, "task_struct", ["mm"], ALL;
            task_signal: Pointer, "task_struct", ["signal"], Cost::OwnIds;
            task_thread_pid: Pointer, "task_struct", ["thread_pid"], Cost::OwnIds;
            signal_tgid: Pointer, "signal_struct", ["pids.1"], Cost::OwnIds;
            pid_level: Number, "pid", ["level"], Cost::OwnIds;
            pid_numbers_nr: Number, "pid", ["numbers.0.nr"], Cost::OwnIds;
            pid_numbers_ns: Pointer, "pid", ["numbers.0.ns"], Cost::OwnIds;
            // The number in the first PID namespace.
            task_pid: Number, "task_struct", ["pid"], Cost::FirstIds;
            // Likewise.
            task_tgid: Number, "task_struct", ["tgid"], Cost::FirstIds;
            task_group_leader: Pointer, "task_struct", ["group_leader"], Cost::Facts(&[Fact::Comm, Fact::LeaderStart]);
            task_comm: Name, "task_struct", ["comm"], Cost::Facts(&[Fact::Comm]);
            task_start_boottime: Number, "task_struct", ["start_boottime", "real_start_time"], Cost::Facts(&[Fact::StartBoottime, Fact::LeaderStart]);
            task_nvcsw: Number, "task_struct", ["nvcsw"], Cost::Facts(&[Fact::Switches]);
            task_nivcsw: Number, "task_struct", ["nivcsw"], Cost::Facts(&[Fact::Switches]);
            task_sum_exec_runtime: Number, "task_struct", ["se.sum_exec_runtime"], Cost::Facts(&[Fact::Runtime]);
            task_on_cpu: Number, "task_struct", ["on_cpu"], Cost::Facts(&[Fact::OnCpu]);
            // `state` before v5.14.
            task_state: Number, "task_struct", ["__state", "state"], Cost::Facts(&[Fact::State]);
            task_exit_state: Number, "task_struct", ["exit_state"], EXITED;
            task_flags: Number, "task_struct", ["flags"], THREADS;
            // Which bit of it says so differs between architectures too.
            task_compat: Number, "task_struct", [architecture::COMPAT_MEMBER], BITS;
            task_cgroups: Pointer, "task_struct", ["cgroups"], OWNERS;
            task_stack: Pointer, "task_struct", ["stack"], DYING;
            task_last_arrival: Number, "task_struct", ["sched_info.last_arrival"], Cost::Lost("for how long a context has been dying is not known");
            task_nsproxy: Pointer, "task_struct", ["nsproxy"], OWNERS;
            nsproxy_cgroup_ns: Pointer, "nsproxy", ["cgroup_ns"], OWNERS;
            cgroup_ns_root: Pointer, "cgroup_namespace", ["root_cset"], OWNERS;

            css_set_links: Pointer, "css_set", ["cgrp_links.next"], OWNERS;
            link_cgroup: Pointer, "cgrp_cset_link", ["cgrp"], OWNERS;
            link_next: Pointer, "cgrp_cset_link", ["cgrp_link.next"], OWNERS;
            cgroup_root: Pointer, "cgroup", ["root"], OWNERS;
            cgroup_kn: Pointer, "cgroup", ["kn"], OWNERS;
            root_hierarchy: Number, "cgroup_root", ["hierarchy_id"], OWNERS;
            kernfs_id: Number, "kernfs_node", ["id"], OWNERS;
            kernfs_name: Pointer, "kernfs_node", ["name"], OWNERS;
            // `__parent` since v6.15.
            kernfs_parent: Pointer, "kernfs_node", ["parent", "__parent"], OWNERS;

            mm_ioctx_table: Pointer, "mm_struct", ["ioctx_table"], ALL;
            mm_brk: Number, "mm_struct", ["brk"], Cost::Facts(&[Fact::Brk]);
            mm_start_code: Number, "mm_struct", ["start_code"], EXEC;
            // A bitmap since v6.18.
            mm_flags: Number, "mm_struct", ["flags", "flags.__mm_flags.0"], Cost::Facts(&[Fact::Dumpable]);
            mm_map_count: Number, "mm_struct", ["map_count"], Cost::Facts(&[Fact::MapCount]);
            // A seqcount since v6.14.
            mm_lock_seq: Number, "mm_struct", ["mm_lock_seq", "mm_lock_seq.sequence"], Cost::Facts(&[Fact::LockSeq]);

            table_nr: Number, "kioctx_table", ["nr"], ALL;
            table_table: Pointer, "kioctx_table", ["table.0"], ALL;

            // `*`: should it move into a struct of its own. So with all of a context.
            kioctx_user_id: Number, "kioctx", ["user_id", "*.user_id"], ALL;
            kioctx_max_reqs: Number, "kioctx", ["max_reqs", "*.max_reqs"], Cost::Facts(&[Fact::MaxReqs]);
            kioctx_nr_events: Number, "kioctx", ["nr_events", "*.nr_events"], Cost::Facts(&[Fact::NrEvents]);
            kioctx_req_batch: Number, "kioctx", ["req_batch", "*.req_batch"], Cost::Facts(&[Fact::ReqBatch]);
            kioctx_tail: Number, "kioctx", ["tail", "*.tail"], Cost::Facts(&[Fact::Tail]);
            kioctx_completed_events: Number, "kioctx", ["completed_events", "*.completed_events"], Cost::Facts(&[Fact::CompletedEvents]);
            kioctx_reqs_available: Signed, "kioctx", ["reqs_available", "*.reqs_available"], Cost::Facts(&[Fact::ReqsAvailable]);
            kioctx_cpu: Pointer, "kioctx", ["cpu", "*.cpu"], Cost::Facts(&[Fact::PercpuAvailable]);
            kioctx_cpu_reqs_available: Number, "kioctx_cpu", ["reqs_available"], Cost::Facts(&[Fact::PercpuAvailable]);
            kioctx_dead: Number, "kioctx", ["dead", "*.dead"], Cost::Facts(&[Fact::Dead]);
            kioctx_reqs_ptr: Number, "kioctx", ["reqs.percpu_count_ptr"], Cost::Facts(&[Fact::RefState, Fact::PercpuRefs, Fact::AtomicRefs]);
            kioctx_reqs_data: Pointer, "kioctx", ["reqs.data"], Cost::Facts(&[Fact::AtomicRefs]);
            ref_data_count: Signed, "percpu_ref_data", ["count"], Cost::Facts(&[Fact::AtomicRefs]);
            kioctx_mmap_base: Number, "kioctx", ["mmap_base", "*.mmap_base"], Cost::Facts(&[Fact::MmapBase]);
            kioctx_mmap_size: Number, "kioctx", ["mmap_size", "*.mmap_size"], Cost::Facts(&[Fact::MmapSize]);
            kioctx_rq_wait: Pointer, "kioctx", ["rq_wait", "*.rq_wait"], DYING;
            kioctx_nr_pages: Number, "kioctx", ["nr_pages", "*.nr_pages"], Cost::Facts(&[Fact::NrPages]);

            rq_wait_count: Number, "ctx_rq_wait", ["count"], Cost::Lost("how many contexts an exiting process waits for is not known");

            mm_users: Number, "mm_struct", ["mm_users"], ENDING;
            // The first of its mappings, before v6.1.
            mm_mmap: Pointer, "mm_struct", ["mmap"], Cost::Nothing;
            // Likewise.
            vma_next: Pointer, "vm_area_struct", ["vm_next"], Cost::Nothing;
            // The root of the tree of its mappings, since v6.1.
            mm_tree_root: Pointer, "mm_struct", ["mm_mt.ma_root"], Cost::Nothing;
            range_slots: Pointer, "maple_range_64", ["slot.0"], Cost::Nothing;
            arange_slots: Pointer, "maple_arange_64", ["slot.0"], Cost::Nothing;
            file_mapping: Pointer, "file", ["f_mapping"], Cost::Nothing;
            // Of a ring, its context, before v7.3.
            mapping_private: Pointer, "address_space", ["i_private_data", "private_data"], Cost::Nothing;
            // Of a ring, its context, since v7.3 at the latest.
            aio_inode_ctx: Pointer, "aio_inode_info", ["ctx"], Cost::Nothing;

            vma_start: Number, "vm_area_struct", ["vm_start"], GHOSTS;
            vma_end: Number, "vm_area_struct", ["vm_end"], GHOSTS;
            vma_flags: Number, "vm_area_struct", ["vm_flags"], GHOSTS;
            vma_pgoff: Number, "vm_area_struct", ["vm_pgoff"], GHOSTS;
            vma_file: Pointer, "vm_area_struct", ["vm_file"], GHOSTS;
            vma_mm: Pointer, "vm_area_struct", ["vm_mm"], GHOSTS;
            file_inode: Pointer, "file", ["f_inode"], GHOSTS;
            inode_sb: Pointer, "inode", ["i_sb"], GHOSTS;
            inode_ino: Number, "inode", ["i_ino"], GHOSTS;
            sb_magic: Number, "super_block", ["s_magic"], GHOSTS;

            bpf_array_pptrs: Pointer, "bpf_array", ["pptrs.0"], Cost::Nothing;
        }
    };
}

macro_rules! offsets {
    ($($field:ident: $shape:ident, $of:literal, [$path:expr $(, $other:expr)*], $cost:expr;)*) => {
        const MEMBERS: usize = [$(stringify!($field)),*].len();
        const OFFSETS_LEN: usize = 8 * MEMBERS + 48;

        wire! {
            /// Places of members, and what else the programs take from the kernel that runs. The global `OFFSETS` of the eBPF objects
            /// holds one. A member that this kernel has not is 0 and reads as 0.
            pub struct Offsets: OFFSETS_LEN {
                $(#[doc = concat!("[`Place`] of this member of `struct ", $of, "`, as `members` has it.")] $field: u64,)*
                /// Kernel address of the array of distances of each CPU's memory (`__per_cpu_offset`), 0: not known.
                per_cpu_offset_at: u64,
                /// Size of `struct upid`.
                upid_size: u32,
                /// Size of `struct pt_regs`.
                registers_size: u32,
                /// Bytes of a kernel stack.
                stack_size: u32,
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
    };
}

members! { offsets }

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
