//! One event of each kind, for tests.

use aioinspect_model::awaited::Awaited;
use aioinspect_model::event::{Actor, Event, Failure, Holder, Timed};
use aioinspect_model::evidence::Doing;
use aioinspect_model::owner_growth::{Growing, Rate, Sample};
use aioinspect_model::picture::Owner;
use aioinspect_model::submit_failure::{Arguments, Call, Cause, SubmitFailure};
use aioinspect_model::units::{ContextId, Instant, Pid, Tid};

/// Noon of a day, in nanoseconds since 1970.
const NOON: u64 = 1_769_860_800_000_000_001;

fn by(comm: &[u8], pid: u32, tid: u32) -> Actor {
    Actor { pid: Pid(pid), tid: Tid(tid), comm: comm.to_vec(), owner: None }
}

fn at(nth: u64, event: Event) -> Timed {
    Timed { at: Instant(nth), unix_ns: NOON + nth * 1_234_567, event }
}

/// A failure as the host's limit makes it.
pub(crate) fn failure() -> Failure {
    let holder = |pid, comm: &[u8], slots, contexts| Holder {
        pid: Pid(pid),
        comm: comm.to_vec(),
        owner: Owner::default(),
        processes: 1,
        contexts,
        slots,
    };
    Failure {
        errno: 11,
        requested: 5000,
        free: Some(120),
        limit: Some(65536),
        initial: Some(0),
        largest: vec![nginx(), holder(123, b"mysqld", 1024, 8), holder(9, b"\x1b[2J\"\n", 128, 1)],
        more: 0,
    }
}

fn nginx() -> Holder {
    Holder {
        pid: Pid(64),
        comm: b"nginx".to_vec(),
        owner: Owner { unit: "nginx.service".into(), ..Owner::default() },
        processes: 63,
        contexts: 63,
        slots: 63_000,
    }
}

/// An owner that grows.
pub(crate) fn growing() -> Growing {
    const SECOND: u64 = 1_000_000_000;
    let since = Sample { at: Instant(1), unix_ns: NOON - 11_107 * SECOND, slots: 51_000, contexts: 51 };
    Growing {
        owner: nginx(),
        since,
        for_ns: 11_107 * SECOND,
        rate: Rate { more: 4000, ns: 3600 * SECOND },
        limit_in_ns: Some(2286 * SECOND),
    }
}

/// One of which little is known.
fn growing_contexts() -> Growing {
    Growing {
        owner: Holder {
            pid: Pid(9),
            comm: b"\x1b[2J".to_vec(),
            processes: 1,
            contexts: 9,
            ..Holder::default()
        },
        since: Sample { contexts: 4, slots: 0, ..growing().since },
        limit_in_ns: None,
        ..growing()
    }
}

fn container() -> Owner {
    Owner {
        runtime: "docker".into(),
        unit: "docker-0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0.scope".into(),
        container: "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0".into(),
        ..Owner::default()
    }
}

/// With a name that somebody chose.
fn unit() -> Owner {
    Owner { unit: "a\u{1b}[31m.service".into(), ..Owner::default() }
}

fn nameless(contexts: Option<u32>) -> Awaited {
    Awaited { context: ContextId::UNKNOWN, contexts, max_reqs: None, in_flight: None }
}

/// All kinds, and of each what may be unknown.
pub(crate) fn all() -> Vec<Timed> {
    let context = ContextId(0x7f12_0000_0000);
    let events = vec![
        Event::Existing { by: by(b"mysqld", 1234, 0), context, max_reqs: 128 },
        Event::Existing { by: by(b"unknown", 1, 0), context: ContextId(0x1000), max_reqs: 0 },
        Event::Setup { by: by(b"mysqld", 1234, 1240), context, max_reqs: 128 },
        Event::Setup { by: by(b"a-long-name-15b", 4_194_304, 4_194_304), context, max_reqs: 1 },
        Event::Setup { by: by("名前".as_bytes(), 5, 5), context, max_reqs: 1 },
        Event::Setup { by: by(b"\x1b[31m\xff\n", 6, 6), context, max_reqs: 1 },
        Event::SetupFailed { by: by(b"x", 1, 1), failure: failure() },
        Event::SetupFailed {
            by: by(b"x", 1, 1),
            failure: Failure { errno: 11, requested: 7, ..Failure::default() },
        },
        Event::SetupFailed {
            by: by(b"x", 1, 1),
            failure: Failure {
                errno: 22,
                requested: 1,
                free: Some(-3),
                initial: Some(0xfe),
                ..Failure::default()
            },
        },
        Event::SetupFailed { by: by(b"x", 1, 1), failure: Failure { errno: 516, ..Failure::default() } },
        Event::Destroy { by: by(b"mysqld", 1234, 1240), context, max_reqs: 128, took_ns: 32_123_456 },
        Event::Exec { by: by(b"sh", 77, 77), contexts: 3 },
        Event::Exit { by: by(b"mysqld", 1234, 1234), contexts: 1 },
        Event::Lost { count: 12 },
        Event::Healed { count: 1 },
        Event::SetupFailed {
            by: Actor { owner: Some(container().into()), ..by(b"db", 3, 3) },
            failure: Failure { errno: 14, requested: 1, ..Failure::default() },
        },
        Event::Setup { by: Actor { owner: Some(unit().into()), ..by(b"db", 3, 3) }, context, max_reqs: 1 },
        Event::Exit { by: Actor { owner: Some(Owner::default().into()), ..by(b"sh", 4, 4) }, contexts: 1 },
        Event::Dying {
            by: by(b"mysqld", 1234, 1240),
            of: Awaited { context, contexts: Some(1), max_reqs: Some(128), in_flight: Some(4) },
            doing: Doing::Destroy,
            waited_ns: Some(12_345_678),
        },
        Event::Dying {
            by: Actor { owner: Some(unit().into()), ..by(b"lvm", 7, 7) },
            of: nameless(Some(3)),
            doing: Doing::Exit,
            waited_ns: Some(125_000_000_000),
        },
        Event::Dying { by: by(b"sh", 8, 8), of: nameless(None), doing: Doing::Exec, waited_ns: None },
        Event::Dying {
            by: by(b"ps", 9, 9),
            of: Awaited { max_reqs: None, in_flight: Some(1), ..nameless(Some(1)) },
            doing: Doing::LastUse,
            waited_ns: Some(1),
        },
        Event::Gone { by: by(b"mysqld", 1234, 1240), context, waited_ns: 2_500_000_000 },
        Event::Gone { by: by(b"lvm", 7, 7), context: ContextId::UNKNOWN, waited_ns: 130_000_000_000 },
        Event::SubmitFailed {
            by: Actor { owner: Some(container().into()), ..by(b"qemu", 1234, 0) },
            failure: SubmitFailure {
                call: Call::Submit,
                errno: 11,
                count: 4812,
                arguments: Arguments { context, second: 1, third: 0x1000 },
                cause: Cause::NoCredits,
            },
        },
        Event::SubmitFailed {
            by: by(b"redis", 6, 0),
            failure: SubmitFailure {
                call: Call::Pgetevents,
                errno: 1,
                count: 1,
                arguments: Arguments::default(),
                cause: Cause::Refused,
            },
        },
        Event::Growth { growing: growing().into(), free: 2536, limit: 65_536 },
        Event::Growth { growing: growing_contexts().into(), free: -7, limit: 65_536 },
    ];
    (0..).zip(events).map(|(nth, event)| at(nth, event)).collect()
}
