//! The records of the programs that count io_submit: what a process asked for, and what it was
//! answered. And how io_getevents and io_pgetevents failed, where that is asked for too.

use crate::bytes::wire;

wire! {
    /// Key of the map SUBMITS: a process. Its number alone may be another's later.
    pub struct SubmitKey: 16 {
        /// `start_boottime` of the group leader, nanoseconds.
        start_boottime: u64,
        /// Process id in the reader's PID namespace.
        tgid: u32,
        /// Named padding, 0.
        _pad: u32,
    }
}

wire! {
    /// Value of the map SUBMITS: each number only grows, and several CPUs add to it at once.
    pub struct SubmitRecord: 64 {
        /// Calls that returned.
        calls: u64,
        /// Calls that took fewer requests than were asked for, without an error.
        short: u64,
        /// Calls that returned an error.
        errors: u64,
        /// Requests that were taken.
        requests: u64,
        /// `comm` of the process at its last call, NUL-padded.
        comm_low: u64,
        /// Its second half.
        comm_high: u64,
        /// Kernel address of the css_set of the process at its last call: an identity, never
        /// printed.
        css_set: u64,
        /// Key of the map CGROUPS: the control groups that this was, 0 if they are not known.
        cgroups: u64,
    }
}

/// Which call failed (`SubmitErrorKey::call`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Failing {
    /// io_submit.
    Submit = 0,
    /// io_getevents.
    Getevents = 1,
    /// io_pgetevents.
    Pgetevents = 2,
}

wire! {
    /// Key of the map SUBMIT_ERRORS: a process, which of its calls, and what went wrong.
    pub struct SubmitErrorKey: 16 {
        /// `start_boottime` of the group leader, nanoseconds.
        start_boottime: u64,
        /// Process id in the reader's PID namespace.
        tgid: u32,
        /// The errno, positive.
        errno: u16,
        /// One of [`Failing`].
        call: u16,
    }
}

wire! {
    /// Value of the map SUBMIT_ERRORS. The arguments are those of the last such call: a process can
    /// have any.
    pub struct SubmitErrors: 32 {
        /// Calls that returned this error.
        count: u64,
        /// The first argument: the context.
        context: u64,
        /// The second one: `nr` of io_submit, `min_nr` of the others; with the sign of the caller's
        /// type.
        second: u64,
        /// The third one: of io_submit a pointer, `nr` of the others.
        third: u64,
    }
}

wire! {
    /// The one element of the map SUBMIT: who reads.
    pub struct SubmitControl: 24 {
        /// Learnt: the reader's PID namespace level plus one.
        level_plus_one: u32,
        /// Named padding, 0.
        _pad: u32,
        /// Learnt: kernel address of the reader's PID namespace: an identity, never printed.
        reader_ns: u64,
        /// Learnt: key of the map CGROUPS, the root of the reader's cgroup namespace; 0 if it is
        /// not known.
        reader_cgroups: u64,
    }
}

wire! {
    /// What was missed, counted by each CPU for itself.
    pub struct SubmitLosses: 16 {
        /// Calls of processes for which SUBMITS had no room.
        calls: u64,
        /// Errors for which SUBMIT_ERRORS had no room; their calls are counted.
        errors: u64,
    }
}
