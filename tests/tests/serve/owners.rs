//! Who is said to hold what: containers by their control group, their names, and the series of those beyond the limit.

use std::time::{Duration, Instant};
use std::{fs, thread};

use aioinspect_tests::cgroup::Cgroup;
use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::host::{HostLock, aio_max_nr};
use aioinspect_tests::programs::run_aioinspect;
use aioinspect_tests::serving::{Serving, in_every_document, value_in};
use serde_json::Value;
use tempfile::TempDir;

const COMM: &str = "comm=\"aio-fixture\"";

/// Ids that no container of this host has: of this process and a number.
struct Ids {
    container: String,
    pod: String,
}

impl Ids {
    fn new(number: u32) -> Ids {
        let process = std::process::id();
        Ids {
            container: format!("{process:032x}{number:032x}"),
            pod: format!("{process:08x}-{number:04x}-4000-8000-00000000abcd"),
        }
    }

    /// A pod's container as the kubelet and containerd name it under systemd's driver.
    fn kubernetes(&self) -> String {
        let (pod, container) = (self.pod.replace('-', "_"), &self.container);
        format!(
            "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{pod}.slice/cri-containerd-{container}.scope"
        )
    }

    fn labels(&self) -> [String; 3] {
        [
            "runtime=\"containerd\"".to_owned(),
            format!("container_id=\"{}\"", self.container),
            format!("pod_uid=\"{}\"", self.pod),
        ]
    }
}

/// The sum of all series of a name.
fn sum(exposition: &str, name: &str) -> f64 {
    let of = |line: &str| {
        let rest = line.strip_prefix(name).filter(|rest| rest.starts_with('{'))?;
        rest.rsplit_once(' ')?.1.parse::<f64>().ok()
    };
    exposition.lines().filter_map(of).sum()
}

/// Check that a container's process bears its runtime, id and pod in gauges and in counters of failures.
#[test]
fn containers_are_labels() {
    let host = HostLock::take();
    let ids = Ids::new(1);
    let cgroup = Cgroup::new(&ids.kubernetes());
    let serving = Serving::start(&[]).unwrap();
    let (mut inside, mut outside) = (Fixture::spawn_alone(&host), Fixture::spawn_alone(&host));
    cgroup.take(inside.pid());
    inside.setup(32);
    outside.setup(8);
    let much = aio_max_nr() + 1;
    for _ in 0..2 {
        assert_eq!(inside.try_run(&format!("setup {much}")).unwrap_err().errno, 11);
    }
    let labels = ids.labels();
    let ours: Vec<&str> = labels.iter().map(String::as_str).chain([COMM]).collect();
    let failed: Vec<&str> = ours.iter().copied().chain(["errno=\"EAGAIN\""]).collect();
    serving.await_metric("aio_setup_failures_total", &failed, 2.0);
    let said = serving.metrics();
    assert_eq!(value_in(&said, "aio_contexts", &ours), Some(1.0), "{said}");
    assert_eq!(value_in(&said, "aio_reserved_events", &ours), Some(32.0), "{said}");
    // Owners of one name are told apart by where they run.
    let series: Vec<&str> =
        said.lines().filter(|line| line.starts_with("aio_contexts{") && line.contains(COMM)).collect();
    assert_eq!(series.len(), 2, "{series:?}");
    let free = series.iter().filter(|line| !line.contains("container_id=") && !line.contains("pod_uid="));
    assert_eq!(free.count(), 1, "{series:?}");
    assert!(!said.contains("aio_owner_info{"), "nobody has names here: {said}");
    drop((inside, outside));
    assert_eq!(serving.metric("aio_contexts", &ours), None);
    assert_eq!(
        serving.metric("aio_setup_failures_total", &failed),
        Some(2.0),
        "counts outlive who is counted"
    );
}

