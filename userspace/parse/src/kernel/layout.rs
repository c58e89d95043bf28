//! Where the kernel that runs keeps what the programs read, resolved by name from its BTF.
//!
//! The rows are in [`aioinspect_ebpf::members`], all there is to change when a kernel renames a member. Each says what its absence costs; a member that is
//! gone, or that is no number any more, costs that and nothing else, and is never a wrong number.

use std::fmt;

use aioinspect_ebpf::{Offsets, Place, architecture, members};

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
    /// Name of the struct that should have it.
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
        /// Name of the function.
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
const THREADS: Cost = Cost::Lost("kernel threads look like threads of a process");
const EXEC: Cost = Cost::Lost("an exec looks like any other end of an address space");
const EXITED: Cost = Cost::Lost("it is not known whether the leader of a process has exited");
const ENDING: Cost = Cost::Lost("some contexts that an exiting process waits for are not named");
const DYING: Cost = Cost::Lost("dying contexts are not named, only the threads that wait for them");
const BITS: Cost = Cost::Lost("the hooks on all system calls cannot recognise 32-bit callers");

const OWNERS: Cost =
    Cost::Lost("the owner of a process that ends right after its call failed may not be known");

macro_rules! layout {
    ($($field:ident: $shape:ident, $of:literal, [$($path:expr),+], $cost:expr;)*) => {
        /// Places within the struct that each is named after, as in [`Offsets`], and BTF ids.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Layout {
            $(#[doc = concat!("In `", $of, "`")] pub $field: Place,)*
            /// Bytes of `struct upid`.
            pub upid_size: u32,
            /// Bytes of `struct pt_regs`.
            pub registers_size: u32,
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
            /// BTF id of `struct bpf_mem_alloc`, since v6.1: programs of every kind may use maps whose memory is taken as entries come.
            pub map_allocator: Option<u32>,
            /// BTF id of `vhost_task_create`, since v6.4: kernels that have it say by a flag which threads are of the kernel's own.
            pub vhost_task_func: Option<u32>,
            /// What is absent, in the order of the table.
            missing: Vec<Missing>,
        }

        /// Structs and functions that are looked up.
        pub const WANTED: &[Wanted] = &[$((Named::Struct, $of),)*
            (Named::Struct, REGISTERS), (Named::Func, ITER_TASK), (Named::Func, ITER_TASK_VMA), (Named::Func, RDONLY_CAST),
            (Named::Struct, MAP_ALLOCATOR), (Named::Func, VHOST_TASK)];

        impl Layout {
            fn of(btf: &Btf<'_>, iter_task_func: u32) -> Self {
                let mut missing = Vec::new();
                $(let $field = place(btf, &mut missing, Shape::$shape, $of, &[$($path),+], $cost);)*
                let id = |name| btf.find(Named::Func, name).map(|id| id.0);
                Self {
                    $($field,)*
                    upid_size: upid_size(btf, &mut missing),
                    registers_size: registers_size(btf),
                    word8: word(btf, 8, &WORDS8),
                    word4: word(btf, 4, &WORDS4),
                    word1: word(btf, 1, &WORDS1),
                    iter_task_func,
                    iter_task_vma_func: id(ITER_TASK_VMA),
                    rdonly_cast_func: id(RDONLY_CAST),
                    map_allocator: btf.find(Named::Struct, MAP_ALLOCATOR).map(|id| id.0),
                    vhost_task_func: id(VHOST_TASK),
                    missing,
                }
            }

            /// As the eBPF objects want it: all that comes from BTF, and what follows from the size of a page (bytes).
            pub fn offsets(&self, page_size: u32) -> Offsets {
                Offsets {
                    $($field: self.$field.0,)*
                    per_cpu_offset_at: 0,
                    upid_size: self.upid_size,
                    registers_size: self.registers_size,
                    stack_size: architecture::stack_size(page_size),
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

const REGISTERS: &str = "pt_regs";
const ITER_TASK: &str = "bpf_iter_task";
const ITER_TASK_VMA: &str = "bpf_iter_task_vma";
const RDONLY_CAST: &str = "bpf_rdonly_cast";
const MAP_ALLOCATOR: &str = "bpf_mem_alloc";
const VHOST_TASK: &str = "vhost_task_create";

members! { layout }

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

/// Bytes of the user's registers at the top of a kernel stack; 0 where no type tells.
fn registers_size(btf: &Btf<'_>) -> u32 {
    let size = btf.find(Named::Struct, REGISTERS).and_then(|id| btf.size_of(id).ok());
    size.and_then(|size| u32::try_from(size).ok()).unwrap_or(0)
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
