//! Where the kernel that runs keeps what the programs read, resolved by name from its BTF.
//!
//! One table below is all there is to change when a kernel renames a member. Each row says what its absence costs; a member that is
//! gone, or that is no number any more, costs that and nothing else, and is never a wrong number.

use std::fmt;

use aioinspect_ebpf::{Offsets, Place};

use crate::btf::number::Shape;
use crate::btf::{Btf, BtfError, Named, TypeId, Wanted};
use aioinspect_model::known::{Fact, Known};

/// What is lost without a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// Nothing true could be said.
    Everything,
    /// The ids that processes have in a PID namespace of their own.
    OwnIds,
    /// The ids of the first PID namespace, which are read where [`Cost::OwnIds`] is lost. Else nothing.
    FirstIds,
    /// Nothing that cannot be had in another way.
    Nothing,
    /// These facts of the census.
    Facts(&'static [Fact]),
    /// What the words say, a sentence.
    Lost(&'static str),
}

/// A member that this kernel has not, or not as something the programs can read. Shown as the reason why something is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The struct.
    pub of: &'static str,
    /// The member, by the first of its names.
    pub member: &'static str,
    /// What is lost.
    pub cost: Cost,
    why: Why,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Why {
    NoStruct,
    NoMember,
    /// It is something else now.
    Is(String),
    Damaged(BtfError),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { of, member, .. } = self;
        match &self.why {
            Why::NoStruct => write!(f, "this kernel has no struct {of}"),
            Why::NoMember => write!(f, "this kernel's struct {of} has no member {member}"),
            Why::Is(what) => write!(f, "this kernel's {of}.{member} is {what}"),
            Why::Damaged(error) => write!(f, "this kernel's struct {of} cannot be read: {error}"),
        }
    }
}

/// Why this kernel's layout cannot be used at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// The kernel has no such function, so that no BPF iterator can be attached.
    #[error("this kernel's btf has no function {name}")]
    NoFunc {
        /// Its name.
        name: &'static str,
    },
    /// Without this member nothing true could be said.
    #[error("{0}")]
    Member(Missing),
}

/// A number of some size within a struct: cast to it, any address is read as such a number. 0, 0: there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Word {
    /// BTF id of the struct.
    pub type_id: u32,
    /// Bytes from its start.
    pub at: u32,
}

const ALL: Cost = Cost::Everything;
const GHOSTS: Cost = Cost::Lost("ghosts, and rings shared after a fork, are not found");
const THREADS: Cost = Cost::Lost("threads of the kernel are not told from those of a process");
const EXEC: Cost = Cost::Lost("an exec is not told from other ends of an address space");
const EXITED: Cost = Cost::Lost("whether the leader of a process has exited is not known");
const ENDING: Cost = Cost::Lost("not every context that an exiting process waits for is named");
const DYING: Cost = Cost::Lost("contexts that are dying are not named, only who waits for them");
const BITS: Cost = Cost::Lost("callers of 32 bits are not told from others by the hooks on all system calls");

const OWNERS: Cost =
    Cost::Lost("the owner of a process that ends as soon as its call failed may not be known");

macro_rules! layout {
    ($($field:ident: $shape:ident, $of:literal, [$($path:literal),+], $cost:expr;)*) => {
        /// Places within the struct that each is named after, as in [`Offsets`], and BTF ids.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Layout {
            $(#[doc = concat!("In `", $of, "`")] pub $field: Place,)*
            /// Bytes of `struct upid`.
            pub upid_size: u32,
            /// For 8 bytes.
            pub word8: Word,
            /// For 4 bytes.
            pub word4: Word,
            /// For 1 byte.
            pub word1: Word,
            /// BTF id of the function an `iter/task` program attaches to.
            pub iter_task_func: u32,
            /// BTF id of the function an `iter/task_vma` program attaches to, since v5.12.
            pub iter_task_vma_func: Option<u32>,
            /// BTF id of the function `bpf_rdonly_cast`, since v6.2.
            pub rdonly_cast_func: Option<u32>,
            /// BTF id of `vhost_task_create`, since v6.4: kernels that have it say by a flag which threads are of the kernel's own.
            pub vhost_task_func: Option<u32>,
            /// What is absent, in the order of the table.
            missing: Vec<Missing>,
        }

        /// Structs and functions that are looked up.
        pub const WANTED: &[Wanted] = &[$((Named::Struct, $of),)*
            (Named::Func, ITER_TASK), (Named::Func, ITER_TASK_VMA), (Named::Func, RDONLY_CAST),
            (Named::Func, VHOST_TASK)];

        impl Layout {
            fn of(btf: &Btf<'_>, iter_task_func: u32) -> Self {
                let mut missing = Vec::new();
                $(let $field = place(btf, &mut missing, Shape::$shape, $of, &[$($path),+], $cost);)*
                let id = |name| btf.find(Named::Func, name).map(|id| id.0);
                Self {
                    $($field,)*
                    upid_size: upid_size(btf, &mut missing),
                    word8: word(btf, 8, &WORDS8),
                    word4: word(btf, 4, &WORDS4),
                    word1: word(btf, 1, &WORDS1),
                    iter_task_func,
                    iter_task_vma_func: id(ITER_TASK_VMA),
                    rdonly_cast_func: id(RDONLY_CAST),
                    vhost_task_func: id(VHOST_TASK),
                    missing,
                }
            }

            /// As the eBPF objects want it: all that comes from BTF.
            pub fn offsets(&self) -> Offsets {
                Offsets {
                    $($field: self.$field.0,)*
                    per_cpu_offset_at: 0,
                    upid_size: self.upid_size,
                    ways: 0,
                    word8_type: self.word8.type_id,
                    word8_at: self.word8.at,
                    word4_type: self.word4.type_id,
                    word4_at: self.word4.at,
                    word1_type: self.word1.type_id,
                    word1_at: self.word1.at,
                }
            }

            /// What each row is.
            #[cfg(test)]
            fn rows(&self) -> Vec<tests::Row> {
                vec![$(tests::Row {
                    place: self.$field, shape: Shape::$shape, of: $of, paths: &[$($path),+], cost: $cost,
                },)*]
            }
        }
    };
}

