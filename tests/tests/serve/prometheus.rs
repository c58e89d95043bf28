//! What a real Prometheus makes of it: it scrapes, stores, evaluates the rules, and answers what the dashboard asks.

mod driver;
mod load;
mod panels;
mod pod;
mod secured;
mod shipped;

use std::time::{Duration, Instant};

use aioinspect_tests::host::HostLock;
use aioinspect_tests::serving::Serving;
use serde_json::Value;

use driver::{Prometheus, encoded, promtool};
use load::Load;
use pod::{CONTAINER, POD, Pod, scope};
use shipped::{dashboard, expressions, variables};

const DATABASE: &str = "comm=\"database\"";

/// Without `--collect submit`, and with a Prometheus that stores the native histogram.
const EMPTY: &[panels::Empty] = &[
    ("io_submit by owner", "no call of io_submit is counted"),
    ("Failed io_submit", "no call of io_submit is counted"),
    ("Short io_submit", "no call of io_submit is counted"),
    ("Duration of io_destroy", "it draws classic buckets, which are not stored beside the native histogram"),
];

/// The configuration of docs/fleet.md for an agent on the same host.
fn job(serving: &Serving) -> String {
    format!(
        "scrape_configs: [{{job_name: aioinspect, static_configs: [{{targets: ['{}']}}]}}]\n",
        serving.tcp()
    )
}

/// Check that Prometheus stores what the processes say of themselves: gauges that add up and end with their owner, counters that
/// rise, and, asked for by protobuf, a native histogram.
#[test]
fn it_stores_what_is() {
    let host = HostLock::take();
    let pod = Pod::new();
    let serving = Serving::start(&["--host-root", pod.root()]).unwrap();
    let prometheus = Prometheus::start(&job(&serving), &["--enable-feature=native-histograms"]);
    let mut load = Load::new(&host, &pod);
    prometheus.await_value("up{job=\"aioinspect\"}", 1);
    let held = load.held();
    assert!(held.in_flight > 0.0 && held.unreaped > 0.0, "{held:?}");
    for (name, wanted) in [
        ("aio_contexts", held.contexts),
        ("aio_reserved_events", held.reserved),
        ("aio_inflight_requests", held.in_flight),
        ("aio_unreaped_completions", held.unreaped),
    ] {
        prometheus.await_value(&format!("{name}{{{DATABASE}}}"), wanted);
    }
    prometheus.await_value(
        "sum(aio_reserved_events) + sum(aio_system_unattributed_events) - sum(aio_system_reserved_events)",
        0,
    );
    assert!(prometheus.value("aio_system_reserved_events").unwrap() >= held.reserved);
    let labels = &prometheus.await_some(&format!("aio_contexts{{{DATABASE}}}"))[0].labels;
    for (name, value) in
        [("runtime", "containerd"), ("container_id", CONTAINER), ("pod_uid", POD), ("unit", &scope())]
    {
        assert_eq!(labels[name], value, "{labels}");
    }
    let info = format!(
        "aio_owner_info{{{DATABASE}, namespace=\"shop\", pod=\"db-0\", container=\"mysql\", image=\"mysql:8\"}}"
    );
    prometheus.await_value(&info, 1);

    load.fail();
    let failures = format!("aio_setup_failures_total{{{DATABASE}, errno=\"EAGAIN\"}}");
    prometheus.await_value(&failures, 1);
    // The first failure of an owner is the first value of its series, of which increase() knows nothing.
    let board = dashboard();
    let (_, panel) =
        expressions(&board).into_iter().find(|(title, _)| title == "Failed io_setup by owner").unwrap();
    prometheus.until(&panel, || {
        let failed =
            prometheus.query(&panel).into_iter().filter(|sample| sample.labels["comm"] == "database");
        let mut errnos: Vec<Value> = failed.map(|sample| sample.labels["errno"].clone()).collect();
        errnos.sort_by_key(Value::to_string);
        (errnos == ["EAGAIN", "EINVAL"]).then_some(())
    });
    load.fail();
    load.fail();
    for name in ["increase", "rate"] {
        prometheus.await_some(&format!("{name}({failures}[5m]) > 0"));
    }
    prometheus.await_value(&failures, 3);
    prometheus.await_some("aio_setup_calls_total{result=\"EINVAL\"} >= 3");

    let destroys = "histogram_count(aio_destroy_duration_seconds)";
    let before = prometheus.await_some(destroys)[0].value;
    for _ in 0..3 {
        let id = load.plain.setup(4);
        load.plain.run(&format!("destroy {id:#x}"));
    }
    prometheus.await_some(&format!("{destroys} >= {}", before + 3.0));
    prometheus.await_some("histogram_quantile(0.9, increase(aio_destroy_duration_seconds[5m])) > 0");
    assert!(
        prometheus.query("aio_destroy_duration_seconds_bucket").is_empty(),
        "docs/metrics.md says otherwise"
    );
    load.linger();
    panels::all_draw(&prometheus, &board, EMPTY, || load.stir());

    drop(load);
    let took = prometheus.await_none(&format!("aio_contexts{{{DATABASE}}}"));
    println!("stale after {took:?}");
    // It was marked as ended: one that merely stops coming stays for five minutes.
    assert!(took < Duration::from_secs(30), "{took:?}");
    for name in ["aio_reserved_events", "aio_inflight_requests", "aio_unreaped_completions", "aio_owner_info"]
    {
        prometheus.await_none(&format!("{name}{{{DATABASE}}}"));
    }
    assert_eq!(prometheus.value("min_over_time(up[5m])"), Some(1.0), "a scrape failed");
    assert_eq!(serving.end().code, Some(0));
}

