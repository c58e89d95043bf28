//! The endpoints by the letter of HTTP: status, headers, methods, names, formats.

use std::collections::BTreeSet;

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::host::{HostLock, aio_max_nr};
use aioinspect_tests::programs::run_aioinspect;
use aioinspect_tests::serving::{Answer, Serving, in_every_document};
use prost::Message as _;
use serde_json::Value;

use crate::client::{Follower, samples};

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROTOBUF: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
const PLAIN: &str = "text/plain; charset=utf-8";

/// Sends a request line with these headers; `{host}` is where the server listens.
fn ask(serving: &Serving, line: &str, headers: &[&str]) -> Answer {
    let mut request = format!("{line} HTTP/1.1\r\nConnection: close\r\n");
    for header in headers {
        request.push_str(header);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    serving.raw(request.replace("{host}", &serving.tcp().to_string()).as_bytes())
}

fn check_common(answer: &Answer, what: &str) {
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("cross-origin-resource-policy", "same-origin"),
        ("x-frame-options", "DENY"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{what}: {}", answer.head);
    }
    let csp = answer.header("content-security-policy").unwrap();
    assert!(
        csp.starts_with("default-src 'none'; ") && csp.contains("frame-ancestors 'none'"),
        "{what}: {csp}"
    );
    assert!(!csp.contains("unsafe"), "{what}: {csp}");
}

/// Check the status, the type and the headers of every address, and that HEAD answers the same head without a body.
#[test]
fn each_address() {
    let serving = Serving::start(&[]).unwrap();
    for (path, status, content_type, of_fixed_length) in [
        ("/", 200, "text/html; charset=utf-8", false),
        ("/?sort=comm", 200, "text/html; charset=utf-8", false),
        ("/metrics", 200, TEXT, false),
        ("/api/v1/contexts", 200, "application/json", false),
        ("/api/v1/owners", 200, "application/json", false),
        ("/api/v1/history", 200, "application/json", false),
        ("/plot?span=1h", 200, "text/html; charset=utf-8", false),
        ("/healthz", 200, PLAIN, true),
        ("/readyz", 200, PLAIN, true),
        ("/metrics/", 404, PLAIN, true),
        ("//metrics", 404, PLAIN, true),
        ("/%2e%2e/etc/passwd", 404, PLAIN, true),
        ("/api", 404, PLAIN, true),
    ] {
        let get = ask(&serving, &format!("GET {path}"), &["Host: {host}"]);
        let head = ask(&serving, &format!("HEAD {path}"), &["Host: {host}"]);
        for answer in [&get, &head] {
            assert_eq!(
                (answer.status, answer.header("content-type")),
                (status, Some(content_type)),
                "{path}"
            );
            check_common(answer, path);
        }
        let length = |answer: &Answer| answer.header("content-length").unwrap().parse::<usize>().unwrap();
        assert!(get.body.len() == length(&get) && !get.body.is_empty(), "{path}: {}", get.head);
        assert_eq!(head.body, b"", "{path}");
        // The length of what GET would answer, which is another each time where it has the CPU time used.
        assert!(
            length(&head) > 0 && (!of_fixed_length || length(&head) == length(&get)),
            "{path}: {}",
            head.head
        );
    }
    let head = ask(&serving, "HEAD /api/v1/events", &["Host: {host}"]);
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
    assert_eq!((head.body.len(), head.header("content-length")), (0, None), "{}", head.head);
    check_common(&head, "/api/v1/events");
    assert_eq!(serving.get("/healthz").text(), "ok\n");
    assert_eq!(serving.get("/readyz").text(), "ready\n");
}

/// Check what is refused: other methods, other names, no name or two, and that a target with a name is held to that name.
#[test]
fn refusals() {
    let serving = Serving::start(&["--host", "Box.Example"]).unwrap();
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW", "get"] {
        let answer = ask(&serving, &format!("{method} /metrics"), &["Host: {host}"]);
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{method}: {answer:?}");
        check_common(&answer, method);
    }
    for line in ["OPTIONS *", "CONNECT localhost:1", "POST /no-such"] {
        assert_eq!(ask(&serving, line, &["Host: {host}"]).status, 405, "{line}");
    }
    for (line, hosts, status) in [
        ("GET /healthz", vec!["Host: {host}"], 200),
        ("GET /healthz", vec!["Host: LOCALHOST:1"], 200),
        ("GET /healthz", vec!["Host: [::1]:9827"], 200),
        ("GET /healthz", vec!["Host: box.example:80"], 200),
        ("GET /healthz", vec!["Host: evil.example"], 421),
        ("GET /healthz", vec!["Host: localhost.evil.example"], 421),
        ("GET /healthz", vec!["Host: 127.0.0.1.evil.example:9827"], 421),
        ("GET /healthz", vec!["Host: "], 421),
        ("GET /healthz", vec!["Host: \u{e9}"], 400),
        ("GET /healthz", vec![], 400),
        ("GET /healthz", vec!["Host: {host}", "Host: {host}"], 400),
        ("GET /healthz", vec!["Host: {host}", "Host: evil.example"], 400),
        ("GET http://localhost/healthz", vec!["Host: evil.example"], 200),
        ("GET http://evil.example/healthz", vec!["Host: {host}"], 421),
        ("GET http://localhost/healthz", vec!["Host: {host}", "Host: {host}"], 400),
        ("GET http://localhost@evil.example/healthz", vec!["Host: {host}"], 421),
    ] {
        let answer = ask(&serving, line, &hosts);
        assert_eq!(answer.status, status, "{line} {hosts:?}: {answer:?}");
        check_common(&answer, line);
    }
    let old = serving.raw(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n");
    assert_eq!((old.status, old.text().as_str()), (200, "ok\n"));
    // Two on one connection, sent at once: answered in turn.
    let both = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /no HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answers = serving.raw(both).text();
    assert!(answers.starts_with("ok\nHTTP/1.1 404 "), "{answers}");
}

/// A metric family of Prometheus' protobuf, as far as it is looked at.
#[derive(Clone, PartialEq, prost::Message)]
struct Family {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int32, tag = "3")]
    kind: i32,
    #[prost(bytes = "vec", repeated, tag = "4")]
    series: Vec<Vec<u8>>,
}

