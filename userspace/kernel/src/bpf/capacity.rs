//! How much room the maps have. It is set when they are made: who has given up all privileges can make no others.

/// How many records the arrays of a census hold. What does not fit is taken in pieces, so they need not grow with the host; but inside a freeze
/// nothing is taken, so there all of one address space must fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capacity {
    pub(crate) contexts: u32,
    pub(crate) mms: u32,
    pub(crate) tasks: u32,
}

/// Mappings of rings that the array of a walk over mappings holds: the same, for one piece.
pub(crate) const RINGS: u32 = 2048;

/// CPUs with credits, of contexts that are short of them, for one piece.
pub(crate) const CREDITS: u32 = 4096;

/// Threads that wait for contexts, for one piece.
pub(crate) const WAITS: u32 = 512;

/// Ring headers that the array of a walk over headers holds: the same, for one piece.
pub(crate) const HEADS: u32 = 2048;

impl Capacity {
    /// That of one piece: some hundred kilobytes, whatever the host holds. Far more than one run of a program writes.
    pub(crate) const PIECE: Self = Self { contexts: 1024, mms: 2048, tasks: 2048 };

    /// Whether all of that fits.
    pub(crate) fn holds(self, contexts: u32, mms: u32, tasks: u32) -> bool {
        contexts <= self.contexts && mms <= self.mms && tasks <= self.tasks
    }

    /// Room for that and half as much again: a process goes on while we load.
    pub(crate) fn grown(self, contexts: u32, tasks: u32) -> Self {
        let grow =
            |have: u32, wanted: u32| if wanted > have { wanted.saturating_add(wanted / 2) } else { have };
        Self { contexts: grow(self.contexts, contexts), tasks: grow(self.tasks, tasks), ..self }
    }
}

/// How large the maps of a watch are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Contexts. Memory is taken as they come, but for 16 bytes each that the kernel takes at once (kernel/bpf/hashtab.c: struct bucket).
    pub contexts: u32,
    /// Address spaces with contexts. Memory is taken in the same way.
    pub spaces: u32,
    /// Bytes of the buffer for events, a power of two of at least a page.
    pub buffer: u32,
    /// Whether the host's memory decides how many, and no option does.
    pub by_host: bool,
}

/// Bytes that a context takes of the kernel's memory at least: the one page of the smallest ring.
const CONTEXT_BYTES: u64 = 4096;
/// Bytes that a process with a context takes at least: its kernel stack alone is a quarter of it.
const PROCESS_BYTES: u64 = 65_536;
/// Contexts that are always provided for. One entry more says since when the map is kept, and the kernel rounds up to a power of two.
const CONTEXTS_AT_LEAST: u64 = (1 << 16) - 1;
/// Contexts beyond which only a host whose limit asks for more pays for more at once: 16 MiB.
const CONTEXTS_USUALLY: u64 = (1 << 20) - 1;
/// More are never provided for: 256 MiB.
const CONTEXTS_AT_MOST: u64 = (1 << 24) - 1;
/// A host whose limit asks for more pays this part of its memory at most.
const PART_OF_MEMORY: u64 = 4096;
/// Bytes that the kernel takes at once for each entry of a map.
const BUCKET_BYTES: u64 = 16;
/// Address spaces at least, and at most: 4 MiB.
const SPACES: (u64, u64) = (8192, 1 << 18);
/// Contexts and address spaces at most where all of their memory is taken at once: some 18 MiB and 1 MiB.
const AT_ONCE: (u32, u32) = ((1 << 17) - 1, 8192);

impl Sizes {
    /// Room for every context that the host's memory can hold, whatever becomes of the limit later: up to 1,048,575, and beyond that for what
    /// the limit allows now, as far as 1/4096 of the memory goes. `memory`: bytes of the host's.
    pub fn for_host(memory: u64, aio_max_nr: u64) -> Self {
        let can_be = (memory / CONTEXT_BYTES).saturating_sub(1);
        let at_once = (memory / PART_OF_MEMORY / BUCKET_BYTES).saturating_sub(1);
        let contexts = can_be
            .min(CONTEXTS_USUALLY.max(aio_max_nr.min(at_once)))
            .clamp(CONTEXTS_AT_LEAST, CONTEXTS_AT_MOST);
        let spaces = (memory / PROCESS_BYTES).clamp(SPACES.0, SPACES.1).min(contexts);
        let narrow = |number| u32::try_from(number).unwrap_or(u32::MAX);
        Self { contexts: narrow(contexts), spaces: narrow(spaces), by_host: true, ..Self::of(0) }
    }

    /// Room for that many contexts, each in an address space of its own.
    pub fn of(contexts: u32) -> Self {
        Self { contexts, spaces: contexts, buffer: 512 * 1024, by_host: false }
    }

    /// Less room, where the kernel takes all memory of a map at once; but as much as was asked for.
    #[must_use]
    pub fn taken_at_once(self) -> Self {
        let (contexts, spaces) = if self.by_host { AT_ONCE } else { (u32::MAX, u32::MAX) };
        Self { contexts: self.contexts.min(contexts), spaces: self.spaces.min(spaces), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    /// Check that the map has room for what memory can hold, whatever the limit is at the start, and that what the kernel takes at once stays small.
    #[test]
    fn sizes() {
        for (memory, aio_max_nr, contexts, spaces) in [
            (GIB / 8, 65_536, 65_535, 8192),
            (GIB / 2, 65_536, 131_071, 8192),
            (GIB, 65_536, 262_143, 16_384),
            (8 * GIB, 65_536, (1 << 20) - 1, 131_072),
            (24 * GIB, 1 << 40, (1 << 20) - 1, 1 << 18),
            (256 * GIB, 65_536, (1 << 20) - 1, 1 << 18),
            (256 * GIB, 3_145_728, 3_145_728, 1 << 18),
            (256 * GIB, u64::MAX, (1 << 22) - 1, 1 << 18),
            (u64::MAX, u64::MAX, (1 << 24) - 1, 1 << 18),
            (0, 0, 65_535, 8192),
        ] {
            let sizes = Sizes::for_host(memory, aio_max_nr);
            assert_eq!((sizes.contexts, sizes.spaces), (contexts, spaces), "{memory} {aio_max_nr}");
        }
    }

    /// Check that less is taken where it is taken at once, unless so much was asked for.
    #[test]
    fn at_once() {
        let large = Sizes::for_host(256 * GIB, 3_145_728).taken_at_once();
        assert_eq!((large.contexts, large.spaces), (131_071, 8192));
        let small = Sizes::for_host(GIB / 8, 65_536);
        assert_eq!(small.taken_at_once(), small);
        assert_eq!(Sizes::of(1 << 20).taken_at_once(), Sizes::of(1 << 20));
    }

    /// Check that room grows by what is wanted and never shrinks.
    #[test]
    fn grows() {
        let grown = Capacity::PIECE.grown(40_000, 10);
        assert_eq!(grown, Capacity { contexts: 60_000, ..Capacity::PIECE });
        assert!(grown.holds(60_000, 2048, 2048) && !Capacity::PIECE.holds(1025, 0, 0));
        assert!(!grown.holds(0, 2049, 0) && !grown.holds(0, 0, 2049));
        assert_eq!(grown.grown(5, 5), grown);
        assert_eq!(grown.grown(u32::MAX, 0).contexts, u32::MAX);
    }
}