/// Check, with a Prometheus that knows no native histograms, that the shipped rules are evaluated without complaint and that a failed
/// io_setup raises its alert; that nothing the dashboard asks is without an answer under load; that exemplars name the caller; and that
/// promtool has nothing to say of the names.
#[test]
fn rules_and_dashboard_have_answers() {
    let host = HostLock::take();
    let pod = Pod::new();
    let serving = Serving::start(&["--collect", "submit", "--host-root", pod.root()]).unwrap();
    let config = format!("rule_files: ['{}']\n{}", shipped::rules().display(), job(&serving));
    let prometheus = Prometheus::start(&config, &["--enable-feature=exemplar-storage"]);
    let mut load = Load::new(&host, &pod);
    // Rules were evaluated upon a scrape, and found nothing to say.
    prometheus.await_some("instance:aio_used:ratio");
    prometheus.await_some("instance_namespace:aio_reserved_events:sum");
    assert!(alert(&prometheus, "AioSetupFailed", "EAGAIN").is_none());
    load.stir();
    let begun = Instant::now();
    for errno in ["EAGAIN", "EINVAL"] {
        let fired = prometheus.until("AioSetupFailed", || alert(&prometheus, "AioSetupFailed", errno));
        println!("{errno}: fired after {:?}", begun.elapsed());
        assert_eq!(fired["state"], "firing", "{fired}");
        let instance = serving.tcp().to_string();
        assert_eq!(
            fired["labels"],
            serde_json::json!({"alertname": "AioSetupFailed", "severity": "warning", "job": "aioinspect", "instance": instance, "result": errno})
        );
        let said = |key: &str| fired["annotations"][key].as_str().unwrap();
        assert_eq!(said("summary"), format!("{instance}: io_setup failed with {errno}"));
        let who = format!("database (unit {}, pod_uid {POD}, container_id {CONTAINER})", scope());
        assert!(said("description").contains(&who), "{fired}");
    }

    load.linger();
    answered(&prometheus, &mut load);
    let held = load.held();
    prometheus.await_value("instance_namespace:aio_reserved_events:sum{namespace=\"shop\"}", held.reserved);
    prometheus
        .await_value("instance:aio_used:ratio * aio_system_limit_events - aio_system_reserved_events", 0);
    healthy(&prometheus);
    assert!(prometheus.query("histogram_count(aio_destroy_duration_seconds)").is_empty(), "a native one");

    // Only OpenMetrics has exemplars.
    let asked = "/api/v1/query_exemplars?query=aio_setup_failures_total&start=0&end=9999999999";
    let exemplars = prometheus
        .until("exemplars", || Some(prometheus.ask(asked)).filter(|of| !of.as_array().unwrap().is_empty()));
    let pid = load.database.pid().to_string();
    let named = |series: &Value| {
        series["exemplars"].as_array().unwrap().iter().any(|one| one["labels"]["pid"] == *pid)
    };
    assert!(exemplars.as_array().unwrap().iter().all(named), "{exemplars}");

    assert_eq!(promtool(&["check", "metrics"], &serving.metrics()), (true, String::new()));
    let (content, said) = promtool(&["check", "metrics"], "# TYPE bad_total gauge\nbad_total 1\n");
    assert!(!content && said.contains("bad_total"), "promtool takes anything: {said}");
}

