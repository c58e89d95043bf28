//! Threads that wait for contexts which are in no table any more, over time: from looks at them to the events `dying` and `gone`.
//!
//! Nothing tells when such a wait begins or ends, so looks are taken now and then. Every io_destroy waits for an RCU grace period, some tens of
//! milliseconds: that is no event, unless requests are left or it goes on.

use crate::awaited::{Awaited, awaited};
use crate::event::{Actor, Event, Timed};
use crate::evidence::{Doing, Wait};
use crate::units::{ContextId, Instant, Pid, Tid};

/// A wait without requests is told once it has lasted this long: an RCU grace period takes less.
const TOLD_AFTER_NS: u64 = 1_000_000_000;

/// The waits that are under way.
#[derive(Debug, Default)]
pub struct Waits {
    known: Vec<Known>,
}

/// A wait that a look met.
#[derive(Debug)]
struct Known {
    tid: Tid,
    pid: Pid,
    doing: Doing,
    context: ContextId,
    /// When it began, or was first met where the kernel does not say.
    began: Instant,
    /// For how long the thread had been asleep at the last look.
    asleep_ns: Option<u64>,
    /// Who waits, once it was told.
    told: Option<Actor>,
    /// When it was over, by an event of a call or of an exit.
    ended: Option<Instant>,
    /// The first look that did not meet it any more.
    missed: Option<Instant>,
}

impl Waits {
    /// Whether a wait that was told is not over.
    pub fn is_any(&self) -> bool {
        self.known.iter().any(|known| known.told.is_some())
    }

    /// Hears what happened: the end of a call or of an address space is the end of a wait, and dates it.
    pub fn hear(&mut self, timed: &Timed) {
        let (by, doing, context) = match &timed.event {
            Event::Destroy { by, context, .. } => (by, Doing::Destroy, Some(*context)),
            Event::Exit { by, .. } => (by, Doing::Exit, None),
            Event::Exec { by, .. } => (by, Doing::Exec, None),
            Event::Existing { .. }
            | Event::Setup { .. }
            | Event::SetupFailed { .. }
            | Event::SubmitFailed { .. }
            | Event::Dying { .. }
            | Event::Gone { .. }
            | Event::Lost { .. }
            | Event::Healed { .. }
            | Event::Growth { .. } => return,
        };
        for known in &mut self.known {
            let same = known.pid == by.pid
                && known.doing == doing
                && context.is_none_or(|context| context == known.context && known.tid == by.tid);
            if same && known.began <= timed.at {
                known.ended.get_or_insert(timed.at);
            }
        }
    }

    /// Takes a look: `waits` are all there are at `now`. Returns what is to be told, with the instants at which it happened. `who` says who waits;
    /// it is asked once for each wait that is told.
    ///
    /// An end is told at the look after the one that missed it, so that the event which dates it has time to come; `last`: no look will follow.
    pub fn look(
        &mut self,
        now: Instant,
        waits: &[Wait],
        last: bool,
        mut who: impl FnMut(&Wait) -> Actor,
    ) -> Vec<(Instant, Event)> {
        let mut events = Vec::new();
        let mut before = std::mem::take(&mut self.known);
        for wait in waits {
            for of in awaited(wait) {
                let place = before.iter().position(|known| known.is(wait, of));
                let known = place.map(|place| before.swap_remove(place));
                let mut known = known.unwrap_or_else(|| {
                    let new = Known::of(now, wait, of);
                    // A thread waits in one call at a time: the one before is over.
                    for old in before.iter_mut().filter(|old| old.is_of(wait, of)) {
                        old.ended.get_or_insert(new.began);
                    }
                    new
                });
                (known.asleep_ns, known.missed) = (wait.asleep_ns, None);
                let lasted = now.0.saturating_sub(known.began.0);
                let is_told = of.in_flight.is_some_and(|left| left > 0) || lasted >= TOLD_AFTER_NS;
                if is_told && known.told.is_none() {
                    let by = who(wait);
                    known.told = Some(by.clone());
                    let waited_ns = wait.asleep_ns.map(|_| lasted);
                    events.push((known.began, Event::Dying { by, of, doing: wait.doing, waited_ns }));
                }
                self.known.push(known);
            }
        }
        for mut known in before {
            let over = known.ended.or(known.missed).or(last.then_some(now));
            match (over, &known.told) {
                // Nobody was told that it began.
                (_, None) => {}
                (Some(at), Some(by)) => {
                    let waited_ns = at.0.saturating_sub(known.began.0);
                    events.push((at, Event::Gone { by: by.clone(), context: known.context, waited_ns }));
                }
                (None, Some(_)) => {
                    known.missed = Some(now);
                    self.known.push(known);
                }
            }
        }
        events.sort_by_key(|(at, event)| (*at, matches!(event, Event::Dying { .. })));
        events
    }
}

impl Known {
    fn of(now: Instant, wait: &Wait, of: Awaited) -> Self {
        Self {
            tid: wait.tid,
            pid: wait.pid,
            doing: wait.doing,
            context: of.context,
            began: Instant(now.0.saturating_sub(wait.asleep_ns.unwrap_or(0))),
            asleep_ns: wait.asleep_ns,
            told: None,
            ended: None,
            missed: None,
        }
    }

    /// Whether it is this wait still, which one look may have missed. A thread that has been asleep for a shorter time than before has begun another one.
    fn is(&self, wait: &Wait, of: Awaited) -> bool {
        let younger = self.asleep_ns.zip(wait.asleep_ns).is_some_and(|(before, now)| now < before);
        self.is_of(wait, of) && self.ended.is_none() && !younger
    }

    fn is_of(&self, wait: &Wait, of: Awaited) -> bool {
        let who = (self.tid, self.pid, self.doing);
        who == (wait.tid, wait.pid, wait.doing) && self.context == of.context
    }
}

#[cfg(test)]
mod tests;
