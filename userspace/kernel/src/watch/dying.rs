//! The waits for dying contexts during a watch: looked for now and then, since nothing tells of them.

use crate::bpf::error::ProbeError;
use crate::census::probe::Probe;
use crate::census::waiters::waiters;
use crate::host::clock;
use crate::watch::callers::Callers;
use crate::watch::event_records::Wall;
use aioinspect_model::event::{Actor, Timed};
use aioinspect_model::evidence::Wait;
use aioinspect_model::units::Instant;
use aioinspect_model::waits::Waits;

/// How often they are looked for. A look goes over all threads, some 60 us on a small host.
const LOOK_EVERY_NS: u64 = 1_000_000_000;
/// The same while a wait is under way: so exactly its end is known where no event tells it.
const LOOK_AGAIN_NS: u64 = 250_000_000;

/// What is known of them.
#[derive(Debug, Default)]
pub(super) struct Dying {
    waits: Waits,
    looked_at: Instant,
}

impl Dying {
    /// Whether it is time for a look.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let every = if self.waits.is_any() { LOOK_AGAIN_NS } else { LOOK_EVERY_NS };
        self.looked_at == Instant(0) || now.0.saturating_sub(self.looked_at.0) >= every
    }

    /// Hears what happened, which may be the end of a wait.
    pub(super) fn hear(&mut self, events: &[Timed]) {
        for timed in events {
            self.waits.hear(timed);
        }
    }

    /// Takes a look, and tells what began and what is over. `last`: no look will follow.
    pub(super) fn look(
        &mut self,
        probe: &mut Probe,
        callers: &mut Callers,
        last: bool,
    ) -> Result<Vec<Timed>, ProbeError> {
        let found = waiters(probe)?;
        let now = clock::now();
        self.looked_at = now;
        let waits: Vec<Wait> = found.iter().map(|waiter| waiter.wait.clone()).collect();
        let who = |wait: &Wait| {
            let waiter = found.iter().find(|waiter| waiter.wait.tid == wait.tid);
            waiter.map_or_else(Actor::default, |waiter| {
                let (comm, start_boottime) = waiter.process(probe.known());
                let owner = callers.owner_of(wait.pid, start_boottime);
                Actor { pid: wait.pid, tid: wait.tid, comm, owner }
            })
        };
        let told = self.waits.look(now, &waits, last, who);
        let wall = Wall::now();
        Ok(told.into_iter().map(|(at, event)| Timed { at, unix_ns: wall.of(at), event }).collect())
    }
}
