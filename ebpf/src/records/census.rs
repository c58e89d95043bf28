//! The records themselves.

use crate::bytes::wire;

/// What the next run of a program is to report (`Control::mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Mode {
    /// Every mm that has a context table, and all its tasks.
    All = 0,
    /// The mm at `Control::mm` alone, table or not, and all its tasks.
    OneMm = 1,
    /// The mm of the tasks of process `Control::tgid`, table or not, and those tasks.
    OneProcess = 2,
    /// Nothing of anybody: the distance of the memory of the CPU that it runs on.
    ThisCpu = 3,
}

wire! {
    /// The one element of the maps CONTROL and RING_CONTROL: userspace writes the inputs before a
    /// run and reads the counts after it.
    pub struct Control: 184 {
        /// Input: one of [`Mode`].
        mode: u32,
        /// Input: process id in the reader's PID namespace, for [`Mode::OneProcess`].
        tgid: u32,
        /// Input: kernel address of the mm, for [`Mode::OneMm`].
        mm: u64,
        /// Scratch, 0 at the start of a run: the mm reported last; neighbours in the walk mostly
        /// share it.
        last_mm: u64,
        /// Scratch, 0 at the start of a run: the reader's PID namespace level plus one.
        level_plus_one: u32,
        /// Kept from run to run: possible CPUs whose distance is known, counted from the first.
        cpus_known: u32,
        /// Count: elements of CONTEXTS wanted; more than its capacity means that the rest was left
        /// out.
        contexts: u32,
        /// Count: elements of MMS wanted.
        mms: u32,
        /// Count: elements of TASKS wanted.
        tasks: u32,
        /// Count: elements of RINGS wanted.
        rings: u32,
        /// Scratch, 0 at the start of a run: the task whose ring was reported last; its next one
        /// follows at once.
        last_task: u64,
        /// Scratch: the process id of that task, in the reader's PID namespace.
        last_tgid: u32,
        /// Cursor: CPU at which the sums of the context at `walk_index` go on.
        walk_cpu: u32,
        /// Scratch: a pointer of the kernel's, stored as one and read back as a number.
        pointer: u64,
        /// Cursor, 0 at the start of a run: the mm whose table is being walked. A table is walked a
        /// few steps at a time, and the program is run again on the same task until it is done.
        walk_mm: u64,
        /// Cursor: the task through which it is walked.
        walk_task: u64,
        /// Cursor: the table when the walk began.
        walk_table: u64,
        /// Cursor: index in the table at which the walk goes on.
        walk_index: u32,
        /// Cursor: contexts found so far.
        walk_found: u32,
        /// Cursor: sum of `kioctx_cpu.reqs_available` so far.
        walk_available: i64,
        /// Cursor: sum of the counters of the percpu_ref so far.
        walk_refs: i64,
        /// Cursor, of one run: where the first place of the table is.
        walk_first: u64,
        /// Cursor, of one run: how many places the table has.
        walk_places: u32,
        /// Input: how many CPUs are possible. Not a constant to the verifier: it would follow loops
        /// over them.
        possible_cpus: u32,
        /// Input: 1 if the walk is to stop where there is no room for more: userspace takes the
        /// records, sets the counts to 0, and lets it go on. 0: it goes on by itself, and only
        /// counts what does not fit.
        in_pieces: u32,
        /// Answer: 1 if that is why it stopped; userspace sets it to 0.
        is_full: u32,
        /// Count: elements of WAITS wanted.
        waits: u32,
        /// Count: elements of CREDITS wanted.
        credits: u32,
        /// Cursor: the first element of CREDITS of the context at `walk_index`.
        walk_credits: u32,
        /// Cursor: 1 if the credits of each CPU of that context are wanted.
        walk_short: u32,
        /// Cursor: the mm whose end a thread waits for, 0 if there is none.
        walk_ending: u64,
        /// Cursor: its mapping that is next, where mappings are a list.
        walk_mapping: u64,
        /// Cursor: how deep in the tree of its mappings the walk is; the nodes are in the map TREE.
        /// 0: it is at its end.
        walk_depth: u32,
        /// Cursor: steps of that walk so far.
        walk_steps: u32,
    }
}

wire! {
    /// One context: facts of `struct kioctx` (fs/aio.c), read while the kernel cannot free it
    /// (RCU). A member that this kernel has not is 0.
    pub struct ContextRecord: 144 {
        /// Kernel address of its mm: an identity, never printed.
        mm: u64,
        /// `user_id`.
        user_id: u64,
        /// `mmap_base`.
        mmap_base: u64,
        /// `mmap_size`.
        mmap_size: u64,
        /// `nr_pages`.
        nr_pages: u64,
        /// Sum over possible CPUs of `kioctx_cpu.reqs_available`.
        percpu_available: i64,
        /// Sum over possible CPUs of the percpu_ref `reqs`; 0 if it is not counted per CPU.
        percpu_refs: i64,
        /// `reqs.data->count` if the percpu_ref is not counted per CPU, else 0.
        atomic_refs: i64,
        /// `reqs.percpu_count_ptr & 3`: 1 atomic, 2 dead.
        ref_flags: u32,
        /// Index in `kioctx_table.table`.
        table_index: u32,
        /// `max_reqs`.
        max_reqs: u64,
        /// `nr_events`.
        nr_events: u64,
        /// `tail`.
        tail: u64,
        /// `completed_events`.
        completed_events: u64,
        /// `reqs_available`.
        reqs_available: i64,
        /// `dead`.
        dead: u64,
        /// Kernel address of the kioctx: an identity, never printed.
        kioctx: u64,
        /// `req_batch`.
        req_batch: u64,
        /// The first element of CREDITS that is of this context.
        credits_first: u32,
        /// How many elements from there on are: a CPU each that has credits, in ascending order.
        /// None where `reqs_available` is a batch or more: then every CPU has what it takes.
        credits_count: u32,
    }
}

