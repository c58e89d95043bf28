//! Where the kernel that runs keeps what the census reads, resolved by name from its BTF.
//!
//! One table below is all there is to change when a kernel renames a member. A member that is gone, or whose
//! size is not the one the eBPF program reads, is an error that names it, never a wrong offset.

use super::btf::{Btf, BtfError, Named, TypeId};

/// Why this kernel's layout cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// The kernel has no such struct: it was built without CONFIG_AIO, or it is another kernel than we know.
    #[error("this kernel's btf has no struct {name}")]
    NoStruct {
        /// Its name.
        name: &'static str,
    },
    /// The kernel has no such function, so that no BPF iterator can be attached.
    #[error("this kernel's btf has no function {name}")]
    NoFunc {
        /// Its name.
        name: &'static str,
    },
    /// None of the names we know the member by.
    #[error("this kernel's struct {of} has no member {member}: {source}")]
    NoMember {
        /// The struct.
        of: &'static str,
        /// The first of the names that were tried.
        member: &'static str,
        /// What BTF said to the last of them.
        source: BtfError,
    },
    /// The member has another size than the program reads.
    #[error("this kernel's {of}.{member} has {found} bytes, not {expected}")]
    Width {
        /// The struct.
        of: &'static str,
        /// The member.
        member: &'static str,
        /// Its size in bytes.
        found: u64,
        /// What we know how to read.
        expected: u64,
    },
    /// The struct itself is damaged.
    #[error("this kernel's struct {of}: {source}")]
    Struct {
        /// The struct.
        of: &'static str,
        /// What BTF said.
        source: BtfError,
    },
}

/// Width of a member that is only pointed at, or whose type differs from kernel to kernel.
const ANY: u64 = 0;

