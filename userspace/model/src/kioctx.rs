//! One context as the kernel keeps it: the facts of `struct kioctx`, and what follows from them.

use crate::units::ContextId;

/// The facts of one `struct kioctx` (fs/aio.c). `None`: this kernel does not tell it (model/known.rs).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Kioctx {
    /// `user_id`: what io_setup returned, moved by mremap.
    pub user_id: ContextId,
    /// Slot of `kioctx_table.table`; the kernel also writes it to the ring as `id` (fs/aio.c:ioctx_add_table).
    pub table_index: u32,
    /// `mmap_base`.
    pub mmap_base: Option<u64>,
    /// `mmap_size`: bytes of the ring, 0 while it is being made.
    pub mmap_size: Option<u64>,
    /// `nr_pages`.
    pub nr_pages: Option<u64>,
    /// `max_reqs`: the argument of io_setup, and what it costs of aio-max-nr.
    pub max_reqs: Option<u32>,
    /// `nr_events`: entries of the ring.
    pub nr_events: Option<u32>,
    /// `tail`: the next ring entry to be filled.
    pub tail: Option<u32>,
    /// `completed_events`: filled ring entries whose credit was not given back yet.
    pub completed_events: Option<u32>,
    /// `reqs_available`: credits that belong to no CPU.
    pub reqs_available: Option<i64>,
    /// `req_batch`: credits that move from those of no CPU to a CPU at a time.
    pub req_batch: Option<u32>,
    /// Sum over all possible CPUs of `kioctx_cpu.reqs_available`.
    pub percpu_available: Option<i64>,
    /// Which CPUs that sum is of, as far as it was asked for: only where `reqs_available` is less than a batch.
    pub cpu_credits: Vec<CpuCredits>,
    /// Sum over all possible CPUs of the percpu_ref `reqs`.
    pub percpu_refs: Option<i64>,
    /// `reqs.data->count`, the atomic part of that percpu_ref, bias included.
    pub atomic_refs: Option<i64>,
    /// State of that percpu_ref.
    pub ref_state: Option<RefState>,
    /// `dead`: io_destroy or exit has begun.
    pub dead: Option<bool>,
}

/// `kioctx_cpu.reqs_available` of one CPU: requests that io_submit can take there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct CpuCredits {
    /// Number of the CPU.
    pub cpu: u32,
    /// The number, not 0.
    pub credits: u32,
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

/// What one witness says of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told<T> {
    /// The number, whole.
    Is(T),
    /// It was asked while the number moved, or is past its time: what it said adds up to nothing.
    Torn,
    /// Nothing: this kernel has no such witness.
    Nothing,
}

impl<T> Told<T> {
    /// The number, if it is one.
    pub fn number(self) -> Option<T> {
        match self {
            Told::Is(number) => Some(number),
            Told::Torn | Told::Nothing => None,
        }
    }
}

impl Kioctx {
    /// Requests submitted and not completed, by the credits; by the references on a kernel that does not tell the credits.
    pub fn in_flight(&self) -> Told<u32> {
        match self.in_flight_by_credits() {
            // More than the ring has room for are none: the counters moved while they were read.
            Told::Nothing => match self.in_flight_by_refs() {
                Told::Is(count) if self.nr_events.is_some_and(|entries| count >= entries) => Told::Torn,
                told @ (Told::Is(_) | Told::Torn | Told::Nothing) => told,
            },
            told @ (Told::Is(_) | Told::Torn) => told,
        }
    }

    /// Requests submitted and not completed, from the credits: exact if nothing moved while it was read.
    ///
    /// `(nr_events - 1) - reqs_available - sum of per-CPU reqs_available - completed_events`
    /// (fs/aio.c:get_reqs_available, put_reqs_available). Torn where the sum is outside `0..nr_events`.
    pub fn in_flight_by_credits(&self) -> Told<u32> {
        let (Some(entries), Some(free), Some(percpu), Some(completed)) =
            (self.nr_events, self.reqs_available, self.percpu_available, self.completed_events)
        else {
            return Told::Nothing;
        };
        let sum = || {
            let credits = i64::from(entries).checked_sub(1)?;
            let held = credits.checked_sub(free)?.checked_sub(percpu)?.checked_sub(i64::from(completed))?;
            u32::try_from(held).ok().filter(|n| *n < entries)
        };
        sum().map_or(Told::Torn, Told::Is)
    }