/// Waits, under load, until every expression of the dashboard, its variables and every recorded series have an answer.
/// None may stay empty: what is only there when something grows or fails has that here.
fn answered(prometheus: &Prometheus, load: &mut Load) {
    let board = dashboard();
    let mut open = expressions(&board);
    assert!(open.len() > 30, "{open:?}");
    let recorded = records(prometheus).into_iter().map(|name| ("recorded".to_owned(), name));
    open.extend(recorded);
    let (all, begun) = (open.len(), Instant::now());
    while !open.is_empty() {
        load.stir();
        open.retain(|(_, expr)| prometheus.query(expr).is_empty());
        assert!(begun.elapsed() < Duration::from_secs(30), "without an answer: {open:#?}");
        std::thread::sleep(Duration::from_millis(200));
    }
    println!("{all} expressions answered in {:?}", begun.elapsed());
    panels::all_draw(prometheus, &board, &[], || load.stir());
    panels::can_fail(prometheus);
    // The one that grows is the plain program: a slot each time the load is stirred.
    for title in ["Growth by owner", "Time to full by owner"] {
        let (_, expr) = expressions(&board).into_iter().find(|(is, _)| is == title).unwrap();
        let owners = prometheus.query(&expr);
        let plain = owners.iter().find(|sample| sample.labels["comm"] == "aio-fixture");
        assert!(plain.is_some_and(|sample| sample.value > 0.0), "{title}: {owners:?}");
    }
    for (label, metric) in variables(&board) {
        let values = prometheus.ask(&format!("/api/v1/label/{label}/values?match[]={}", encoded(&metric)));
        assert_eq!(values.as_array().unwrap().len(), 1, "{label} of {metric}: {values}");
    }
    // The table has every owner once, and the names of those that have any.
    let (_, table) = expressions(&board).into_iter().find(|(title, _)| title == "Owners").unwrap();
    assert_eq!(prometheus.query(&table).len(), prometheus.query("aio_reserved_events").len());
    let named =
        |sample: &driver::Sample| sample.labels["namespace"] == "shop" && sample.labels["comm"] == "database";
    assert_eq!(prometheus.query(&table).iter().filter(|sample| named(sample)).count(), 1);
}

/// What the rules file records, by Prometheus' word.
fn records(prometheus: &Prometheus) -> Vec<String> {
    let names: Vec<String> = rules(prometheus)
        .iter()
        .filter(|rule| rule["type"] == "recording")
        .map(|rule| rule["name"].as_str().unwrap().to_owned())
        .collect();
    assert!(names.len() >= 10, "{names:?}");
    names
}

fn rules(prometheus: &Prometheus) -> Vec<Value> {
    let groups = prometheus.ask("/api/v1/rules");
    groups["groups"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap().clone())
        .collect()
}

/// No rule fails to be evaluated, and none that says the exporter is at fault wants to fire.
fn healthy(prometheus: &Prometheus) {
    for rule in rules(prometheus) {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
    // Others may fire on a host that is used for more than tests.
    let never = ["AioExporterDown", "AioProbeNotAttached", "AioEventsLost"];
    for alert in prometheus.alerts() {
        let name = alert["labels"]["alertname"].as_str().unwrap();
        assert!(!never.contains(&name), "{alert}");
    }
}

fn alert(prometheus: &Prometheus, name: &str, result: &str) -> Option<Value> {
    let is = |alert: &Value| alert["labels"]["alertname"] == name && alert["labels"]["result"] == result;
    prometheus.alerts().into_iter().find(is)
}
