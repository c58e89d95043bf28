//! What the two witnesses said, raw: the input of the judge and the content of an evidence file.
//!
//! Facts come from the kernel's own structures. Claims come from memory that the inspected
//! process can write. Nothing here is a verdict.

use crate::architecture::Architecture;
use crate::container_names::Names;
use crate::cpus::CpuSet;
use crate::kioctx::Kioctx;
use crate::known::Lack;
use crate::units::{ContextId, Instant, MmId, Pid, Tid};

/// Everything one command read, in the order of reading.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Evidence {
    /// Facts of the host as a whole.
    pub system: SystemFacts,
    /// Where the contexts come from.
    pub source: CensusSource,
    /// The process the command was asked about; `None`: the whole host.
    pub target: Option<Pid>,
    /// The process at the root of the tree that was looked at; `None`: it was no tree.
    pub root: Option<Pid>,
    /// Every address space that was looked at, each once.
    pub spaces: Vec<AddressSpace>,
    /// What the kernel does not tell, of none of them, and why.
    pub lacks: Vec<Lack>,
}

/// Which witness named the contexts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CensusSource {
    /// The kernel: `mm->ioctx_table`, read by a BPF iterator.
    #[default]
    Bpf,
    /// The processes alone: ring mappings and ring headers. No `max_reqs`, no in-flight.
    Proc,
}

/// Facts of the host as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SystemFacts {
    /// `/proc/sys/fs/aio-nr`: the sum of max_reqs over all contexts of the host.
    pub aio_nr: u64,
    /// `/proc/sys/fs/aio-max-nr`. `aio_nr` may exceed it.
    pub aio_max_nr: u64,
    /// Number of CPUs this kernel can ever have (`num_possible_cpus`).
    pub possible_cpus: u32,
    /// Bytes of a page.
    pub page_size: u32,
    /// `uname -r` of the host; for the reader, never for a decision.
    pub kernel_release: String,
    /// Version of the aioinspect that wrote this.
    pub tool_version: String,
    /// Wall-clock time of the first reading, in nanoseconds since 1970; for the reader.
    pub taken_at_unix_ns: u64,
    /// CPUs that are online: only there anybody can call io_submit. Empty: not known.
    pub online_cpus: CpuSet,
    /// Its architecture; `None`: written by a version that had only x86_64. See [`Self::architecture`].
    pub architecture: Option<Architecture>,
}

impl SystemFacts {
    /// Its architecture, in evidence of any version.
    pub fn architecture(&self) -> Architecture {
        self.architecture.unwrap_or(Architecture::X86_64)
    }
}

/// One address space and what was read of it. CLONE_VM processes share one.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AddressSpace {
    /// Its name within this evidence.
    pub mm: MmId,
    /// The processes that live in it, lowest PID first. Never empty in what the crate `kernel` gathers.
    pub processes: Vec<Process>,
    /// What was read, oldest first; the last one is judged, the earlier ones show what moved.
    pub looks: Vec<Look>,
    /// What an image needs beside the contexts; only gathered for `dump`.
    pub image: Option<ImageFacts>,
    /// What a watch that was under way had in its map in the kernel; `None`: none was found.
    pub traced: Option<TracedWord>,
    /// What else of its processes does I/O, and is not native AIO; `None`: nobody looked for it.
    pub not_looked_at: Option<NotLookedAt>,
}

/// I/O that is in no context, and so in no verdict. `None`: not permitted to look for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct NotLookedAt {
    /// io_uring instances: by descriptors and mappings, each inode once, and by the kernel's threads for them; at least so many.
    pub io_urings: Option<u32>,
    /// Threads inside a read, write or sync with every signal blocked, as the C library's helpers for aio_read and its kin are. From outside
    /// nothing else tells them from a thread of the program's own: they *may* serve POSIX AIO. Idle helpers have no request.
    pub posix_aio_threads: Option<u32>,
}

/// The third witness: a watch that saw contexts being made.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TracedWord {
    /// When that watch began.
    pub since: Instant,
    /// What it knew of the contexts that the kernel named; one it did not know is missing.
    pub contexts: Vec<TracedContext>,
}

/// What a watch knew of one context.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TracedContext {
    /// `kioctx.id`, the table index, of the same context as in the kernel's word.
    pub table_index: u32,
    /// When and by which thread it was made; `None`: a census of the watch found it.
    pub made: Option<Made>,
    /// The process that made it, or in which it was found.
    pub pid: Pid,
    /// `comm` of that process.
    pub comm: Vec<u8>,
    /// The argument of io_setup.
    pub max_reqs: u32,
}

/// An io_setup that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Made {
    /// When it returned.
    pub at: Instant,
    /// Who called it.
    pub tid: Tid,
}