macro_rules! layout {
    ($(
        $(#[doc = $doc:literal])+
        $field:ident: $shape:ident($of:literal $(, $path:literal: $width:expr)*);
    )*) => {
        /// Offsets in bytes within the struct that each is named after, sizes in bytes, and BTF ids.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
        pub struct Layout { $($(#[doc = $doc])+ pub $field: layout!(@type $shape),)* }

        impl Layout {
            /// Looks everything up; the first thing missing is the error.
            pub fn resolve(btf: &Btf<'_>) -> Result<Self, LayoutError> {
                let wanted = [$((layout!(@kind $shape), $of),)*];
                let mut distinct = wanted.to_vec();
                distinct.sort_unstable();
                distinct.dedup();
                let ids = btf.find_all(&distinct);
                let id = |kind, name| {
                    let found = distinct.iter().zip(&ids).find(|(key, _)| **key == (kind, name));
                    found.and_then(|(_, id)| *id)
                };
                Ok(Self { $($field: $shape(btf, id(layout!(@kind $shape), $of), $of, &[$(($path, $width)),*])?,)* })
            }
        }
    };
    (@type maybe_member) => { Option<u32> };
    (@type maybe_func) => { Option<u32> };
    (@type $shape:ident) => { u32 };
    (@kind func) => { Named::Func };
    (@kind maybe_func) => { Named::Func };
    (@kind $shape:ident) => { Named::Struct };
}

layout! {
    /// `task_struct.mm`
    task_mm: member("task_struct", "mm": 8);
    /// `task_struct.signal`
    task_signal: member("task_struct", "signal": 8);
    /// `task_struct.group_leader`
    task_group_leader: member("task_struct", "group_leader": 8);
    /// `task_struct.thread_pid`
    task_thread_pid: member("task_struct", "thread_pid": 8);
    /// `task_struct.comm`, 16 bytes
    task_comm: member("task_struct", "comm": 16);
    /// `task_struct.start_boottime`, u64; `real_start_time` before v5.5
    task_start_boottime: member("task_struct", "start_boottime": 8, "real_start_time": 8);
    /// `task_struct.nvcsw`, unsigned long
    task_nvcsw: member("task_struct", "nvcsw": 8);
    /// `task_struct.nivcsw`, unsigned long
    task_nivcsw: member("task_struct", "nivcsw": 8);
    /// `task_struct.se.sum_exec_runtime`, u64
    task_sum_exec_runtime: member("task_struct", "se.sum_exec_runtime": 8);
    /// `task_struct.on_cpu`, int
    task_on_cpu: member("task_struct", "on_cpu": 4);
    /// `task_struct.__state`, unsigned int; before v5.14 `state`, a long whose low half is the same
    task_state: member("task_struct", "__state": 4, "state": 8);
    /// `task_struct.exit_state`, int
    task_exit_state: member("task_struct", "exit_state": 4);
    /// `task_struct.flags`, unsigned int
    task_flags: member("task_struct", "flags": 4);

    /// `task_struct.thread_info.status`, u32, of x86
    task_status: maybe_member("task_struct", "thread_info.status": 4);
    /// `task_struct.cgroups`, with CONFIG_CGROUPS
    task_cgroups: maybe_member("task_struct", "cgroups": 8);

    /// `signal_struct.pids`, the first of an array of pointers by pid_type
    signal_pids: member("signal_struct", "pids": ANY);
    /// `pid.level`, unsigned int
    pid_level: member("pid", "level": 4);
    /// `pid.numbers`, the first of `level + 1` struct upid
    pid_numbers: member("pid", "numbers": ANY);
    /// `upid.nr`, int
    upid_nr: member("upid", "nr": 4);
    /// `upid.ns`
    upid_ns: member("upid", "ns": 8);
    /// Size of struct upid
    upid_size: size("upid");

    /// `mm_struct.ioctx_table`
    mm_ioctx_table: member("mm_struct", "ioctx_table": 8);
    /// `mm_struct.brk`, unsigned long
    mm_brk: member("mm_struct", "brk": 8);
    /// `mm_struct.start_code`, unsigned long
    mm_start_code: member("mm_struct", "start_code": 8);
    /// `mm_struct.flags`, its first unsigned long (a bitmap since v6.18)
    mm_flags: member("mm_struct", "flags": ANY);
    /// `mm_struct.map_count`, int
    mm_map_count: member("mm_struct", "map_count": 4);
    /// `mm_struct.mm_users`, int
    mm_users: member("mm_struct", "mm_users.counter": 4);
    /// `mm_struct.mm_lock_seq` since v6.4: an int, since v6.14 the first int of a seqcount
    mm_lock_seq: maybe_member("mm_struct", "mm_lock_seq": ANY);

    /// `kioctx_table.nr`, unsigned int
    table_nr: member("kioctx_table", "nr": 4);
    /// `kioctx_table.table`, the first of `nr` pointers
    table_table: member("kioctx_table", "table": ANY);

    /// `kioctx.dead`, int
    kioctx_dead: member("kioctx", "dead.counter": 4);
    /// `kioctx.reqs.percpu_count_ptr`, unsigned long
    kioctx_reqs_ptr: member("kioctx", "reqs.percpu_count_ptr": 8);
    /// `kioctx.reqs.data`
    kioctx_reqs_data: member("kioctx", "reqs.data": 8);
    /// `percpu_ref_data.count`, long
    ref_data_count: member("percpu_ref_data", "count.counter": 8);
    /// `kioctx.user_id`, unsigned long
    kioctx_user_id: member("kioctx", "user_id": 8);
    /// `kioctx.cpu`, a per-CPU pointer to struct kioctx_cpu
    kioctx_cpu: member("kioctx", "cpu": 8);
    /// `kioctx.max_reqs`, unsigned int
    kioctx_max_reqs: member("kioctx", "max_reqs": 4);
    /// `kioctx.nr_events`, unsigned int
    kioctx_nr_events: member("kioctx", "nr_events": 4);
    /// `kioctx.mmap_base`, unsigned long
    kioctx_mmap_base: member("kioctx", "mmap_base": 8);
    /// `kioctx.mmap_size`, unsigned long
    kioctx_mmap_size: member("kioctx", "mmap_size": 8);
    /// `kioctx.nr_pages`, long
    kioctx_nr_pages: member("kioctx", "nr_pages": 8);
    /// `kioctx.reqs_available`, int
    kioctx_reqs_available: member("kioctx", "reqs_available.counter": 4);
    /// `kioctx.tail`, unsigned int
    kioctx_tail: member("kioctx", "tail": 4);
    /// `kioctx.completed_events`, unsigned int
    kioctx_completed_events: member("kioctx", "completed_events": 4);
    /// Size of struct kioctx
    kioctx_size: size("kioctx");
    /// `kioctx_cpu.reqs_available`, unsigned int
    kioctx_cpu_reqs_available: member("kioctx_cpu", "reqs_available": 4);

    /// `vm_area_struct.vm_start`, unsigned long
    vma_start: member("vm_area_struct", "vm_start": 8);
    /// `vm_area_struct.vm_end`, unsigned long
    vma_end: member("vm_area_struct", "vm_end": 8);
    /// `vm_area_struct.vm_flags`, unsigned long
    vma_flags: member("vm_area_struct", "vm_flags": 8);
    /// `vm_area_struct.vm_pgoff`, unsigned long, in pages
    vma_pgoff: member("vm_area_struct", "vm_pgoff": 8);
    /// `vm_area_struct.vm_file`
    vma_file: member("vm_area_struct", "vm_file": 8);
    /// `vm_area_struct.vm_mm`
    vma_mm: member("vm_area_struct", "vm_mm": 8);
    /// `file.f_inode`
    file_inode: member("file", "f_inode": 8);
    /// `inode.i_sb`
    inode_sb: member("inode", "i_sb": 8);
    /// `inode.i_ino`, unsigned long
    inode_ino: member("inode", "i_ino": 8);
    /// `super_block.s_magic`, unsigned long
    sb_magic: member("super_block", "s_magic": 8);

    /// `bpf_array.pptrs`, the first of an array of per-CPU pointers
    bpf_array_pptrs: member("bpf_array", "pptrs": ANY);

    /// BTF id of the function an `iter/task` program attaches to
    iter_task_func: func("bpf_iter_task");
    /// BTF id of the function an `iter/task_vma` program attaches to
    iter_task_vma_func: maybe_func("bpf_iter_task_vma");
}

/// One row of the table: its struct's id if there is one, the struct's name, and the names and widths of the member.
type Paths = [(&'static str, u64)];

/// The offset of the first of `paths` that exists.
fn member(btf: &Btf<'_>, id: Option<TypeId>, of: &'static str, paths: &Paths) -> Result<u32, LayoutError> {
    let id = id.ok_or(LayoutError::NoStruct { name: of })?;
    let mut failed = None;
    for (path, expected) in paths {
        match btf.member(id, path) {
            Ok(member) if *expected == ANY => return Ok(member.offset),
            Ok(found) => {
                let size = btf.size_of(found.type_id).map_err(|source| LayoutError::Struct { of, source })?;
                if size == *expected {
                    return Ok(found.offset);
                }
                return Err(LayoutError::Width { of, member: path, found: size, expected: *expected });
            }
            Err(source) => {
                let named = failed.map_or(*path, |(named, _)| named);
                failed = Some((named, source));
            }
        }
    }
    let (member, source) = failed.unwrap_or(("", BtfError::NoType { id: id.0 }));
    Err(LayoutError::NoMember { of, member, source })
}

/// The same, where a kernel without the member is fine.
fn maybe_member(
    btf: &Btf<'_>,
    id: Option<TypeId>,
    of: &'static str,
    paths: &Paths,
) -> Result<Option<u32>, LayoutError> {
    match member(btf, id, of, paths) {
        Err(LayoutError::NoMember { source: BtfError::NoMember { .. }, .. }) => Ok(None),
        other => other.map(Some),
    }
}

/// The size of the struct.
fn size(btf: &Btf<'_>, id: Option<TypeId>, of: &'static str, _: &Paths) -> Result<u32, LayoutError> {
    let id = id.ok_or(LayoutError::NoStruct { name: of })?;
    let size = btf.size_of(id).map_err(|source| LayoutError::Struct { of, source })?;
    u32::try_from(size).map_err(|_| LayoutError::Struct { of, source: BtfError::Endless { id: id.0 } })
}

/// The id of the function.
fn func(_: &Btf<'_>, id: Option<TypeId>, name: &'static str, _: &Paths) -> Result<u32, LayoutError> {
    id.map(|id| id.0).ok_or(LayoutError::NoFunc { name })
}

/// The same, where a kernel without the function is fine.
#[expect(clippy::unnecessary_wraps, reason = "the table calls all shapes alike")]
fn maybe_func(
    _: &Btf<'_>,
    id: Option<TypeId>,
    _: &'static str,
    _: &Paths,
) -> Result<Option<u32>, LayoutError> {
    Ok(id.map(|id| id.0))
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