const ITER_TASK: &str = "bpf_iter_task";
const ITER_TASK_VMA: &str = "bpf_iter_task_vma";
const RDONLY_CAST: &str = "bpf_rdonly_cast";
const VHOST_TASK: &str = "vhost_task_create";

// Other names of a member: before v5.14 `state`, since v6.14 a seqcount, since v6.15 `__parent`, since v6.18 a bitmap. `*`: should it move into a struct of its own.
layout! {
    task_mm: Pointer, "task_struct", ["mm"], ALL;
    task_signal: Pointer, "task_struct", ["signal"], Cost::OwnIds;
    task_thread_pid: Pointer, "task_struct", ["thread_pid"], Cost::OwnIds;
    signal_tgid: Pointer, "signal_struct", ["pids.1"], Cost::OwnIds;
    pid_level: Number, "pid", ["level"], Cost::OwnIds;
    pid_numbers_nr: Number, "pid", ["numbers.0.nr"], Cost::OwnIds;
    pid_numbers_ns: Pointer, "pid", ["numbers.0.ns"], Cost::OwnIds;
    task_pid: Number, "task_struct", ["pid"], Cost::FirstIds;
    task_tgid: Number, "task_struct", ["tgid"], Cost::FirstIds;
    task_group_leader: Pointer, "task_struct", ["group_leader"], Cost::Facts(&[Fact::Comm, Fact::LeaderStart]);
    task_comm: Name, "task_struct", ["comm"], Cost::Facts(&[Fact::Comm]);
    task_start_boottime: Number, "task_struct", ["start_boottime", "real_start_time"], Cost::Facts(&[Fact::StartBoottime, Fact::LeaderStart]);
    task_nvcsw: Number, "task_struct", ["nvcsw"], Cost::Facts(&[Fact::Switches]);
    task_nivcsw: Number, "task_struct", ["nivcsw"], Cost::Facts(&[Fact::Switches]);
    task_sum_exec_runtime: Number, "task_struct", ["se.sum_exec_runtime"], Cost::Facts(&[Fact::Runtime]);
    task_on_cpu: Number, "task_struct", ["on_cpu"], Cost::Facts(&[Fact::OnCpu]);
    task_state: Number, "task_struct", ["__state", "state"], Cost::Facts(&[Fact::State]);
    task_exit_state: Number, "task_struct", ["exit_state"], EXITED;
    task_flags: Number, "task_struct", ["flags"], THREADS;
    task_status: Number, "task_struct", ["thread_info.status"], BITS;
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
    kernfs_parent: Pointer, "kernfs_node", ["parent", "__parent"], OWNERS;

    mm_ioctx_table: Pointer, "mm_struct", ["ioctx_table"], ALL;
    mm_brk: Number, "mm_struct", ["brk"], Cost::Facts(&[Fact::Brk]);
    mm_start_code: Number, "mm_struct", ["start_code"], EXEC;
    mm_flags: Number, "mm_struct", ["flags", "flags.__mm_flags.0"], Cost::Facts(&[Fact::Dumpable]);
    mm_map_count: Number, "mm_struct", ["map_count"], Cost::Facts(&[Fact::MapCount]);
    mm_lock_seq: Number, "mm_struct", ["mm_lock_seq", "mm_lock_seq.sequence"], Cost::Facts(&[Fact::LockSeq]);

    table_nr: Number, "kioctx_table", ["nr"], ALL;
    table_table: Pointer, "kioctx_table", ["table.0"], ALL;

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
    mm_mmap: Pointer, "mm_struct", ["mmap"], Cost::Nothing;
    vma_next: Pointer, "vm_area_struct", ["vm_next"], Cost::Nothing;
    mm_tree_root: Pointer, "mm_struct", ["mm_mt.ma_root"], Cost::Nothing;
    range_slots: Pointer, "maple_range_64", ["slot.0"], Cost::Nothing;
    arange_slots: Pointer, "maple_arange_64", ["slot.0"], Cost::Nothing;
    file_mapping: Pointer, "file", ["f_mapping"], Cost::Nothing;
    mapping_private: Pointer, "address_space", ["i_private_data", "private_data"], Cost::Nothing;
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

/// Structs with a plain number of 8 bytes, the first that serves.
const WORDS8: [(&str, &str); 3] =
    [("kioctx", "user_id"), ("vm_area_struct", "vm_pgoff"), ("mm_struct", "brk")];
/// The same for 4 bytes.
const WORDS4: [(&str, &str); 4] =
    [("kioctx", "max_reqs"), ("kioctx", "nr_events"), ("kioctx_table", "nr"), ("pid", "level")];
/// The same for 1 byte.
const WORDS1: [(&str, &str); 2] = [("task_struct", "comm"), ("super_block", "s_id")];

impl Layout {
    /// Looks everything up. Only what is essential is an error; the rest is in [`Layout::known`] and [`Layout::losses`].
    pub fn resolve(btf: &Btf<'_>) -> Result<Self, LayoutError> {
        let iter_task = btf.find(Named::Func, ITER_TASK).ok_or(LayoutError::NoFunc { name: ITER_TASK })?;
        let mut layout = Self::of(btf, iter_task.0);
        let lost = |cost| layout.missing.iter().find(|missing| missing.cost == cost);
        let own_ids = lost(Cost::OwnIds).is_none();
        let fatal = lost(Cost::Everything).or_else(|| lost(Cost::FirstIds).filter(|_| !own_ids));
        if let Some(fatal) = fatal {
            return Err(LayoutError::Member(fatal.clone()));
        }
        if !own_ids {
            layout.task_thread_pid = Place::ABSENT;
            layout.signal_tgid = Place::ABSENT;
            layout.pid_numbers_nr = Place::ABSENT;
            layout.pid_numbers_ns = Place::ABSENT;
        }
        Ok(layout)
    }

    /// Whether process ids can be read only as the first PID namespace has them (`task_pid`, `task_tgid`): then `task_thread_pid`,
    /// `signal_tgid` and those of `pid.numbers` are absent together.
    pub fn has_first_ids_only(&self) -> bool {
        !self.task_thread_pid.is_present()
    }

    /// The facts of the census that this kernel tells.
    pub fn known(&self) -> Known {
        let mut known = Known::all();
        for missing in &self.missing {
            if let Cost::Facts(facts) = missing.cost {
                for fact in facts {
                    known.lose(*fact, missing.to_string());
                }
            }
        }
        known
    }

    /// A line for everything else that is not known on this kernel: why, and what.
    pub fn losses(&self) -> Vec<String> {
        let line = |missing: &Missing| match missing.cost {
            Cost::OwnIds => Some(format!("{missing}: process ids are those of the first PID namespace")),
            Cost::Lost(words) => Some(format!("{missing}: {words}")),
            Cost::Everything | Cost::FirstIds | Cost::Nothing | Cost::Facts(_) => None,
        };
        self.missing.iter().filter_map(line).collect()
    }
}

/// The place of the first of `paths` that can be read.
fn place(
    btf: &Btf<'_>,
    missing: &mut Vec<Missing>,
    shape: Shape,
    of: &'static str,
    paths: &[&'static str],
    cost: Cost,
) -> Place {
    let mut absent = |why| {
        let member = paths.first().copied().unwrap_or_default();
        missing.push(Missing { of, member, cost, why });
        Place::ABSENT
    };
    let Some(id) = btf.find(Named::Struct, of) else { return absent(Why::NoStruct) };
    let mut why = Why::NoMember;
    for path in paths {
        match btf.place(id, path, shape) {
            Ok(place) => return place,
            Err(BtfError::NoMember { .. } | BtfError::NoMembers { .. }) => (),
            Err(BtfError::Shape { what, .. }) => why = Why::Is(what),
            Err(error) => why = Why::Damaged(error),
        }
    }
    absent(why)
}

/// Bytes from one `struct upid` to the next.
fn upid_size(btf: &Btf<'_>, missing: &mut Vec<Missing>) -> u32 {
    let size = btf
        .find(Named::Struct, "pid")
        .ok_or(BtfError::NoType { id: 0 })
        .and_then(|id| btf.member(id, "numbers.0"))
        .and_then(|element| btf.size_of(element.type_id));
    size.ok().and_then(|size| u32::try_from(size).ok()).unwrap_or_else(|| {
        missing.push(Missing { of: "pid", member: "numbers", cost: Cost::OwnIds, why: Why::NoMember });
        0
    })
}

/// The first of `structs` with a plain number of `size` bytes.
fn word(btf: &Btf<'_>, size: u8, structs: &[(&str, &str)]) -> Word {
    let find = |(of, path): &(&str, &str)| -> Option<Word> {
        let id: TypeId = btf.find(Named::Struct, of)?;
        let at = btf.place(id, path, Shape::Plain(size)).ok()?.offset();
        Some(Word { type_id: id.0, at })
    };
    structs.iter().find_map(find).unwrap_or_default()
}

#[cfg(test)]
mod mutations;

#[cfg(test)]
mod tests;