    /// The same number from the second witness, the reference count: one for the context, one for each request.
    ///
    /// Torn where the reference is no longer counted per CPU (the context is dying), or the sum is none.
    pub fn in_flight_by_refs(&self) -> Told<u32> {
        match (self.ref_state, self.percpu_refs) {
            (None, _) | (Some(RefState::PerCpu), None) => Told::Nothing,
            (Some(RefState::Atomic | RefState::Dead), _) => Told::Torn,
            (Some(RefState::PerCpu), Some(refs)) => {
                let requests = refs.checked_sub(1).and_then(|refs| u32::try_from(refs).ok());
                requests.map_or(Told::Torn, Told::Is)
            }
        }
    }

    /// Requests that the end of a dying context waits for.
    ///
    /// Once its references are killed and counted in one place, their number is that of its requests: the first one is given up with the kill
    /// (fs/aio.c:free_ioctx_users). Before that (the kernel waits for RCU in between, and the count is far off until then) the credits tell.
    pub fn left(&self) -> Told<u32> {
        match (self.ref_state, self.atomic_refs) {
            (Some(RefState::Dead | RefState::Atomic), Some(refs))
                if (0..=i64::from(u32::MAX)).contains(&refs) =>
            {
                let left = u32::try_from(refs).ok();
                // More than the ring has room for are none.
                let left = left.filter(|left| self.nr_events.is_none_or(|entries| *left < entries));
                left.map_or(Told::Torn, Told::Is)
            }
            _ => self.in_flight_by_credits(),
        }
    }

    /// Which CPUs have credits, in ascending order; `None` where that is not known: it was not asked for, or they moved meanwhile.
    pub fn credits_by_cpu(&self) -> Option<&[CpuCredits]> {
        let ascend = self.cpu_credits.is_sorted_by(|a, b| a.cpu < b.cpu);
        let sum = self.cpu_credits.iter().fold(0_i64, |sum, of| sum.saturating_add(of.credits.into()));
        (ascend && self.percpu_available == Some(sum)).then_some(&self.cpu_credits)
    }

    /// Whether every witness that this kernel has says that no request is in flight, and it has one.
    pub fn is_idle(&self) -> bool {
        let witnesses = [self.in_flight_by_credits(), self.in_flight_by_refs()];
        self.dead != Some(true)
            && witnesses.contains(&Told::Is(0))
            && witnesses.iter().all(|told| matches!(told, Told::Is(0) | Told::Nothing))
    }

    /// Whether this kernel has a witness of what is in flight.
    pub fn tells_in_flight(&self) -> bool {
        self.in_flight() != Told::Nothing
    }

    /// Whether this kernel tells what it takes to count what waits to be reaped, whatever the process claims.
    pub fn tells_unreaped(&self) -> bool {
        self.tail.is_some() && self.nr_events.is_some() && self.most_unreaped().is_some()
    }

    /// The most completions that can wait in the ring; `None` where nothing bounds them.
    ///
    /// Every ring entry not reaped is counted in `completed_events`. A completion caught half-way is in the ring, not yet in completed_events, and
    /// still counts as in flight.
    pub fn most_unreaped(&self) -> Option<u32> {
        let in_flight = match self.in_flight() {
            Told::Is(in_flight) => in_flight,
            Told::Torn => 0,
            Told::Nothing => return None,
        };
        Some(self.completed_events?.saturating_add(in_flight))
    }

    /// Where the ring lies: user_id and mmap_base move together (fs/aio.c:aio_ring_mremap).
    pub fn base(&self) -> u64 {
        self.mmap_base.unwrap_or(self.user_id.0)
    }

    /// Bytes of the ring: `mmap_size`, which is `nr_pages` pages (fs/aio.c:aio_setup_ring).
    pub fn ring_len(&self, page_size: u32) -> Option<u64> {
        self.mmap_size.or_else(|| self.nr_pages?.checked_mul(page_size.into()))
    }
}

#[cfg(test)]
mod tests;
