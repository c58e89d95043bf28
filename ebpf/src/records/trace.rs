//! The records of the tracing programs: the map of contexts, the calls under way, and the events.

use crate::bytes::wire;

/// How the map came to know a context (`TracedRecord::origin`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Origin {
    /// Its io_setup was seen.
    Traced = 1,
    /// A census found it.
    Found = 2,
    /// The end of another context's io_destroy met it at that table index. Its own io_setup, if that
    /// was seen, writes over this; if not, it was under way when the watch began, and the census at
    /// the start has to tell of it.
    Met = 3,
}

/// What a thread is doing (`CallRecord::kind`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum CallKind {
    /// io_setup.
    Setup = 1,
    /// io_destroy.
    Destroy = 2,
}

/// What happened (`EventRecord::kind`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum EventKind {
    /// io_setup succeeded.
    Setup = 1,
    /// io_setup failed.
    SetupFailed = 2,
    /// io_destroy succeeded.
    Destroy = 3,
    /// An address space with contexts was left by exit.
    Exit = 4,
    /// An address space with contexts was left by exec.
    Exec = 5,
    /// An address space with contexts ended while somebody else held its last reference.
    Gone = 6,
    /// A census found a context whose io_setup was not seen.
    Found = 7,
    /// An address space ended and had more table indexes than a program may walk, or a process ended
    /// where the end of an address space cannot be seen: a pass of [`Pass::Sweep`] tells the rest.
    /// Never told to anybody.
    Left = 8,
}

/// What the next run of the program `settle` is to do (`TraceControl::pass`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Pass {
    /// Learn who reads: the PID namespace of whoever runs it.
    Learn = 0,
    /// Compare every table with the map; mark what differs.
    Mark = 1,
    /// Note the address spaces in which an io_setup is under way, and unmark what an io_destroy
    /// under way explains.
    Busy = 2,
    /// Put right what was marked, but for the busy ones.
    Resolve = 3,
    /// Forget the contexts of the address space `TraceControl::mm`, which has ended, and tell of
    /// its end.
    Sweep = 4,
}

/// Bits of `EventRecord::flags`.
pub mod flag {
    /// The context was not announced when its io_destroy began: it was there before the watch, and
    /// no census had met it. One that has met it since has told of it (EventKind::Found).
    pub const UNANNOUNCED: u32 = 1;
    /// `EventRecord::value` was read.
    pub const HAS_VALUE: u32 = 2;
}

wire! {
    /// Key of the map TRACED: an index into an address space's context table. At an index there is
    /// one context at a time, whatever its address, which mremap may change and another context may
    /// use again.
    pub struct TracedKey: 16 {
        /// Kernel address of the mm: an identity, never printed.
        mm: u64,
        /// `kioctx.id`: index into `kioctx_table.table`.
        table_index: u32,
        /// Named padding, 0.
        _pad: u32,
    }
}

wire! {
    /// Value of the map TRACED. It stays, with `kioctx` 0, when its context is destroyed: the index
    /// is used again, and a value that is never moved can be written by two CPUs at once.
    pub struct TracedRecord: 64 {
        /// Kernel address of the context, 0 for none: an identity, never printed.
        kioctx: u64,
        /// `user_id` when it was made.
        context: u64,
        /// When io_setup returned, CLOCK_MONOTONIC nanoseconds; 0 if that was not seen.
        made_at: u64,
        /// `comm` of the process, NUL-padded.
        comm_low: u64,
        /// Its second half.
        comm_high: u64,
        /// `max_reqs`.
        max_reqs: u32,
        /// Process id in the reader's PID namespace.
        tgid: u32,
        /// Thread that called io_setup, 0 if that was not seen.
        tid: u32,
        /// One of [`Origin`].
        origin: u32,
        /// Where the last census found this to differ from the table: the context of the table,
        /// or, where that has none, `kioctx` with [`GONE`] added. Only censuses write it: what ends
        /// at the same time writes all but this.
        marked: u64,
    }
}

/// Bit of `TracedRecord::marked`, which is a multiple of eight without it.
pub const GONE: u64 = 1;

wire! {
    /// Key of the map SPACES.
    pub struct SpaceKey: 8 {
        /// Kernel address of the mm: an identity, never printed.
        mm: u64,
    }
}

wire! {
    /// Value of the map SPACES, keyed by mm: an address space that has, or had, contexts.
    pub struct SpaceRecord: 80 {
        /// The key once more: read from here it is a number, where the program that looked it up
        /// has a pointer.
        mm: u64,
        /// Sixteen bytes, in memory's order: byte `c` is 1 if an index below 4^c was ever used, and
        /// not below 4^(c-1). Each byte is only ever set, so that two CPUs can do it at once
        /// without a lock.
        used_low: u64,
        /// The second half.
        used_high: u64,
        /// Process id in the reader's PID namespace of the first that was met.
        tgid: u32,
        /// Round in which an io_setup was under way.
        busy_round: u32,
        /// `comm` of that process, NUL-padded.
        comm_low: u64,
        /// Its second half.
        comm_high: u64,
        /// `start_boottime` of that process.
        start_boottime: u64,
        /// Where the next context is likely to come: after the last one that came, or where one
        /// went.
        likely_index: u32,
        /// One of [`EventKind`] once it has ended and is not told of yet, else 0.
        ended: u32,
        /// Once it has ended: indexes that are forgotten already.
        swept: u32,
        /// Once it has ended: contexts that were in them.
        counted: u32,
        /// Once it has ended: the thread that left it last, as far as known.
        left_by: u32,
        /// Round in which it was met last.
        met_round: u32,
    }
}

