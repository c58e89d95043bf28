//! What the kernel that runs offers our programs: found by trying, never from a version.

use aioinspect_ebpf::{Offsets, way};

use crate::bpf::denial::Denial;
use crate::bpf::error::ProbeError;
use aioinspect_parse::kernel::layout::Layout;

/// What the programs are to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ways {
    /// Bits of [`way`].
    bits: u32,
    /// BTF id of `bpf_rdonly_cast`, where it is used.
    cast: Option<u32>,
    /// Kernel address of `__per_cpu_offset`, 0 where it is not needed or not known.
    per_cpu_offset_at: u64,
    /// Whether the memory of a map may be taken as its entries come.
    ///
    /// Before 6.1 the kernel prints a warning with a backtrace when a kprobe or a tracepoint uses such a map
    /// (kernel/bpf/verifier.c:check_map_prog_compatibility): with kernel.panic_on_warn that is the end of the host.
    grows: bool,
}

/// What is tried, the quickest first. What each needs the kernel has had since 6.2, 5.19, 5.15 and 5.8, or its distributor has put there.
const LADDER: [u32; 4] = [
    way::CAST | way::EVERY_CPU | way::TASK_REGISTERS,
    way::EVERY_CPU | way::TASK_REGISTERS,
    way::TASK_REGISTERS,
    0,
];

impl Ways {
    /// Loads by the first of them that the kernel takes.
    pub(crate) fn try_all<T>(
        layout: &Layout,
        mut load: impl FnMut(Self) -> Result<T, ProbeError>,
    ) -> Result<T, ProbeError> {
        let mut last = None;
        for bits in LADDER {
            let cast = layout.rdonly_cast_func.filter(|_| bits & way::CAST != 0 && can_cast(layout));
            if bits & way::CAST != 0 && cast.is_none() {
                continue;
            }
            let grows = layout.map_allocator.is_some();
            match load(Self { bits, cast, per_cpu_offset_at: 0, grows }) {
                Err(error) if is_of_the_way(&error) => last = Some(error),
                done => return done,
            }
        }
        Err(last.unwrap_or_else(|| ProbeError::Object("no way to load it".to_owned())))
    }

    /// The same with the distances of all CPUs read from the kernel's own array.
    #[must_use]
    pub(crate) fn with_per_cpu_offset(self, address: u64) -> Self {
        Self { per_cpu_offset_at: address, ..self }
    }

    /// Whether the memory of every possible CPU can be reached without help.
    pub(crate) fn reaches_every_cpu(self) -> bool {
        self.bits & way::EVERY_CPU != 0 || self.per_cpu_offset_at != 0
    }

    /// The BTF id that stands for the calls of `bpf_rdonly_cast`; `None`: they are never reached.
    pub(crate) fn cast(self) -> Option<u32> {
        self.cast
    }

    /// Whether a map may be made whose memory is taken as its entries come.
    pub(crate) fn maps_may_grow(self) -> bool {
        self.grows
    }

    /// Puts them among the constants of the programs.
    pub(crate) fn into_offsets(self, offsets: &Offsets) -> Offsets {
        Offsets { ways: self.bits, per_cpu_offset_at: self.per_cpu_offset_at, ..*offsets }
    }
}

/// Whether another way may still be taken.
fn is_of_the_way(error: &ProbeError) -> bool {
    match error {
        ProbeError::Refused { .. } | ProbeError::NoJit { .. } | ProbeError::Lacks { .. } => true,
        ProbeError::NotPermitted { why, .. } => *why == Denial::Lockdown,
        ProbeError::NotBuilt | ProbeError::Object(_) | ProbeError::Io { .. } => false,
    }
}

/// Whether there is a number of each size to cast to.
fn can_cast(layout: &Layout) -> bool {
    [layout.word8, layout.word4, layout.word1].iter().all(|word| word.type_id != 0)
}
