//! Events in a recording: which field of the model is which of a message.

use std::sync::Arc;

use aioinspect_proto::schema::recording as file;

use crate::stored::{ConvertError, Result, Stored, choices, messages};
use aioinspect_model::awaited::Awaited;
use aioinspect_model::event::{Actor, Event, Failure, Holder, Timed};
use aioinspect_model::owner_growth::{Growing, Rate, Sample};
use aioinspect_model::picture::Owner;
use aioinspect_model::submit_failure::{Arguments, Call, Cause, SubmitFailure};
use file::event::What;

choices! {
    Call "the call that failed" { Submit, Getevents, Pgetevents }
}

messages! {
    Actor { pid, tid, comm, owner };
    Owner required "owner" { runtime, unit, container, pod, cgroup };
    Failure { errno, requested, free, limit, initial, largest, more };
    Holder required "owner" { pid, comm, owner, processes, contexts, slots };
    SubmitFailure { call, errno, count, arguments, cause };
    Arguments required "arguments" { context, second, third };
    Growing required "growing" { owner, since, for_ns, rate, limit_in_ns };
    Sample required "since" { unix_ns, slots, contexts } renamed { at = at_ns };
    Rate required "rate" { more, ns };
    Awaited required "of" { context, contexts, max_reqs, in_flight };
}

impl Stored<file::Owner> for Arc<Owner> {
    fn store(&self) -> file::Owner {
        self.as_ref().store()
    }

    fn load(stored: file::Owner) -> Result<Self> {
        Owner::load(stored).map(Arc::new)
    }
}

impl Stored<Option<file::Cause>> for Cause {
    fn store(&self) -> Option<file::Cause> {
        let finding = self.finding().unwrap_or_default().to_owned();
        Some(file::Cause { word: self.word().to_owned(), finding })
    }

    fn load(stored: Option<file::Cause>) -> Result<Self> {
        let file::Cause { word, finding } = stored.ok_or(ConvertError::Missing("cause"))?;
        // A word that a later version has is no reason to lose the failure.
        Ok(Cause::from_word(&word, finding).unwrap_or_default())
    }
}

/// Counts of what is in memory.
impl Stored<u64> for usize {
    fn store(&self) -> u64 {
        u64::try_from(*self).unwrap_or(u64::MAX)
    }

    fn load(stored: u64) -> Result<Self> {
        Ok(usize::try_from(stored).unwrap_or(usize::MAX))
    }
}

impl Stored<i32> for i32 {
    fn store(&self) -> i32 {
        *self
    }

    fn load(stored: i32) -> Result<Self> {
        Ok(stored)
    }
}

/// The message of events.
pub(super) fn events_to_proto(events: &[Timed]) -> file::Events {
    file::Events { events: events.iter().map(Stored::store).collect() }
}

/// The events of a message.
pub(super) fn events_from_proto(events: file::Events) -> Result<Vec<Timed>> {
    Stored::load(events.events)
}

impl Stored<file::Event> for Timed {
    fn store(&self) -> file::Event {
        let context = |context: aioinspect_model::units::ContextId, max_reqs| file::Context {
            context: context.store(),
            max_reqs,
        };
        let what = match &self.event {
            Event::Existing { by: _, context: of, max_reqs } => What::Existing(context(*of, *max_reqs)),
            Event::Setup { by: _, context: of, max_reqs } => What::Setup(context(*of, *max_reqs)),
            Event::SetupFailed { by: _, failure } => What::SetupFailed(failure.store()),
            Event::Destroy { by: _, context, max_reqs, took_ns } => What::Destroy(file::Destroyed {
                context: context.store(),
                max_reqs: *max_reqs,
                took_ns: *took_ns,
            }),
            Event::Exec { by: _, contexts } => What::Exec(*contexts),
            Event::Exit { by: _, contexts } => What::Exit(*contexts),
            Event::Dying { by: _, of, doing, waited_ns } => {
                What::Dying(file::Dying { of: of.store(), doing: doing.store(), waited_ns: *waited_ns })
            }
            Event::Gone { by: _, context, waited_ns } => {
                What::Gone(file::Gone { context: context.store(), waited_ns: *waited_ns })
            }
            Event::SubmitFailed { by: _, failure } => What::SubmitFailed(failure.store()),
            Event::Growth { growing, free, limit } => {
                What::Growth(file::Growth { growing: growing.as_ref().store(), free: *free, limit: *limit })
            }
            Event::Lost { count } => What::Lost(*count),
            Event::Healed { count } => What::Healed(*count),
        };
        file::Event {
            at_ns: self.at.store(),
            unix_ns: self.unix_ns,
            by: self.event.actor().map(Stored::store),
            what: Some(what),
        }
    }

    fn load(stored: file::Event) -> Result<Self> {
        let file::Event { at_ns, unix_ns, by, what } = stored;
        let by = || by.map(Actor::load).transpose()?.ok_or(ConvertError::Without("an event", "by"));
        let event = match what.ok_or(ConvertError::Without("an event", "what"))? {
            What::Existing(file::Context { context, max_reqs }) => {
                Event::Existing { by: by()?, context: Stored::load(context)?, max_reqs }
            }
            What::Setup(file::Context { context, max_reqs }) => {
                Event::Setup { by: by()?, context: Stored::load(context)?, max_reqs }
            }
            What::SetupFailed(failure) => Event::SetupFailed { by: by()?, failure: Stored::load(failure)? },
            What::Destroy(file::Destroyed { context, max_reqs, took_ns }) => {
                Event::Destroy { by: by()?, context: Stored::load(context)?, max_reqs, took_ns }
            }
            What::Exec(contexts) => Event::Exec { by: by()?, contexts },
            What::Exit(contexts) => Event::Exit { by: by()?, contexts },
            What::Dying(file::Dying { of, doing, waited_ns }) => {
                Event::Dying { by: by()?, of: Stored::load(of)?, doing: Stored::load(doing)?, waited_ns }
            }
            What::Gone(file::Gone { context, waited_ns }) => {
                Event::Gone { by: by()?, context: Stored::load(context)?, waited_ns }
            }
            What::SubmitFailed(failure) => Event::SubmitFailed { by: by()?, failure: Stored::load(failure)? },
            What::Growth(file::Growth { growing, free, limit }) => {
                Event::Growth { growing: Box::new(Stored::load(growing)?), free, limit }
            }
            What::Lost(count) => Event::Lost { count },
            What::Healed(count) => Event::Healed { count },
        };
        Ok(Timed { at: Stored::load(at_ns)?, unix_ns, event })
    }
}