/// A process (thread group), for names.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Process {
    /// Its id in the PID namespace of whoever looked.
    pub pid: Pid,
    /// `comm`, as bytes: a process may set any but NUL.
    pub comm: Vec<u8>,
    /// Start of the process after boot, in clock ticks (`/proc/PID/stat` field 22, USER_HZ = 100).
    pub start_ticks: u64,
    /// The text of `/proc/PID/cgroup`; `None`: not read or not readable.
    pub cgroup: Option<Vec<u8>>,
    /// Its number in each PID namespace that it is in, from the reader's inwards (`NStgid` of `/proc/PID/status`); empty: not read.
    /// The last is the one by which its container, and CRIU inside of it, know it.
    pub ns_pids: Vec<u32>,
    /// Its effective user, in the reader's user namespace (`Uid` of `/proc/PID/status`); `None`: not read.
    pub uid: Option<u32>,
    /// That user's name in `/etc/passwd` of the reader; `None`: not read, or it has none there.
    pub user: Option<Vec<u8>>,
    /// `/proc/PID/cmdline`, NUL after each argument: a claim, and it may hold passwords. `None`: not asked for, or not readable.
    pub cmdline: Option<Vec<u8>>,
    /// What its container is called; `None`: not looked for, or nothing is known.
    pub names: Option<Names>,
}

/// One look at one address space: census, mappings, headers, census again.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Look {
    /// How the target was held while we looked.
    pub manner: Manner,
    /// The kernel's word before the headers were read; `None` without BPF.
    pub before: Option<KernelWord>,
    /// The ring mappings of this address space.
    pub mappings: Vec<RingMapping>,
    /// When the mappings were read.
    pub mappings_at: Instant,
    /// Whether the mappings are known to be still the same when the headers were read.
    pub mappings_checked: bool,
    /// The ring headers, one for each address that was asked for.
    pub headers: Vec<HeaderReading>,
    /// When the headers were read.
    pub headers_at: Instant,
    /// The kernel's word after the headers were read; `None` without BPF, or where one census was enough.
    pub after: Option<KernelWord>,
    /// Address spaces other than this one that map the same ring, by any of their processes.
    pub sharers: Vec<Sharer>,
    /// For how long the target was stopped by us, in nanoseconds from the first interrupt to the last detach; 0 if it was not.
    pub pause_ns: u64,
}

/// How the target was held while we looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Manner {
    /// Not held; it may have run between any two readings.
    #[default]
    Running,
    /// Every thread of every process sharing the mm was stopped by PTRACE_INTERRUPT.
    Frozen,
    /// Every thread was already stopped or traced by someone else (CRIU, a debugger, SIGSTOP).
    Held,
}

/// The kernel's word about one address space at one instant: facts.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct KernelWord {
    /// When the census began.
    pub begun_at: Instant,
    /// When the census had ended.
    pub ended_at: Instant,
    /// The contexts in `mm->ioctx_table`, in the table's order.
    pub contexts: Vec<Kioctx>,
    /// The threads of every process sharing the mm.
    pub tasks: Vec<TaskFact>,
    /// The mm itself.
    pub mm: MmFact,
    /// Whether the table changed under the census (a task exited or exec'ed meanwhile).
    pub torn: bool,
    /// Its threads that wait for contexts which are in no table any more.
    pub waits: Vec<Wait>,
}

/// A thread that waits until the requests of contexts have completed, which are in no table any more (fs/aio.c:kill_ioctx).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Wait {
    /// The thread that waits.
    pub tid: Tid,
    /// The process (thread group) of that thread.
    pub pid: Pid,
    /// What it is doing.
    pub doing: Doing,
    /// What io_destroy was asked to destroy; `None` where it is not io_destroy.
    pub id: Option<ContextId>,
    /// For how long it had been asleep when it was looked at, in nanoseconds.
    pub asleep_ns: Option<u64>,
    /// How many contexts it still waits for (`ctx_rq_wait.count`); `None`: not known.
    pub left: Option<u32>,
    /// Those of them that were found.
    pub contexts: Vec<Kioctx>,
}

/// Why a thread waits for contexts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Doing {
    /// It called io_destroy.
    #[default]
    Destroy,
    /// It is the last of its process, and exits (fs/aio.c:exit_aio).
    Exit,
    /// It executes another program, and ends the memory of the one before.
    Exec,
    /// It let go, as the last, of the memory of some process that is gone: by reading its files, say.
    LastUse,
}

impl Doing {
    /// The word for it in JSON: a promise.
    pub fn word(self) -> &'static str {
        match self {
            Doing::Destroy => "destroy",
            Doing::Exit => "exit",
            Doing::Exec => "exec",
            Doing::LastUse => "last-use",
        }
    }
}