wire! {
    /// Value of the map CALLS, keyed by the kernel address of the thread: a call under way.
    pub struct CallRecord: 64 {
        /// Kernel address of the mm.
        mm: u64,
        /// Argument: `nr_events` of io_setup, the context of io_destroy.
        argument: u64,
        /// Argument `ctxp` of io_setup.
        pointer: u64,
        /// io_destroy: the context that the argument named at the start, 0 for none.
        kioctx: u64,
        /// When the call began, CLOCK_MONOTONIC nanoseconds.
        entered_at: u64,
        /// io_destroy: its table index.
        table_index: u32,
        /// io_destroy: its `max_reqs`.
        max_reqs: u32,
        /// One of [`CallKind`].
        kind: u32,
        /// 1 for a 32-bit caller: `*ctxp` has 4 bytes.
        compat: u32,
        /// io_destroy: how the map knew the context at the start, one of [`Origin`]; 0 if it did
        /// not.
        origin: u32,
        /// Named padding, 0.
        _pad: u32,
    }
}

wire! {
    /// One event.
    pub struct EventRecord: 96 {
        /// CLOCK_MONOTONIC nanoseconds.
        time: u64,
        /// The context, by the caller's word where the kernel's could not be read.
        context: u64,
        /// Setup, SetupFailed, Destroy: when the call began.
        entered_at: u64,
        /// SetupFailed: what `*ctxp` held, if HAS_VALUE. Found, Setup, Destroy: kernel address of
        /// the context, 0 if it is not known: an identity, never printed.
        value: u64,
        /// `comm` of the process, NUL-padded.
        comm_low: u64,
        /// Its second half.
        comm_high: u64,
        /// `start_boottime` of the process.
        start_boottime: u64,
        /// Key of the map CGROUPS: the control groups of the process at this moment; 0 if they are
        /// not known.
        cgroups: u64,
        /// One of [`EventKind`].
        kind: u32,
        /// Process id in the reader's PID namespace.
        tgid: u32,
        /// Thread id in the reader's PID namespace.
        tid: u32,
        /// SetupFailed: the errno, positive.
        errno: u32,
        /// `max_reqs`, or what was asked for.
        max_reqs: u32,
        /// Exit, Exec, Gone: how many contexts died.
        count: u32,
        /// Bits of [`flag`].
        flags: u32,
        /// Named padding, 0.
        _pad: u32,
    }
}

wire! {
    /// The one element of the map TRACE: userspace writes the inputs of a pass and reads its counts.
    pub struct TraceControl: 96 {
        /// Input: one of [`Pass`].
        pass: u32,
        /// Input: number of this round, from 1.
        round: u32,
        /// Input: 1 if contexts that are found are told as events.
        announce: u32,
        /// Learnt: the reader's PID namespace level plus one.
        level_plus_one: u32,
        /// Learnt: kernel address of the reader's PID namespace: an identity, never printed.
        reader_ns: u64,
        /// Count: differences that were marked, or left because a call is under way.
        unsettled: u32,
        /// Count: contexts that are now in the map.
        found: u32,
        /// Count: contexts that are no longer in it.
        gone: u32,
        /// Count: elements of HEADS that are filled.
        heads: u32,
        /// Scratch, 0 at the start of a run: the mm met last.
        last_mm: u64,
        /// Input of [`Pass::Sweep`]: kernel address of an mm that has ended.
        mm: u64,
        /// Cursor, 0 at the start of a run: the task whose table is walked, in pieces.
        walk_task: u64,
        /// Cursor: the table index at which it goes on.
        walk_index: u32,
        /// Input of [`Pass::Sweep`]: one of [`EventKind`], for an address space whose end was not
        /// seen.
        end: u32,
        /// Scratch: a pointer of the kernel's, stored as one and read back as a number.
        pointer: u64,
        /// Count: contexts for which the map has no room.
        unstored: u32,
        /// Answer: 1 if the walk stopped because HEADS, or the buffer for events, has no room for
        /// more: userspace takes out what is there.
        is_full: u32,
        /// Learnt: key of the map CGROUPS, the root of the reader's cgroup namespace; 0 if it is
        /// not known.
        reader_cgroups: u64,
    }
}

wire! {
    /// The header of one ring, as the memory of its process holds it: a claim.
    pub struct HeadRecord: 56 {
        /// Kernel address of the mm: an identity, never printed.
        mm: u64,
        /// `kioctx.user_id`: where it was read.
        address: u64,
        /// The 32 bytes in memory's order, in four words.
        header: u64,
        /// The second word.
        header_1: u64,
        /// The third word.
        header_2: u64,
        /// The fourth word.
        header_3: u64,
        /// 0, or minus the errno of the reading.
        answer: i32,
        /// Named padding, 0.
        _pad: u32,
    }
}

wire! {
    /// What was missed, counted by each CPU for itself.
    pub struct Counters: 40 {
        /// Events for which the ring buffer had no room.
        events: u64,
        /// Contexts for which the map had no room.
        contexts: u64,
        /// Calls for which the map of calls had no room.
        calls: u64,
        /// Calls whose end was not seen.
        ends: u64,
        /// Named padding, 0.
        _pad: u64,
    }
}
