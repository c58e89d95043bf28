//! The looks by which a watch sees owners grow: a few in an hour, and none while nothing happens.

use std::time::Duration;

use aioinspect_kernel::host::clock;
use aioinspect_model::event::{Event, Holder, Timed};
use aioinspect_model::evidence::SystemFacts;
use aioinspect_model::headroom::free;
use aioinspect_model::owner_growth::{Growing, OwnerGrowth};
use aioinspect_model::units::Instant;

/// How owners grow, and when that is looked at next.
pub(super) struct GrowthLooks {
    fold: OwnerGrowth,
    due: Instant,
    /// Who has slots since the last look at everybody; `None`: something happened since.
    owners: Option<Vec<Holder>>,
}

impl GrowthLooks {
    /// Looks from now on. `after`: for how long an owner must have grown.
    pub(super) fn after(after: Duration) -> Self {
        Self { fold: OwnerGrowth::after(after), due: Instant(0), owners: None }
    }

    /// Hears what happened: a call that fails changes nothing.
    pub(super) fn hear(&mut self, events: &[Timed]) {
        let changes = |timed: &Timed| match timed.event {
            Event::SetupFailed { .. }
            | Event::SubmitFailed { .. }
            | Event::Dying { .. }
            | Event::Gone { .. }
            | Event::Growth { .. } => false,
            Event::Existing { .. }
            | Event::Setup { .. }
            | Event::Destroy { .. }
            | Event::Exec { .. }
            | Event::Exit { .. }
            | Event::Lost { .. }
            | Event::Healed { .. } => true,
        };
        if events.iter().any(changes) {
            self.owners = None;
        }
    }

    /// Whether it is time for a look; if so, the next one has its own time.
    pub(super) fn take_turn(&mut self) -> bool {
        let now = clock::now();
        let is_due = now >= self.due;
        if is_due {
            self.due = Instant(now.0.saturating_add(self.fold.look_every_ns()));
        }
        is_due
    }

    /// Whether that look must be at everybody.
    pub(super) fn is_stale(&self) -> bool {
        self.owners.is_none()
    }

    /// Takes the owners that a look at everybody found, the largest first.
    pub(super) fn renew(&mut self, owners: Vec<Holder>) {
        self.owners = Some(owners);
    }

    /// Adds the look; what is to be told of it.
    pub(super) fn add(&mut self, facts: &SystemFacts) -> Vec<Timed> {
        let (now, unix_ns) = (clock::now(), clock::unix_now());
        let (free, limit) = (free(facts.aio_nr, facts.aio_max_nr), facts.aio_max_nr);
        self.fold.observe(now, unix_ns, self.owners.as_deref().unwrap_or_default(), free);
        let told = |growing| Event::Growth { growing: Box::new(growing), free, limit };
        self.fold.news().into_iter().map(|one| Timed { at: now, unix_ns, event: told(one) }).collect()
    }

    /// The owners that grow.
    pub(super) fn growing(&self) -> Vec<Growing> {
        self.fold.growing()
    }
}
