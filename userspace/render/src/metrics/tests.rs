use crate::metrics::*;
use aioinspect_model::event::{Actor, Event, Failure, Timed};
use aioinspect_model::finding::Finding;
use aioinspect_model::known::Fact;
use aioinspect_model::owner_sums::by_labels;
use aioinspect_model::picture::{ContextView, Owner};
use aioinspect_model::reconcile::reconcile;
use aioinspect_model::specimen;
use aioinspect_model::submit_counts::SubmitCount;
use aioinspect_model::units::{Instant, Pid, Tid};

fn exposition() -> Exposition {
    let mut picture = reconcile(&specimen::idle());
    let owner = Owner { runtime: "docker".into(), container: "0f1e".into(), ..Owner::default() };
    picture.contexts[0].owner = owner.clone().into();
    picture.contexts[0].comm = b"a\"b\\\n".as_slice().into();
    let dying = picture.contexts[0].clone();
    let findings = vec![Finding::Dying];
    picture.contexts.push(ContextView {
        dying_ns: Some(2_500_000_000),
        in_flight: Some(4),
        findings,
        ..dying
    });
    let owners = by_labels(&picture, false, 100);
    let mut call_counts = CallCounts::new(100, false);
    let by = Actor { pid: Pid(7), tid: Tid(7), comm: b"db".to_vec(), owner: None };
    let inside = Actor { owner: Some(owner.into()), ..by.clone() };
    let failure = Failure { errno: 11, requested: 128, ..Failure::default() };
    for by in [inside, by] {
        let event = Event::SetupFailed { by, failure: failure.clone() };
        call_counts.count(&Timed { at: Instant(1), unix_ns: 1_000_000_000, event });
    }
    let destroys = destroy_durations();
    destroys.observe(0.03);
    let mut submits = SubmitSums::new(9);
    let count = SubmitCount { calls: 3, short: 1, errors: vec![(9, 1)], ..SubmitCount::default() };
    submits.add(owners.owners[0].0.clone(), &count, None);
    let names = Names { pod: "db-0".into(), ..Names::default() };
    Exposition {
        system: picture.system.clone(),
        names: vec![(owners.owners[0].0.clone(), names)],
        owners,
        call_counts,
        destroys,
        submits: Some(submits),
        exporter: Exporter {
            probe: Some("fentry"),
            scan_ns: 2_500_000,
            started: 1.5,
            resident: 4096,
            cpu: 0.25,
        },
    }
}

fn text(format: Format) -> String {
    String::from_utf8(render(Arc::new(exposition()), format).unwrap()).unwrap()
}

/// Check the whole exposition against its golden text; AIOINSPECT_BLESS=1 writes it anew.
#[test]
fn golden() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/metrics/tests.prom");
    let is = text(Format::Text);
    if std::env::var_os("AIOINSPECT_BLESS").is_some_and(|value| !value.is_empty()) {
        std::fs::write(path, &is).unwrap();
    }
    assert_eq!(is, std::fs::read_to_string(path).unwrap());
}

/// Check that exactly the metrics of the list are exported, with its kinds, and only its labels.
#[test]
fn as_listed() {
    let said = text(Format::Text);
    let mut types = said.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    for metric in list::ALL {
        assert_eq!(types.next(), Some(&*format!("{} {}", metric.name, metric.kind.word())));
        let samples = said.lines().filter(|line| {
            line.strip_prefix(metric.name).is_some_and(|rest| rest.starts_with(['{', ' ', '_']))
        });
        for sample in samples {
            let inside = sample.split_once('{').map_or("", |(_, rest)| rest.rsplit_once('}').unwrap().0);
            for label in inside.split("\",").filter(|label| !label.is_empty()) {
                let name = label.split('=').next().unwrap();
                assert!(name == "le" || metric.labels.contains(&name), "{sample}");
            }
        }
    }
    assert_eq!(types.next(), None);
}

/// Check that OpenMetrics ends as it must and names the process of the last failure, and that protobuf has the native histogram's
/// buckets.
#[test]
fn the_richer_formats() {
    let open = text(Format::OpenMetrics);
    assert!(open.ends_with("# EOF\n"));
    assert!(open.contains("errno=\"EAGAIN\"} 1 # {pid=\"7\"} 1"), "{open}");
    let protobuf = render(Arc::new(exposition()), Format::Protobuf).unwrap();
    let name = b"aio_destroy_duration_seconds";
    assert!(protobuf.windows(name.len()).any(|window| window == name));
}

