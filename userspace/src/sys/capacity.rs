//! How much room the maps of a census have.

use aioinspect_ebpf::Control;

/// How many records the maps hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    pub(super) contexts: u32,
    pub(super) mms: u32,
    pub(super) tasks: u32,
    pub(super) rings: u32,
}

impl Capacity {
    /// Enough for a host with this many slots in use, in nearly all cases: every context holds at least one.
    pub fn for_slots(aio_nr: u64) -> Self {
        let contexts = u32::try_from(aio_nr.saturating_add(64)).unwrap_or(u32::MAX).clamp(1024, 32_768);
        Self { contexts, mms: 2048, tasks: 4096, rings: contexts.saturating_mul(2) }
    }

    /// Enough for whatever the host's limit lets come, within reason: for who cannot ask for more later.
    pub fn for_watch(aio_max_nr: u64) -> Self {
        let contexts = u32::try_from(aio_max_nr).unwrap_or(u32::MAX).clamp(8192, 32_768);
        Self { contexts, mms: 8192, tasks: 32_768, rings: contexts.saturating_mul(2) }
    }

    pub(super) fn holds(&self, control: &Control) -> bool {
        control.contexts <= self.contexts
            && control.mms <= self.mms
            && control.tasks <= self.tasks
            && control.rings <= self.rings
    }

    /// Room for what was wanted and half as much again: the host goes on while we reload.
    pub(super) fn grown(self, control: &Control) -> Self {
        let grow =
            |have: u32, wanted: u32| if wanted > have { wanted.saturating_add(wanted / 2) } else { have };
        Self {
            contexts: grow(self.contexts, control.contexts),
            mms: grow(self.mms, control.mms),
            tasks: grow(self.tasks, control.tasks),
            rings: grow(self.rings, control.rings),
        }
    }
}
