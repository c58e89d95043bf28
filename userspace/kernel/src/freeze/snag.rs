//! The thread that an attempt failed on: it sleeps where nothing can stop it.

use aioinspect_model::units::{Pid, Tid};

/// A thread that an attempt failed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Snag {
    /// The process it belongs to.
    pub pid: Pid,
    /// The thread that did not stop.
    pub tid: Tid,
}
