//! What the judge made of an evidence: contexts with findings, as every output shows them.

use std::sync::Arc;

use crate::container_names::Names;
use crate::cpus::CpuSet;
use crate::evidence::{CensusSource, Manner, Process};
use crate::finding::{Count, Finding};
use crate::units::{ContextId, Pid, Tid};

/// What the judge made of an evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// The host's sums.
    pub system: SystemView,
    /// Every context, by PID, then by context id.
    pub contexts: Vec<ContextView>,
    /// Ring mappings without a context, by PID, then by address.
    pub ghosts: Vec<GhostView>,
    /// One verdict for each address space, in the evidence's order.
    pub spaces: Vec<SpaceView>,
}

/// The footer of `list`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemView {
    /// `fs.aio-nr`.
    pub aio_nr: u64,
    /// `fs.aio-max-nr`.
    pub aio_max_nr: u64,
    /// Sum of max_reqs over the contexts found; `None` without BPF, or where it is not known of every context.
    pub attributed: Option<u64>,
    /// `aio_nr - attributed`: contexts in other PID namespaces, or coming or going; may be negative for a moment.
    pub unattributed: Option<i64>,
    /// Number of possible CPUs.
    pub possible_cpus: u32,
    /// Bytes of a page.
    pub page_size: u32,
    /// Which witness named the contexts.
    pub source: CensusSource,
}

/// One context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextView {
    /// The lowest PID of the processes that share it.
    pub pid: Pid,
    /// Name of that process; any bytes, to be escaped by whoever prints it. One for all contexts of the process.
    pub comm: Arc<[u8]>,
    /// Start of that process, in clock ticks after boot.
    pub start_ticks: u64,
    /// What else tells that process from others, as far as it was read. One for all contexts of the process.
    pub about: Arc<About>,
    /// Its id (`aio_context_t`): the address of its ring.
    pub context: ContextId,
    /// The argument of io_setup; `None` without BPF, or where the kernel does not tell it, as with all that follows.
    pub max_reqs: Option<u32>,
    /// Ring entries; the header's word without BPF, `None` if that cannot be read.
    pub nr_events: Option<u32>,
    /// Requests submitted and not completed; `None` without BPF or where the reading was torn.
    pub in_flight: Option<u32>,
    /// Completions in the ring that nobody reaped; `None` where head cannot be known.
    pub unreaped: Option<u32>,
    /// Ring entry to be reaped next: the process's claim.
    pub head: Option<u32>,
    /// Ring entry to be filled next: the kernel's fact, or the header's claim without BPF.
    pub tail: Option<u32>,
    /// Bytes of the ring.
    pub ring_len: Option<u64>,
    /// Whether (some of) the ring is mapped at `context`; `None` if the mappings were not read.
    pub mapped: Option<bool>,
    /// Who runs the process. One for all contexts of the processes that are in the same control groups.
    pub owner: Arc<Owner>,
    /// What a watch that was under way knows of its making; `None`: there is no such watch, or it does not know the context.
    pub origin: Option<Origin>,
    /// For how long its end has been waited for, in nanoseconds; `None`: it is not dying, or that is not known.
    pub dying_ns: Option<u64>,
    /// What io_submit would find now; `None` where that cannot be known, and of an unmapped ring, where it answers EINVAL.
    pub outlook: Option<Outlook>,
    /// How many contexts it is: 1, but of those that are dying and cannot be named as many as there are; `None`: at least one, and their
    /// number is not known.
    pub stands_for: Option<u32>,
    /// Problems found with this context, and what waits in it: in the list's order, each once.
    pub findings: Vec<Finding>,
    /// For each finding that needs it, a sentence of detail: which field, which number, which other process.
    pub details: Vec<(Finding, String)>,
}

impl ContextView {
    /// Whether it is out of the kernel's table already: then fs.aio-nr does not count it any more.
    pub fn is_dying(&self) -> bool {
        self.findings.iter().copied().any(Finding::is_dying)
    }

    /// Ring entries that are neither in flight nor unreaped; one of them always stays empty and is not counted
    /// (fs/aio.c:ioctx_alloc). `None`: not known, or the numbers contradict each other.
    pub fn free(&self) -> Option<u32> {
        self.nr_events?.checked_sub(1)?.checked_sub(self.in_flight?)?.checked_sub(self.unreaped?)
    }