/// Check that many processes of one container are each counted for it, one that moves to another for that, and that nobody else is: the
/// control groups of those that share theirs are read once.
#[test]
fn many_in_one_container() {
    let host = HostLock::take();
    let (ids, others) = (Ids::new(5), Ids::new(6));
    let (one, other) = (Cgroup::new(&ids.kubernetes()), Cgroup::new(&others.kubernetes()));
    let serving = Serving::start(&[]).unwrap();
    let mut fixtures: Vec<Fixture> = (0..5).map(|_| Fixture::spawn_alone(&host)).collect();
    for (fixture, cgroup) in fixtures.iter_mut().zip([&one, &other, &one, &one, &one]) {
        cgroup.take(fixture.pid());
        fixture.setup(8);
    }
    let mut outside = Fixture::spawn_alone(&host);
    outside.setup(16);
    let contexts = |said: &str, ids: &Ids| {
        let labels = ids.labels();
        let all: Vec<&str> = labels.iter().map(String::as_str).chain([COMM]).collect();
        value_in(said, "aio_contexts", &all)
    };
    let said = serving.metrics();
    assert_eq!((contexts(&said, &ids), contexts(&said, &others)), (Some(4.0), Some(1.0)), "{said}");
    let free = |line: &&str| line.starts_with("aio_contexts{") && !line.contains("container_id=");
    assert!(said.lines().filter(free).any(|line| line.contains(COMM) && line.ends_with("} 1")), "{said}");
    other.take(fixtures[4].pid());
    let said = serving.metrics();
    assert_eq!((contexts(&said, &ids), contexts(&said, &others)), (Some(3.0), Some(2.0)), "{said}");
    other.take(fixtures[0].pid());
    let said = serving.metrics();
    assert_eq!((contexts(&said, &ids), contexts(&said, &others)), (Some(2.0), Some(3.0)), "{said}");
    drop((fixtures, outside));
}

/// Check that the names of a bundle below `--host-root` are told once, beside the owner's labels.
#[test]
fn names_of_bundles() {
    let host = HostLock::take();
    let ids = Ids::new(2);
    let cgroup = Cgroup::new(&ids.kubernetes());
    let root = TempDir::new().unwrap();
    let bundle = root.path().join("run/containerd/io.containerd.runtime.v2.task/k8s.io").join(&ids.container);
    fs::create_dir_all(&bundle).unwrap();
    fs::write(
        bundle.join("config.json"),
        r#"{"annotations":{"io.kubernetes.cri.sandbox-name":"db-0","io.kubernetes.cri.sandbox-namespace":"shop \"a\"",
            "io.kubernetes.cri.container-name":"mysql","io.kubernetes.cri.image-name":"docker.io/library/mysql:8"},"process":{"env":["PASSWORD=secret"]}}"#,
    )
    .unwrap();
    let serving = Serving::start(&["--host-root", root.path().to_str().unwrap()]).unwrap();
    let mut fixture = Fixture::spawn_alone(&host);
    cgroup.take(fixture.pid());
    fixture.setup(32);
    let labels = ids.labels();
    let mut all: Vec<&str> = labels.iter().map(String::as_str).chain([COMM]).collect();
    all.extend([
        "pod=\"db-0\"",
        "namespace=\"shop \\\"a\\\"\"",
        "container=\"mysql\"",
        "image=\"docker.io/library/mysql:8\"",
    ]);
    let said = serving.metrics();
    assert_eq!(value_in(&said, "aio_owner_info", &all), Some(1.0), "{said}");
    assert!(!said.contains("secret"));
    drop(fixture);
    assert_eq!(serving.metric("aio_owner_info", &all), None);
}

/// Check that `list` shows the same owner as the metrics, in columns and in JSON, as the API does.
#[test]
fn list_shows_the_same() {
    let host = HostLock::take();
    let ids = Ids::new(3);
    let cgroup = Cgroup::new(&ids.kubernetes());
    let mut fixture = Fixture::spawn_alone(&host);
    cgroup.take(fixture.pid());
    fixture.setup(32);
    let pid = fixture.pid().to_string();
    let table = run_aioinspect(&["list", "-H", "-p", &pid, "-o", "PID,RUNTIME,POD,OWNER"]);
    let row: Vec<&str> = table.stdout.split_whitespace().collect();
    let unit = format!("cri-containerd-{}.scope", ids.container);
    assert_eq!(row.get(..3), Some(&[&*pid, "containerd", &*ids.pod][..]), "{table:?}");
    assert_eq!(row.get(3), Some(&&*ids.pod), "{table:?}");
    let more = run_aioinspect(&["list", "-p", &pid, "-o", "+OWNER,RUNTIME,POD"]);
    assert_eq!(more.code, 0, "{more:?}");
    assert!(more.stdout.contains("containerd") && more.stdout.contains(&ids.pod), "{more:?}");
    let json = run_aioinspect(&["list", "-p", &pid, "-J"]);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    let owner = serde_json::json!({"runtime": "containerd", "unit": unit, "container": ids.container, "pod": ids.pod, "cgroup": ""});
    assert_eq!(json["contexts"][0]["owner"], owner, "{json}");
    let serving = Serving::start(&[]).unwrap();
    let document = serving.contexts();
    let contexts = document["contexts"].as_array().unwrap();
    let ours = contexts.iter().find(|context| context["pid"] == fixture.pid()).unwrap();
    assert_eq!(ours["owner"], owner, "{ours}");
}