/// What the scheduler knows of one thread. `None`: this kernel does not tell it (model/known.rs).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TaskFact {
    /// The thread, in the PID namespace of whoever looked.
    pub tid: Tid,
    /// The process (thread group) of that thread.
    pub pid: Pid,
    /// `nvcsw + nivcsw`: how often it was switched away from a CPU. Grows by one each time it stops running.
    pub switches: Option<u64>,
    /// `se.sum_exec_runtime`, nanoseconds on a CPU.
    pub runtime_ns: Option<u64>,
    /// Whether it is on a CPU now.
    pub on_cpu: Option<bool>,
    /// `task_struct.__state`: 0 running or runnable, 1 interruptible, 2 uninterruptible, 4 stopped, 8 traced.
    pub state: Option<u32>,
    /// `task_struct.start_boottime` of this thread, in nanoseconds after boot.
    pub start_boottime_ns: Option<u64>,
}

/// Facts of `struct mm_struct` that an image or a proof needs. `None`: this kernel does not tell it (model/known.rs).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct MmFact {
    /// `mm->brk`, the end of the heap.
    pub brk: Option<u64>,
    /// `mm->flags & 3`: 0 not dumpable, 1 dumpable, 2 dumpable by root only.
    pub dumpable: Option<u32>,
    /// `mm->mm_lock_seq`: it moves with every change of any mapping.
    pub lock_seq: Option<u32>,
    /// `mm->map_count`, the number of mappings.
    pub map_count: Option<u32>,
}

/// One mapping of (a part of) a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RingMapping {
    /// First address.
    pub start: u64,
    /// Address after the last.
    pub end: u64,
    /// Offset into the ring's file, in bytes.
    pub offset: u64,
    /// Inode number of the ring's file: one for each io_setup, on one anonymous device.
    pub inode: u64,
    /// Readable, writable, executable, shared.
    pub perms: Perms,
    /// Who said so.
    pub source: MappingSource,
}

/// Permissions of a mapping, as in `/proc/PID/maps`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "these are the four letters of /proc/PID/maps")]
pub struct Perms {
    /// `r`
    pub read: bool,
    /// `w`
    pub write: bool,
    /// `x`
    pub exec: bool,
    /// `s` rather than `p`
    pub shared: bool,
}

/// Who reported a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MappingSource {
    /// `/proc/PID/smaps`.
    #[default]
    Smaps,
    /// A BPF iterator over the kernel's own mappings.
    Iterator,
}

/// What reading one ring header gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderReading {
    /// The address that was read.
    pub address: ContextId,
    /// The 32 bytes, a claim of the process; or the errno of process_vm_readv.
    pub bytes: Result<[u8; 32], i32>,
}

/// Another address space that maps the same ring and so can write its head.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Sharer {
    /// One of its processes.
    pub pid: Pid,
    /// Its `comm`.
    pub comm: Vec<u8>,
    /// The ring's inode number.
    pub inode: u64,
    /// Where that process maps it.
    pub address: ContextId,
}

/// What `mm-PID.img` needs beside the contexts.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ImageFacts {
    /// The numbers of `/proc/PID/stat` that CRIU calls mm_*.
    pub layout: MmLayout,
    /// `/proc/PID/auxv` as the process's words, AT_NULL included as read.
    pub auxv: Vec<u64>,
    /// Every mapping of the process, in address order.
    pub vmas: Vec<Vma>,
    /// `THP_enabled: 0` in `/proc/PID/status`; `None` where this kernel does not say.
    pub thp_disabled: Option<bool>,
}

/// Where the parts of a program lie, from `/proc/PID/stat` (field numbers in proc(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct MmLayout {
    /// Field 26.
    pub start_code: u64,
    /// Field 27.
    pub end_code: u64,
    /// Field 28.
    pub start_stack: u64,
    /// Field 45.
    pub start_data: u64,
    /// Field 46.
    pub end_data: u64,
    /// Field 47.
    pub start_brk: u64,
    /// Field 48.
    pub arg_start: u64,
    /// Field 49.
    pub arg_end: u64,
    /// Field 50.
    pub env_start: u64,
    /// Field 51.
    pub env_end: u64,
}

/// One mapping of a process, any kind, from `/proc/PID/smaps`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Vma {
    /// First address.
    pub start: u64,
    /// Address after the last.
    pub end: u64,
    /// Offset into the mapped file, in bytes.
    pub offset: u64,
    /// Permissions, as `rw-s`.
    pub perms: Perms,
    /// Device major and minor.
    pub device: (u32, u32),
    /// Inode number, 0 without a file.
    pub inode: u64,
    /// The name as printed (`\n` escaped by the kernel as `\012`), empty without one.
    pub name: Vec<u8>,
    /// The two-letter codes of `VmFlags`, in order, as one string with single blanks.
    pub vm_flags: String,
    /// Whether this is a ring: name, anonymous device and mode agree.
    pub is_ring: bool,
}