wire! {
    /// Credits that one CPU holds of one context.
    pub struct CreditsRecord: 8 {
        /// Number of the CPU.
        cpu: u32,
        /// `kioctx_cpu.reqs_available` of that CPU, never 0.
        credits: u32,
    }
}

wire! {
    /// One address space.
    pub struct MmRecord: 48 {
        /// Kernel address: an identity, never printed.
        mm: u64,
        /// `brk`.
        brk: u64,
        /// First word of `flags`.
        flags: u64,
        /// `mm_lock_seq`.
        lock_seq: u32,
        /// `map_count`.
        map_count: u32,
        /// `kioctx_table.nr`: places of the table, 0 without one.
        table_nr: u32,
        /// 1 if the task left this mm while its table was read: the contexts of this record prove
        /// nothing.
        torn: u32,
        /// Contexts found in the table.
        contexts: u32,
        /// Named padding, 0.
        _pad: u32,
    }
}

wire! {
    /// One thread of an address space that was reported.
    pub struct TaskRecord: 96 {
        /// Kernel address of its mm: an identity, never printed.
        mm: u64,
        /// `start_boottime`, nanoseconds after boot.
        start_boottime: u64,
        /// `group_leader->start_boottime`.
        leader_start_boottime: u64,
        /// `nvcsw`.
        voluntary_switches: u64,
        /// `nivcsw`.
        involuntary_switches: u64,
        /// `se.sum_exec_runtime`, nanoseconds.
        runtime: u64,
        /// Thread id in the reader's PID namespace.
        tid: u32,
        /// Process id in the reader's PID namespace.
        tgid: u32,
        /// `on_cpu`.
        on_cpu: u32,
        /// `__state`.
        state: u32,
        /// `group_leader->comm`, NUL-padded.
        comm_low: u64,
        /// Its second half.
        comm_high: u64,
        /// Whether `group_leader` has exited (`exit_state` not 0).
        leader_exit_state: u32,
        /// `flags` (PF_*).
        flags: u32,
        /// `cgroups`, the address of its css_set: an identity, never printed; 0 where the kernel
        /// has no cgroups.
        css_set: u64,
    }
}

wire! {
    /// One mapping of a ring in some address space.
    pub struct RingRecord: 56 {
        /// Kernel address of its mm: an identity, never printed.
        mm: u64,
        /// `vm_start`.
        start: u64,
        /// `vm_end`.
        end: u64,
        /// `vm_pgoff`, in pages.
        page_offset: u64,
        /// `i_ino` of the ring's file.
        inode: u64,
        /// `vm_flags`.
        flags: u64,
        /// Process id in the reader's PID namespace of the task through which it was found.
        tgid: u32,
        /// Named padding, 0.
        _pad: u32,
    }
}

wire! {
    /// A thread in uninterruptible sleep that waits for the requests of contexts, or may:
    /// io_destroy, exit or exec. Its contexts are the records of the map CONTEXTS that have its
    /// `task` in place of their mm.
    pub struct WaitRecord: 144 {
        /// Kernel address of its mm, 0 if it has none any more: an identity, never printed.
        mm: u64,
        /// Kernel address of the thread: likewise.
        task: u64,
        /// Kernel address of an mm that nobody uses any more and that still has a context table:
        /// the one it ends; 0 if it ends none.
        ending: u64,
        /// First argument of the call it is in: of io_destroy, the context's id.
        argument: u64,
        /// `start_boottime`, nanoseconds after boot.
        start_boottime: u64,
        /// `group_leader->start_boottime`.
        leader_start_boottime: u64,
        /// `sched_info.last_arrival`: when it last came to a CPU, nanoseconds of the scheduler's
        /// clock; 0 where the kernel does not say.
        ran_at: u64,
        /// The same of the reader: now, a moment ago.
        now: u64,
        /// `se.sum_exec_runtime`, nanoseconds.
        runtime: u64,
        /// `nvcsw`.
        voluntary_switches: u64,
        /// `nivcsw`.
        involuntary_switches: u64,
        /// `group_leader->comm`, NUL-padded.
        comm_low: u64,
        /// Its second half.
        comm_high: u64,
        /// `cgroups`, the address of its css_set: an identity, never printed; 0 where the kernel
        /// has no cgroups.
        css_set: u64,
        /// Number of the system call it is in.
        call: u32,
        /// 1 if that is a 32-bit call.
        is_compat: u32,
        /// Thread id in the reader's PID namespace.
        tid: u32,
        /// Process id in the reader's PID namespace.
        tgid: u32,
        /// `flags` (PF_*).
        flags: u32,
        /// `__state`.
        state: u32,
        /// `ctx_rq_wait.count`: contexts it still waits for; 0 if that is not known.
        left: u32,
        /// Keeps the size a multiple of 8.
        _pad: u32,
    }
}