/// Check that the API has owners as `headroom` does, and of the one that leaks contexts how it grows.
#[test]
fn who_grows() {
    let cgroup = Cgroup::new(&Ids::new(4).kubernetes());
    let mut fixture = Fixture::spawn();
    cgroup.take(fixture.pid());
    let serving = Serving::start(&["--growth-after", "5s"]).unwrap();
    let pod = Ids::new(4).pod;
    let begun = Instant::now();
    loop {
        fixture.setup(10);
        thread::sleep(Duration::from_millis(250));
        let answer = serving.get("/api/v1/owners");
        let said: Value = serde_json::from_slice(&answer.body).unwrap();
        let ours = said["owners"].as_array().unwrap().iter().find(|owner| owner["name"] == *pod);
        let ours = ours.unwrap_or_else(|| panic!("no {pod}: {said}"));
        let growth = &ours["growth"];
        if growth.is_null() {
            assert!(begun.elapsed() < Duration::from_secs(60), "{said}");
            continue;
        }
        assert!(growth["slots_per_hour"].as_f64().unwrap() > 3600.0, "{ours}");
        assert!(growth["slots_before"].as_u64().unwrap() < ours["slots"].as_u64().unwrap(), "{ours}");
        assert!(growth["full_in_seconds"].is_f64() && ours["more_fit"].is_u64(), "{ours}");
        assert!(said["free"].is_i64() && said["holders"].is_array(), "{said}");
        break;
    }
}

/// Check that owners beyond the limit are summed without loss, and counted.
#[test]
fn the_rest_is_summed() {
    let host = HostLock::take();
    let (few, all) = (Serving::start(&["--max-owners", "2"]).unwrap(), Serving::start(&[]).unwrap());
    // A name in hex for each of them.
    let fixtures: Vec<Fixture> = [2100, 2000, 30, 20, 10]
        .into_iter()
        .zip(b'a'..)
        .map(|(slots, letter)| {
            let mut fixture = Fixture::spawn_alone(&host);
            fixture.run(&format!("set-comm {letter:02x}{letter:02x}"));
            let id = fixture.setup(slots);
            fixture.run(&format!("poll {id:#x} 3 0"));
            fixture.run(&format!("complete {id:#x} 1"));
            fixture
        })
        .collect();
    let (some, whole) = (few.metrics(), all.metrics());
    let reserved =
        |said: &str, comm: &str| value_in(said, "aio_reserved_events", &[&format!("comm=\"{comm}\"")]);
    for (comm, slots) in [("aa", 2100.0), ("bb", 2000.0)] {
        assert_eq!(reserved(&some, comm), Some(slots), "{some}");
    }
    for (comm, slots) in [("cc", 30.0), ("dd", 20.0), ("ee", 10.0)] {
        assert_eq!((reserved(&some, comm), reserved(&whole, comm)), (None, Some(slots)), "{comm}");
    }
    let owners = whole.lines().filter(|line| line.starts_with("aio_contexts{")).count();
    assert_eq!(some.lines().filter(|line| line.starts_with("aio_contexts{")).count(), 3, "{some}");
    let sums = [
        "aio_contexts",
        "aio_reserved_events",
        "aio_ring_slots",
        "aio_ring_memory_bytes",
        "aio_inflight_requests",
    ];
    for name in sums.into_iter().chain(["aio_unreaped_completions", "aio_ghost_rings"]) {
        assert!((sum(&some, name) - sum(&whole, name)).abs() < 1e-9, "{name}: {some}\n{whole}");
    }
    assert!(
        sum(&whole, "aio_inflight_requests") >= 10.0 && sum(&whole, "aio_unreaped_completions") >= 5.0,
        "{whole}"
    );
    let dropped = |said: &str| value_in(said, "aioinspect_dropped_series", &[]).unwrap();
    // Of ten gauges each: all but that of the oldest dying context, which has none.
    let expected = f64::from(u32::try_from(owners - 2).unwrap() * 10);
    assert_eq!((dropped(&some), dropped(&whole)), (expected, 0.0), "{owners} owners");
    drop(fixtures);
}

