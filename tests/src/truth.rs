//! What a fixture says of itself: the answer to its `truth` command.

use serde::{Deserialize, Serialize};

/// Everything a fixture knows of itself, by counting what it did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truth {
    /// Thread-group id.
    pub pid: u32,
    /// The thread that answers.
    pub tid: u32,
    /// Whether the thread-group leader lives.
    pub leader_alive: bool,
    /// Living contexts of this address space, in the order of their making.
    pub contexts: Vec<ContextTruth>,
    /// Living child processes, helpers included.
    pub children: Vec<ChildTruth>,
    /// Contexts that are out of the kernel's table and are waited for, of this process and of its children.
    pub dying: Vec<DyingTruth>,
    /// The blocked threads that `threads` made.
    pub threads: Vec<ThreadTruth>,
    /// Processes of the farm, each with the same contexts.
    pub farm: Option<FarmTruth>,
    /// Effective user id.
    pub uid: u32,
    /// PR_GET_DUMPABLE.
    pub dumpable: u32,
    /// End of the heap.
    pub brk: u64,
    /// Sum of max_reqs over everything this fixture and its children hold: its share of aio-nr.
    pub aio_nr: u64,
}

/// One context.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextTruth {
    /// Its ordinal in this fixture; `#handle` names it in commands even after it moved.
    pub handle: u32,
    /// `aio_context_t`, now; a hex string in JSON.
    #[serde(with = "hex")]
    pub id: u64,
    /// The argument of io_setup.
    pub max_reqs: u32,
    /// Entries of the ring, from the header when it was new.
    pub nr_events: u32,
    /// Bytes of the ring when it was new.
    pub ring_len: u64,
    /// Requests submitted and not completed, as counted.
    pub in_flight: u32,
    /// Completions not reaped, as counted; a forged head does not change it.
    pub unreaped: u32,
    /// Next ring entry to be reaped as counted, or what was forged.
    pub head: u32,
    /// Next ring entry the kernel fills, as counted; forging does not change it.
    pub tail: u32,
    /// The header's head; `None` where it cannot be read.
    pub ring_head: Option<u32>,
    /// The header's tail.
    pub ring_tail: Option<u32>,
    /// Whether any page of the ring is mapped.
    pub mapped: bool,
    /// One letter a page: `w` read and write, `r` read only, `-` no access, `x` not mapped.
    pub pages: String,
    /// Header fields that the kernel did not write.
    pub forged: Vec<String>,
    /// `main`, `threads`, `churn`, or the PID of the CLONE_VM child that made it.
    pub origin: String,
    /// Whether a thread uses it all the time: in_flight, unreaped, head and tail then say nothing.
    pub moving: bool,
    /// On which CPUs, if `strand` was the last that was done with it.
    pub strand: Option<StrandTruth>,
}

/// A context without a credit on one CPU; what is left of its ring entries is on the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrandTruth {
    /// Where io_submit failed with EAGAIN.
    pub from: u32,
    /// Where requests completed.
    pub to: u32,
}

/// One child process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildTruth {
    /// PID of the child.
    pub pid: u32,
    /// `ghost`, `vm`, `vfork`, `vfork-thread`, `spoof`, `fuse`, `reading`.
    pub kind: String,
    /// Rings it inherited without a context.
    pub ghosts: Vec<GhostTruth>,
    /// Contexts of its own, those that are dying not included.
    pub contexts: Vec<OwnContext>,
}

/// A context that a child made for itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnContext {
    /// `aio_context_t`; a hex string in JSON.
    #[serde(with = "hex")]
    pub id: u64,
    /// The argument of io_setup.
    pub max_reqs: u32,
    /// Slow reads in flight; there are no other requests.
    pub in_flight: u32,
}

/// A context that io_destroy, exit or exec has taken out of the table, and whose requests are waited for.
///
/// Its slots are no part of aio-nr any more, and its ring is unmapped or about to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DyingTruth {
    /// PID of the process that waits.
    pub pid: u32,
    /// The thread that waits; it may be another than the leader, which then may be a zombie.
    pub tid: u32,
    /// What it waits in: `destroy`, `exit` (killed or not) or `exec`.
    pub how: String,
    /// `aio_context_t`, as it was; a hex string in JSON.
    #[serde(with = "hex")]
    pub id: u64,
    /// The argument of io_setup.
    pub max_reqs: u32,
    /// Entries of the ring.
    pub nr_events: u32,
    /// Requests that are waited for; 0 only in the RCU grace period (about 30 ms) that each io_destroy takes.
    pub in_flight: u32,
}

/// A ring that fork copied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GhostTruth {
    /// Where the child maps it.
    #[serde(with = "hex")]
    pub address: u64,
    /// Bytes mapped.
    pub ring_len: u64,
    /// Ordinal of the context whose ring it is, which may be gone.
    pub handle: u32,
}

/// A thread that blocks and retries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadTruth {
    /// Thread id.
    pub tid: u32,
    /// `pipe`, `getevents`, `getevents-timeout`, `epoll` or `sleep`.
    pub kind: String,
    /// How often its system call returned EINTR.
    pub eintr: u64,
    /// How often it returned otherwise: 0, or somebody woke it.
    pub woken: u64,
}

/// Many processes with the same contexts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FarmTruth {
    /// PIDs of the processes.
    pub pids: Vec<u32>,
    /// Contexts of each.
    pub contexts_each: u32,
    /// max_reqs of each context.
    pub max_reqs: u32,
}

impl Truth {
    /// The context of that ordinal.
    pub fn context(&self, handle: u32) -> Option<&ContextTruth> {
        self.contexts.iter().find(|context| context.handle == handle)
    }

    /// The child of that PID.
    pub fn child(&self, pid: u32) -> Option<&ChildTruth> {
        self.children.iter().find(|child| child.pid == pid)
    }
}

/// Addresses are hex strings in JSON, as in every output of aioinspect.
mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
    pub(super) fn serialize<S: Serializer>(value: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format!("{value:#x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        let text = String::deserialize(from)?;
        let digits = text.strip_prefix("0x").ok_or_else(|| D::Error::custom("no 0x"))?;
        u64::from_str_radix(digits, 16).map_err(D::Error::custom)
    }
}
