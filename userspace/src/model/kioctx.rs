//! One context as the kernel keeps it: the facts of `struct kioctx`, and what follows from them.

use super::units::ContextId;

/// The facts of one `struct kioctx` (fs/aio.c).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Kioctx {
    /// `user_id`: what io_setup returned, moved by mremap.
    pub user_id: ContextId,
    /// Slot of `kioctx_table.table`; the kernel also writes it to the ring as `id` (fs/aio.c:ioctx_add_table).
    pub table_index: u32,
    /// `mmap_base`.
    pub mmap_base: u64,
    /// `mmap_size`: bytes of the ring, 0 while it is being made.
    pub mmap_size: u64,
    /// `nr_pages`.
    pub nr_pages: u64,
    /// `max_reqs`: the argument of io_setup, and what it costs of aio-max-nr.
    pub max_reqs: u32,
    /// `nr_events`: slots of the ring.
    pub nr_events: u32,
    /// `tail`: the next slot to be filled.
    pub tail: u32,
    /// `completed_events`: filled slots whose credit was not given back yet.
    pub completed_events: u32,
    /// `reqs_available`: credits that belong to no CPU.
    pub reqs_available: i64,
    /// Sum over all possible CPUs of `kioctx_cpu.reqs_available`.
    pub percpu_available: i64,
    /// Sum over all possible CPUs of the percpu_ref `reqs`.
    pub percpu_refs: i64,
    /// `reqs.data->count`, the atomic part of that percpu_ref, bias included.
    pub atomic_refs: i64,
    /// State of that percpu_ref.
    pub ref_state: RefState,
    /// `dead`: io_destroy or exit has begun.
    pub dead: bool,
}

/// Mode of a percpu_ref (`percpu_count_ptr & 3`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RefState {
    /// Counted per CPU: the living state.
    #[default]
    PerCpu,
    /// Counted in one place (`__PERCPU_REF_ATOMIC`).
    Atomic,
    /// Killed (`__PERCPU_REF_DEAD`).
    Dead,
}

impl Kioctx {
    /// Requests submitted and not completed, from the credits: exact if nothing moved while it was read.
    ///
    /// `(nr_events - 1) - reqs_available - sum of per-CPU reqs_available - completed_events`
    /// (fs/aio.c:get_reqs_available, put_reqs_available). `None` where the sum is outside `0..nr_events`: it was torn.
    pub fn in_flight(&self) -> Option<u32> {
        let credits = i64::from(self.nr_events).checked_sub(1)?;
        let held = credits
            .checked_sub(self.reqs_available)?
            .checked_sub(self.percpu_available)?
            .checked_sub(i64::from(self.completed_events))?;
        u32::try_from(held).ok().filter(|n| *n < self.nr_events)
    }

    /// The same number from the second witness, the reference count: one for the context, one for each request.
    ///
    /// `None` when the reference is no longer counted per CPU (the context is dying), or the sum is torn.
    pub fn in_flight_by_refs(&self) -> Option<u32> {
        match self.ref_state {
            RefState::PerCpu => u32::try_from(self.percpu_refs.checked_sub(1)?).ok(),
            RefState::Atomic | RefState::Dead => None,
        }
    }
}