/// Check that what cannot be known is not there: without BPF nobody knows what is attributed.
#[test]
fn unknown_is_absent() {
    let mut unknown = exposition();
    unknown.system.unattributed = None;
    unknown.submits = None;
    unknown.exporter.probe = None;
    let said = String::from_utf8(render(Arc::new(unknown), Format::Text).unwrap()).unwrap();
    for name in ["aio_system_unattributed_events", "aio_submit", "aioinspect_probe_attached{"] {
        assert!(!said.contains(name), "{name}");
    }
}

/// Check that what this kernel does not tell is no series of an owner, and what it tells is one.
#[test]
fn unknown_is_no_series() {
    let mut it = specimen::idle();
    specimen::lose(&mut it, &[Fact::MaxReqs, Fact::PercpuAvailable, Fact::PercpuRefs, Fact::Tail]);
    let unknown = Exposition { owners: by_labels(&reconcile(&it), false, 100), ..exposition() };
    let said = String::from_utf8(render(Arc::new(unknown), Format::Text).unwrap()).unwrap();
    for name in ["aio_reserved_events{", "aio_inflight_requests{", "aio_unreaped_completions{"] {
        assert!(!said.contains(name), "{said}");
    }
    assert!(said.contains("aio_ring_slots{") && said.contains("aio_contexts{"), "{said}");
}

/// Check content negotiation by the Accept headers of Prometheus 2.42 (with and without native histograms), of Prometheus 3, of browsers
/// and of nobody.
#[test]
fn negotiation() {
    let protobuf =
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
    let table = [
        (format!("{protobuf},application/openmetrics-text;version=1.0.0;q=0.8,text/plain;q=0.5"), Format::Protobuf),
        ("application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1".into(), Format::OpenMetrics),
        ("application/openmetrics-text; version=1.0.0; escaping=allow-utf-8; q=0.5, text/plain;q=0.6".into(), Format::Text),
        ("text/html,application/xhtml+xml,*/*;q=0.8".into(), Format::Text),
        (format!("{protobuf};q=0"), Format::Text),
        ("application/vnd.google.protobuf".into(), Format::Text),
        (";;q=;,,q=x".into(), Format::Text),
        (String::new(), Format::Text),
    ];
    for (accept, format) in table {
        assert_eq!(Format::negotiated(&accept), format, "{accept}");
    }
}

/// Check that the number of missing series has those of every metric: of 1,000 names of which 100 have series, ten gauges, one errno of
/// failures, and the calls, the short ones and one errno of io_submit.
#[test]
fn dropped_series() {
    let it = exposition();
    let owners = OwnerSums { folded: 900, folded_dying: 7, ..it.owners.clone() };
    let (mut call_counts, mut submits) = (CallCounts::new(100, false), SubmitSums::new(100));
    for name in 0..1000_u32 {
        let by = Actor { pid: Pid(name), comm: name.to_string().into_bytes(), ..Actor::default() };
        let key = OwnerLabels { comm: by.comm.clone(), ..OwnerLabels::default() };
        let failure = Failure { errno: 11, ..Failure::default() };
        let event = Event::SetupFailed { by, failure };
        call_counts.count(&Timed { at: Instant(1), unix_ns: 1, event });
        let count = SubmitCount { calls: 3, errors: vec![(9, 1)], ..SubmitCount::default() };
        submits.add(key, &count, None);
    }
    let said = |it: &Exposition| {
        let text = String::from_utf8(render(Arc::new(it.clone()), Format::Text).unwrap()).unwrap();
        let line = text.lines().find(|line| line.starts_with("aioinspect_dropped_series ")).unwrap();
        line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()
    };
    assert_eq!(said(&it), 0);
    let failures = Exposition { call_counts, ..it };
    assert_eq!(said(&failures), 900);
    let submitted = Exposition { submits: Some(submits), ..failures };
    assert_eq!(said(&submitted), 900 + 900 * 3);
    assert_eq!(said(&Exposition { owners, ..submitted }), 900 + 900 * 3 + 900 * 10 + 7);
}