/// Check that each format is answered to who asks for it, whole, and that all three have the same families.
#[test]
fn formats() {
    let serving = Serving::start(&[]).unwrap();
    let asked_for = |accept: &[&str]| {
        let headers: Vec<String> = accept.iter().map(|accept| format!("Accept: {accept}")).collect();
        let answer = serving.ask("/metrics", &headers.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!((answer.status, answer.header("vary")), (200, Some("Accept")), "{accept:?}");
        answer
    };
    // What Prometheus 3 sends, with and without native histograms.
    let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                      application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;q=0.3,\
                      text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
    let with_protobuf = format!(
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,{prometheus}"
    );
    for (accept, wanted) in [
        (vec![], TEXT),
        (vec!["*/*"], TEXT),
        (vec!["image/png"], TEXT),
        (vec!["text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"], TEXT),
        (vec!["application/openmetrics-text; version=1.0.0"], OPEN_METRICS),
        (vec!["text/plain;q=0.5, application/openmetrics-text;q=0.4"], TEXT),
        (vec!["text/plain;q=0.1", "application/openmetrics-text;version=1.0.0"], OPEN_METRICS),
        (vec![prometheus], OPEN_METRICS),
        (vec![&with_protobuf], PROTOBUF),
        (vec![";;;,,q=,=;q=x"], TEXT),
    ] {
        assert_eq!(asked_for(&accept).header("content-type"), Some(wanted), "{accept:?}");
    }
    let described = |text: &str| -> BTreeSet<String> {
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        types.map(|line| line.split(' ').next().unwrap().trim_end_matches("_total").to_owned()).collect()
    };
    let text = asked_for(&[]).text();
    assert!(!text.contains("# EOF"), "{text}");
    samples(&text).unwrap();
    let open_metrics = asked_for(&["application/openmetrics-text"]).text();
    assert!(
        open_metrics.ends_with("\n# EOF\n") && open_metrics.matches("# EOF").count() == 1,
        "{open_metrics}"
    );
    let answer = asked_for(&[PROTOBUF]);
    let mut rest = answer.body.as_slice();
    let mut families = BTreeSet::new();
    while !rest.is_empty() {
        let family = Family::decode_length_delimited(&mut rest).unwrap();
        assert!(families.insert(family.name.trim_end_matches("_total").to_owned()), "{family:?}");
    }
    assert_eq!(described(&text), described(&open_metrics));
    // A family without series is described in text, and is not there in protobuf or empty.
    assert!(families.contains("aio_destroy_duration_seconds") && families.contains("aio_setup_calls"));
    assert!(families.is_subset(&described(&text)), "{families:?}");
}

/// The paths of all keys of a document.
fn keys(value: &Value, path: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            object.iter().for_each(|(key, value)| keys(value, &format!("{path}.{key}"), into))
        }
        Value::Array(array) => array.iter().for_each(|value| keys(value, &format!("{path}[]"), into)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            into.insert(path.to_owned());
        }
    }
}