    /// How much of the ring is in flight or unreaped; `None` where [`ContextView::free`] is, and of a ring without a
    /// usable entry.
    pub fn fill(&self) -> Option<Fill> {
        let usable = self.nr_events?.checked_sub(1).filter(|usable| *usable > 0)?;
        Some(Fill { taken: usable.checked_sub(self.free()?)?, usable })
    }

    /// One of its findings in words: its number where the finding has one, else its sentence and the details.
    pub fn in_words(&self, finding: Finding) -> String {
        let number = |count| match count {
            Count::InFlight => self.in_flight,
            Count::Unreaped => self.unreaped,
        };
        let counted = finding.counted().and_then(|count| Some(count.in_words(number(count)?)));
        counted.unwrap_or_else(|| {
            let details = self.details.iter().filter(|(of, _)| *of == finding);
            let details: Vec<&str> = details.map(|(_, detail)| detail.as_str()).collect();
            if details.is_empty() {
                finding.says().to_owned()
            } else {
                format!("{}: {}", finding.says(), details.join("; "))
            }
        })
    }
}

/// How full a ring is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    taken: u32,
    usable: u32,
}

impl Fill {
    /// From 0 to 1.
    pub fn ratio(self) -> f64 {
        f64::from(self.taken) / f64::from(self.usable)
    }

    /// In percent: 0 only of an empty ring, 100 only of a full one.
    pub fn percent(self) -> u32 {
        let exact = u64::from(self.taken).saturating_mul(100).checked_div(self.usable.into()).unwrap_or(0);
        match self.taken {
            0 => 0,
            taken if taken >= self.usable => 100,
            _ => u32::try_from(exact).unwrap_or(99).clamp(1, 99),
        }
    }
}

/// What io_submit would find now.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Outlook {
    /// CPUs on which it would fail with EAGAIN: of those online, or of all possible ones where it is not known which are online.
    pub fails_on: CpuSet,
    /// Credits that only single CPUs can use, by CPU, while it fails on others; empty where it fails nowhere, or because none is left.
    pub stranded: Vec<Stranded>,
}

impl Outlook {
    /// How many credits are stranded.
    pub fn stranded_credits(&self) -> u64 {
        self.stranded.iter().fold(0, |sum, of| sum.saturating_add(of.credits.into()))
    }
}

/// Credits of one CPU that others lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stranded {
    /// Number of the CPU.
    pub cpu: u32,
    /// How many requests can be submitted there.
    pub credits: u32,
    /// Whether it is online; `None`: not known. An offline CPU submits nothing.
    pub online: Option<bool>,
}

/// Where a context comes from, by the word of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Its io_setup was seen.
    Made {
        /// When it returned, nanoseconds since 1970.
        unix_ns: u64,
        /// How long before the look that is judged, in nanoseconds.
        age_ns: u64,
        /// Who called it.
        pid: Pid,
        /// The thread that called it.
        tid: Tid,
        /// Its argument, exactly.
        max_reqs: u32,
    },
    /// It was there before the watch began, or its io_setup was missed.
    Found {
        /// When the watch began, nanoseconds since 1970.
        since_unix_ns: u64,
    },
}

/// Who runs a process, from its cgroup path. Empty strings: not in one. Which of them is its owner says
/// [`Owner::workload`](crate::owner).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Owner {
    /// Who runs the container: `docker`, `containerd`, `cri-o`, `podman`, `kubepods` (the kubelet's, by whichever), `lxc`, `nspawn`,
    /// `machined`; empty if it is not in one, or the path does not tell.
    pub runtime: String,
    /// systemd unit.
    pub unit: String,
    /// Container id.
    pub container: String,
    /// Pod UID.
    pub pod: String,
    /// Path of the control group, where it says nothing of the above: `/t1` of a plain runc, `/` of a process in no group.
    pub cgroup: String,
}

/// What tells a process from others of the same name. All of it is read only where somebody asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct About {
    /// Effective user id; `None`: not read.
    pub uid: Option<u32>,
    /// Name of that user, its number where it has no name; any bytes. Empty: not read.
    pub user: Vec<u8>,
    /// Its PID in the innermost PID namespace that it is in: the one its container knows. `None`: not read.
    pub ns_pid: Option<u32>,
    /// Its arguments with blanks between them, any bytes; `None`: not read.
    pub cmdline: Option<Vec<u8>>,
    /// What its container is called; `None`: not looked for, or nothing is known.
    pub names: Option<Names>,
    /// Its pod by those names, with the namespace before it, as `shop/db-0`; empty: not known.
    pub pod: String,
}