/// Check that 50 of 50 processes that fail and end at once are counted for their container, of io_setup and of io_submit, and shown as its own, when
/// neither they nor its control group are there any more.
#[test]
fn of_those_that_end_at_once() {
    let host = HostLock::take();
    let ids = Ids::new(7);
    let serving = Serving::start(&["--collect", "submit"]).unwrap();
    let cgroup = Cgroup::new(&ids.kubernetes());
    for _ in 0..50 {
        let mut fixture = Fixture::spawn_alone(&host);
        cgroup.take(fixture.pid());
        // Not waited for: it ends right after them.
        fixture.send("submit-raw ebadf 1");
        fixture.send("setup 0");
        fixture.finish();
    }
    drop(cgroup);
    let labels = ids.labels();
    let ours: Vec<&str> = labels.iter().map(String::as_str).chain([COMM]).collect();
    let of = |errno: &'static str| ours.iter().copied().chain([errno]).collect::<Vec<_>>();
    serving.await_metric("aio_setup_failures_total", &of("errno=\"EINVAL\""), 50.0);
    let said = serving.metrics();
    assert_eq!(value_in(&said, "aio_submit_errors_total", &of("errno=\"EBADF\"")), Some(50.0), "{said}");
    for name in ["aio_setup_failures_total", "aio_submit_errors_total", "aio_submit_calls_total"] {
        assert!((sum(&said, name) - 50.0).abs() < 1e-9, "somebody else has some of {name}: {said}");
    }
    let page = serving.get("/").text();
    assert_eq!(page.matches(&format!("</span> in {} io_setup(0)", ids.pod)).count(), 50, "{page}");
}

/// Check that of a thousand names that fail the first hundred have series, that the others are summed, and that what is missing is counted.
#[test]
fn a_thousand_names() {
    let host = HostLock::take();
    let serving = Serving::start(&[]).unwrap();
    let mut fixture = Fixture::spawn_alone(&host);
    for name in 0..1000 {
        let hex: String = format!("n{name}").bytes().map(|byte| format!("{byte:02x}")).collect();
        fixture.run(&format!("set-comm {hex}"));
        assert_eq!(fixture.try_run("setup 0").unwrap_err().errno, 22);
    }
    serving.await_metric("aio_setup_failures_total", &["comm=\"other\""], 900.0);
    let said = serving.metrics();
    assert_eq!(said.lines().filter(|line| line.starts_with("aio_setup_failures_total{")).count(), 101);
    assert_eq!(value_in(&said, "aioinspect_dropped_series", &[]), Some(900.0), "{said}");
    assert_eq!(value_in(&said, "aioinspect_lost_events_total", &[]), Some(0.0), "{said}");
    fixture.finish();
}

/// Check that a process is told apart by its PID only where that is asked for.
#[test]
fn processes() {
    let host = HostLock::take();
    let (usual, each) =
        (Serving::start(&["--collect", "submit"]).unwrap(), Serving::start(&["--per-process"]).unwrap());
    let (mut one, mut other) = (Fixture::spawn_alone(&host), Fixture::spawn_alone(&host));
    one.setup(5);
    other.setup(6);
    assert_eq!(one.try_run("setup 0").unwrap_err().errno, 22);
    one.run("submit-raw einval 1");
    let pid = |fixture: &Fixture| format!("pid=\"{}\"", fixture.pid());
    each.await_metric("aio_setup_failures_total", &[COMM, &pid(&one)], 1.0);
    let said = each.metrics();
    for (fixture, slots) in [(&one, 5.0), (&other, 6.0)] {
        assert_eq!(value_in(&said, "aio_reserved_events", &[COMM, &pid(fixture)]), Some(slots), "{said}");
    }
    usual.await_metric("aio_setup_failures_total", &[COMM], 1.0);
    let said = usual.metrics();
    assert_eq!(value_in(&said, "aio_reserved_events", &[COMM]), Some(11.0), "{said}");
    assert!(!said.contains("pid=\""), "{said}");
}

/// Check that a hostile name is one label, and that the document and `list` say the same of its owner.
#[test]
fn hostile_names() {
    let host = HostLock::take();
    let mut fixture = Fixture::spawn_alone(&host);
    let hex: String = "a\"b\\\n{}#".bytes().map(|byte| format!("{byte:02x}")).collect();
    fixture.run(&format!("set-comm {hex}"));
    fixture.setup(77);
    let serving = Serving::start(&[]).unwrap();
    let said = serving.metrics();
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("aio_reserved_events{")).collect();
    let [line] = lines.as_slice() else { panic!("{said}") };
    // Where the tests run in a cgroup of no known layout, its path stands before the name.
    assert!(line.ends_with("comm=\"a\\\"b\\\\\\\\\\\\n{}#\"} 77"), "{said}");
    assert_eq!(line.matches("comm=").count(), 1, "{said}");
    let document = serving.contexts();
    let one = &document["contexts"][0];
    assert_eq!(
        (one["pid"].as_u64(), one["comm"].as_str()),
        (Some(fixture.pid().into()), Some("a\"b\\\\\\n{}#"))
    );
    let listed = run_aioinspect(&["list", "-J"]);
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(in_every_document(&listed["contexts"][0]), in_every_document(one));
    assert!(!serving.get("/").text().contains("a\"b"), "the name is not escaped");
}
