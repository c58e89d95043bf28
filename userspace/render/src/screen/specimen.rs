//! Pictures for the tests of the screen.

use aioinspect_model::event::{Actor, Event, Failure, Holder, Timed, WatchStatus};
use aioinspect_model::evidence::CensusSource;
use aioinspect_model::finding::Finding;
use aioinspect_model::picture::{About, ContextView, Outlook, Owner, Picture, SystemView};
use aioinspect_model::units::{ContextId, Instant, Pid, Tid};

/// An idle context.
pub(crate) fn context(pid: u32, id: u64) -> ContextView {
    ContextView {
        pid: Pid(pid),
        comm: b"worker".as_slice().into(),
        start_ticks: u64::from(pid),
        about: About::default().into(),
        context: ContextId(id),
        max_reqs: Some(128),
        nr_events: Some(383),
        in_flight: Some(0),
        unreaped: Some(0),
        head: Some(0),
        tail: Some(0),
        ring_len: Some(12_288),
        mapped: Some(true),
        owner: Owner::default().into(),
        origin: None,
        dying_ns: None,
        outlook: Some(Outlook::default()),
        stands_for: Some(1),
        findings: Vec::new(),
        details: Vec::new(),
    }
}

/// A picture of these contexts.
pub(crate) fn picture(contexts: Vec<ContextView>) -> Picture {
    let sum = contexts.iter().map(|context| u64::from(context.max_reqs.unwrap_or(0))).sum();
    Picture {
        system: SystemView {
            aio_nr: sum,
            aio_max_nr: 65_536,
            attributed: Some(sum),
            unattributed: Some(0),
            possible_cpus: 2,
            page_size: 4096,
            source: CensusSource::Bpf,
        },
        contexts,
        ghosts: Vec::new(),
        spaces: Vec::new(),
    }
}

/// A database with a busy and a full context, a leaking service, and an idle worker.
pub(crate) fn host() -> Picture {
    let unit = |unit: &str| Owner { unit: unit.to_owned(), ..Owner::default() };
    let database = |id: u64| ContextView {
        comm: b"mysqld".as_slice().into(),
        owner: unit("mariadb.service").into(),
        max_reqs: Some(2048),
        nr_events: Some(4223),
        ring_len: Some(135_168),
        ..context(812, id)
    };
    let leaking = |id: u64| ContextView {
        comm: b"orders".as_slice().into(),
        owner: Owner { container: "4f5e6d7c8b9a".repeat(5), ..Owner::default() }.into(),
        max_reqs: Some(16),
        nr_events: Some(127),
        ring_len: Some(4096),
        findings: vec![Finding::IdleLeak],
        details: vec![(Finding::IdleLeak, "3 contexts at the first theme, 5 at the last".to_owned())],
        ..context(20_311, id)
    };
    picture(vec![
        ContextView {
            in_flight: Some(33),
            unreaped: Some(7),
            head: Some(4220),
            tail: Some(4),
            findings: vec![Finding::InFlight, Finding::Unreaped],
            ..database(0x7f39_bb64_d000)
        },
        ContextView {
            in_flight: Some(4222),
            head: Some(17),
            tail: Some(17),
            findings: vec![Finding::InFlight, Finding::RingFull, Finding::Stuck],
            details: vec![(
                Finding::RingFull,
                "none is free until one of 4222 in flight completes and is reaped".to_owned(),
            )],
            ..database(0x7f39_bb87_7000)
        },
        leaking(0x7f96_cff3_3000),
        leaking(0x7f96_cff3_4000),
        ContextView {
            comm: "größe 名前".as_bytes().into(),
            in_flight: None,
            unreaped: None,
            head: None,
            mapped: Some(false),
            findings: vec![Finding::UnmappedRing],
            ..context(31_016, 0x7f67_0664_6000)
        },
    ])
}

/// How a live watch does.
pub(crate) fn status() -> WatchStatus {
    WatchStatus {
        hook: "fentry",
        lost: 0,
        healed: 0,
        since_unix_ns: 1_769_860_800_000_000_000,
        taken_unix_ns: 1_769_860_860_000_000_000,
        scan_ns: 130_000,
        growing: Vec::new(),
    }
}

/// One of each kind of event that matters.
pub(crate) fn events() -> Vec<Timed> {
    let by = Actor { pid: Pid(812), tid: Tid(840), comm: b"mysqld".to_vec(), owner: None };
    let context = ContextId(0x7f39_bb87_7000);
    let largest = vec![Holder {
        pid: Pid(812),
        comm: b"mysqld".to_vec(),
        processes: 1,
        contexts: 2,
        slots: 4096,
        owner: Owner::default(),
    }];
    let failure = Failure {
        errno: 11,
        requested: 65_000,
        free: Some(61_280),
        limit: Some(65_536),
        initial: Some(0),
        largest,
        more: 0,
    };
    let told = [
        Event::Existing { by: by.clone(), context, max_reqs: 2048 },
        Event::Setup { by: by.clone(), context, max_reqs: 2048 },
        Event::SetupFailed { by: by.clone(), failure },
        Event::Destroy { by, context, max_reqs: 2048, took_ns: 31_000_000 },
        Event::Lost { count: 3 },
    ];
    let at = |(second, event): (u64, Event)| {
        let unix_ns = 1_769_860_800_000_000_000_u64.saturating_add(second.saturating_mul(1_000_000_000));
        Timed { at: Instant(second), unix_ns, event }
    };
    (0..).zip(told).map(at).collect()
}