/// Check that the API answers what `list -J` prints: the same keys, and the same of each context of a process that rests.
#[test]
fn contexts_are_those_of_list() {
    let host = HostLock::take();
    let serving = Serving::start(&[]).unwrap();
    let mut fixture = Fixture::spawn_alone(&host);
    let id = fixture.setup(128);
    fixture.setup(3);
    fixture.run(&format!("poll {id:#x} 5 0"));
    fixture.run(&format!("complete {id:#x} 2"));
    let ghost = fixture.pid_of("fork-ghost");
    let served = serving.contexts();
    let printed: Value = serde_json::from_str(&run_aioinspect(&["list", "-J"]).stdout).unwrap();
    let all_keys = |document: &Value| {
        let mut all = BTreeSet::new();
        keys(document, "", &mut all);
        all
    };
    let (mut served_keys, mut printed_keys) = (all_keys(&served), all_keys(&printed));
    // A server reads no files of processes, and knows when it saw a context being made.
    for key in [".contexts[].uid", ".contexts[].user", ".contexts[].ns_pid"] {
        assert!(printed_keys.remove(key), "{printed}");
    }
    assert!(served_keys.remove(".contexts[].age_seconds"), "{served}");
    assert_eq!(served_keys, printed_keys);
    let of = |document: &Value, list: &str, pid: u32| -> Vec<Value> {
        document[list].as_array().unwrap().iter().filter(|one| one["pid"] == pid).cloned().collect()
    };
    let contexts = of(&served, "contexts", fixture.pid());
    assert_eq!(contexts.len(), 2, "{served}");
    let all_alike = |contexts: &[Value]| contexts.iter().map(in_every_document).collect::<Vec<_>>();
    assert_eq!(all_alike(&contexts), all_alike(&of(&printed, "contexts", fixture.pid())));
    let busy = contexts.iter().find(|context| context["max_reqs"] == 128).unwrap();
    assert_eq!((&busy["in_flight"], &busy["unreaped"]), (&3.into(), &2.into()), "{busy}");
    assert_eq!(of(&served, "ghosts", ghost).len(), 2, "{served}");
    assert_eq!(of(&served, "ghosts", ghost), of(&printed, "ghosts", ghost));
    assert_eq!(served["system"], printed["system"]);
}

/// Check that a process cannot speak through its name: metrics, JSON, events and page stay what they are.
#[test]
fn hostile_names() {
    let host = HostLock::take();
    let serving = Serving::start(&[]).unwrap();
    for name in [
        b"a\"} 1\nevil 2".as_slice(),
        b"\\\\\"\\n\\",
        b"</script><b>",
        b"'\"><svg/onload",
        b"\xff\xfe\xc3\x28\x80",
        b"\x1b[31mred\x1b[0m",
        b"\xe2\x80\xae\xe2\x80\x8b\xc2\x85\xe2\x80\xa8x",
        b"\rx\r\n\ny: z",
        b"{{7*7}}${x}",
        b"a,b=\"c\"",
    ] {
        let mut fixture = Fixture::spawn_alone(&host);
        let hex: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut follower = Follower::new(&serving, None);
        fixture.run(&format!("set-comm {hex}"));
        fixture.setup(9);
        assert_eq!(fixture.try_run(&format!("setup {}", aio_max_nr() + 1)).unwrap_err().errno, 11);
        let shown = name.escape_ascii().to_string();
        let told = follower.expect(fixture.pid(), "setup-failed");
        let comm = told.data["comm"].as_str().unwrap().to_owned();
        assert!(!comm.chars().any(char::is_control) && !comm.contains('\u{202e}'), "{comm:?}");
        let contexts = serving.contexts();
        let mut listed = contexts["contexts"].as_array().unwrap().iter();
        let context = listed.find(|context| context["pid"] == fixture.pid()).unwrap();
        assert_eq!(context["comm"], comm.as_str(), "{shown}");
        let series = samples(&serving.metrics()).unwrap_or_else(|line| panic!("{shown}: {line}"));
        let of = |metric: &str| -> Vec<f64> {
            let all = series.iter().filter(|one| one.name == metric && one.labels["comm"] == comm);
            all.map(|one| one.value).collect()
        };
        assert_eq!(of("aio_reserved_events"), [9.0], "{shown}: {series:?}");
        assert_eq!(of("aio_setup_failures_total"), [1.0], "{shown}: {series:?}");
        assert!(series.iter().all(|one| one.name.starts_with("aio") || one.name.starts_with("process_")));
        let open_metrics = serving.ask("/metrics", &["Accept: application/openmetrics-text"]).text();
        assert!(open_metrics.ends_with("\n# EOF\n") && !open_metrics.contains("\nevil "), "{open_metrics}");
        let page = serving.get("/").text();
        for markup in ["</script><b>", "<svg/onload", "\x1b", "\u{202e}"] {
            assert!(!page.contains(markup), "{shown}: the page has {markup:?}");
        }
        assert_eq!(page.matches("<script").count(), page.matches("</script").count(), "{shown}");
    }
}