impl About {
    /// What an evidence says of the process.
    pub fn of(process: &Process) -> Self {
        let number = || process.uid.map(|uid| uid.to_string().into_bytes());
        let blanks = |text: &Vec<u8>| {
            let end = text.iter().rposition(|byte| *byte != 0).map_or(0, |last| last.saturating_add(1));
            text.iter().take(end).map(|byte| if *byte == 0 { b' ' } else { *byte }).collect()
        };
        Self {
            uid: process.uid,
            user: process.user.clone().or_else(number).unwrap_or_default(),
            ns_pid: process.ns_pids.last().copied(),
            cmdline: process.cmdline.as_ref().map(blanks),
            names: process.names.clone(),
            pod: process.names.as_ref().map(Names::pod).unwrap_or_default(),
        }
    }
}

/// A ring without a context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GhostView {
    /// The process that maps it.
    pub pid: Pid,
    /// Name of the process (`comm`), raw bytes.
    pub comm: Arc<[u8]>,
    /// Who runs it.
    pub owner: Arc<Owner>,
    /// Where the ring is mapped.
    pub address: ContextId,
    /// Bytes mapped.
    pub ring_len: u64,
}

/// The verdict on one address space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpaceView {
    /// Its processes, lowest first.
    pub pids: Vec<Pid>,
    /// How strong the proof is.
    pub proof: Proof,
    /// How it was held in the look that was judged.
    pub manner: Manner,
    /// Indices into `Picture::contexts`.
    pub contexts: Vec<usize>,
    /// How long it was stopped by us, nanoseconds.
    pub pause_ns: u64,
}

/// Whether what was read of an address space is one consistent state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Nothing ran between the readings: it was frozen, held, or the scheduler shows that it slept throughout.
    Consistent,
    /// Some thread ran, or something changed, between the readings.
    Busy,
    /// Only one reading, or no word of the kernel: nothing is proven.
    Unproven,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::reconcile;
    use crate::specimen;

    /// Check that a user without a name is its number, and that arguments are told apart by blanks, without one at the end.
    #[test]
    fn about_a_process() {
        let process = Process {
            uid: Some(999),
            ns_pids: vec![40, 7, 1],
            cmdline: Some(b"mysqld\0--port\0\x1b7\0\0".to_vec()),
            ..Process::default()
        };
        let about = About::of(&process);
        assert_eq!((about.uid, about.user.as_slice(), about.ns_pid), (Some(999), b"999".as_slice(), Some(1)));
        assert_eq!(about.cmdline.as_deref(), Some(b"mysqld --port \x1b7".as_slice()));
        let named = Process { user: Some(b"mysql".to_vec()), cmdline: Some(Vec::new()), ..process };
        assert_eq!(About::of(&named).user, b"mysql");
        assert_eq!(About::of(&named).cmdline, Some(Vec::new()));
        assert_eq!(About::of(&Process::default()), About::default());
    }

    /// Check that a ring is full only when it is, empty only when it is, and unknown where numbers lie.
    #[test]
    fn fills() {
        let of = |nr_events, in_flight, unreaped| {
            let context = reconcile(&specimen::idle()).contexts.remove(0);
            let fill = ContextView { nr_events, in_flight, unreaped, ..context }.fill();
            fill.map(|fill| (fill.percent(), fill.ratio()))
        };
        assert_eq!(of(Some(383), Some(0), Some(0)), Some((0, 0.0)));
        assert_eq!(of(Some(383), Some(1), Some(0)).unwrap().0, 1);
        assert_eq!(of(Some(383), Some(100), Some(91)), Some((50, 0.5)));
        assert_eq!(of(Some(383), Some(381), Some(0)).unwrap().0, 99);
        assert_eq!(of(Some(383), Some(382), Some(0)), Some((100, 1.0)));
        for (nr_events, in_flight) in [
            (Some(383), None),
            (Some(383), Some(383)),
            (Some(0), Some(0)),
            (Some(1), Some(0)),
            (None, Some(1)),
        ] {
            assert_eq!(of(nr_events, in_flight, Some(0)), None);
        }
    }
}
