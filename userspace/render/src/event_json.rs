//! Events as NDJSON, one object a line: `watch --ndjson`. The keys are a promise: added to, never renamed; what is not
//! known is null.

use std::borrow::Cow;
use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

use aioinspect_model::errno;
use aioinspect_model::event::{Actor, Event, Failure, Timed};
use aioinspect_model::setup_failure;
use aioinspect_model::submit_failure;
use aioinspect_model::units::ContextId;

use crate::escape::{escape, escaped};
use crate::growth::GrowthKeys;
use crate::holder::HolderKeys;
use crate::json::{OwnerKeys, SCHEMA_VERSION};
use crate::time;

/// Writes one event and the end of its line.
pub fn write(out: &mut dyn Write, timed: &Timed) -> io::Result<()> {
    let mut text = serde_json::to_vec(&line(timed))?;
    text.push(b'\n');
    out.write_all(&text)
}

/// One line; what an event does not have is left out, what is not known of it is null.
#[derive(Serialize)]
struct Line<'a> {
    schema_version: u32,
    time: String,
    event: &'static str,
    #[serde(flatten)]
    by: Option<By<'a>>,
    #[serde(flatten)]
    what: What<'a>,
    #[serde(flatten)]
    of: Option<Of<'a>>,
}

#[derive(Serialize)]
struct By<'a> {
    pid: u32,
    tid: Option<u32>,
    comm: Cow<'a, str>,
}

/// Of whom the process is: as `list -J` has it, null if nobody knows.
#[derive(Serialize)]
struct Of<'a> {
    owner: Option<OwnerKeys<'a>>,
}

/// What each kind of event has of its own.
#[derive(Serialize)]
#[serde(untagged)]
enum What<'a> {
    Context {
        context: String,
        max_reqs: Option<u32>,
    },
    Failed {
        errno: Cow<'static, str>,
        requested: u32,
        free: Option<i64>,
        reason: String,
        owners: Vec<HolderKeys<'a>>,
        /// Only in a recording of very many.
        #[serde(skip_serializing_if = "Option::is_none")]
        count: Option<u64>,
    },
    SubmitFailed {
        call: &'static str,
        errno: Cow<'static, str>,
        count: u64,
        context: Option<String>,
        cause: &'static str,
        reason: String,
    },
    Destroyed {
        context: String,
        max_reqs: Option<u32>,
        took_ns: u64,
    },
    Died {
        contexts: u32,
    },
    Dying {
        context: Option<String>,
        contexts: Option<u32>,
        max_reqs: Option<u32>,
        in_flight: Option<u32>,
        doing: &'static str,
        waited_seconds: Option<f64>,
    },
    Gone {
        context: Option<String>,
        waited_seconds: f64,
    },
    Counted {
        count: u64,
    },
    Growth(Box<OfGrowth<'a>>),
}

#[derive(Serialize)]
struct OfGrowth<'a> {
    #[serde(flatten)]
    owner: HolderKeys<'a>,
    #[serde(flatten)]
    growth: GrowthKeys,
    free: i64,
}

fn line(timed: &Timed) -> Line<'_> {
    Line {
        schema_version: SCHEMA_VERSION,
        time: time::full(timed.unix_ns),
        event: timed.event.word(),
        by: timed.event.actor().map(by),
        what: what(&timed.event),
        of: timed.event.actor().map(|actor| Of { owner: actor.owner.as_deref().map(OwnerKeys::from) }),
    }
}

fn by(actor: &Actor) -> By<'_> {
    By { pid: actor.pid.0, tid: Some(actor.tid.0).filter(|tid| *tid != 0), comm: escaped(&actor.comm) }
}

fn what(event: &Event) -> What<'_> {
    match event {
        Event::Existing { context, max_reqs, .. } | Event::Setup { context, max_reqs, .. } => {
            What::Context { context: hex(*context), max_reqs: known(*max_reqs) }
        }
        Event::SetupFailed { failure, .. } => failed(failure),
        Event::SubmitFailed { failure, .. } => What::SubmitFailed {
            call: failure.call.name(),
            errno: errno::name(failure.errno),
            count: failure.count,
            context: named(failure.arguments.context),
            cause: failure.cause.word(),
            reason: escape(submit_failure::in_words(failure).as_bytes()),
        },
        Event::Destroy { context, max_reqs, took_ns, .. } => {
            What::Destroyed { context: hex(*context), max_reqs: known(*max_reqs), took_ns: *took_ns }
        }
        Event::Exec { contexts, .. } | Event::Exit { contexts, .. } => What::Died { contexts: *contexts },
        Event::Dying { of, doing, waited_ns, .. } => What::Dying {
            context: named(of.context),
            contexts: of.contexts,
            max_reqs: of.max_reqs,
            in_flight: of.in_flight,
            doing: doing.word(),
            waited_seconds: waited_ns.map(seconds),
        },
        Event::Gone { context, waited_ns, .. } => {
            What::Gone { context: named(*context), waited_seconds: seconds(*waited_ns) }
        }
        Event::Lost { count } | Event::Healed { count } => What::Counted { count: *count },
        Event::Growth { growing, free, .. } => What::Growth(Box::new(OfGrowth {
            owner: HolderKeys::new(&growing.owner, Some(growing.owner.slots).filter(|slots| *slots > 0)),
            growth: GrowthKeys::from(&**growing),
            free: *free,
        })),
    }
}

fn failed(failure: &Failure) -> What<'_> {
    What::Failed {
        errno: errno::name(failure.errno),
        requested: failure.requested,
        free: failure.free,
        reason: escape(&setup_failure::in_words(failure)),
        // A context has at least one slot: 0 means that their number is not known.
        owners: failure
            .largest
            .iter()
            .map(|holder| HolderKeys::new(holder, Some(holder.slots).filter(|slots| *slots > 0)))
            .collect(),
        count: (failure.more > 0).then(|| failure.more.saturating_add(1)),
    }
}

/// An address is a string: JSON's numbers lose the low bits of large ones in many readers.
fn hex(context: ContextId) -> String {
    context.to_string()
}

fn named(context: ContextId) -> Option<String> {
    context.is_known().then(|| hex(context))
}

fn seconds(ns: u64) -> f64 {
    Duration::from_nanos(ns).as_secs_f64()
}

/// No context has 0: where it stands, the number was not seen.
fn known(max_reqs: u32) -> Option<u32> {
    Some(max_reqs).filter(|max_reqs| *max_reqs != 0)
}

#[cfg(test)]
mod tests;
