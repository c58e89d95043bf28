//! How the tests run the program, and what they look at.

use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, thread};

use aioinspect_kernel::look::evidence_source::{Ask, Hold, Source};
use aioinspect_kernel::look::live::Live;
use aioinspect_model::evidence::Evidence;
use aioinspect_model::picture::{Picture, Proof};
use aioinspect_model::reconcile::reconcile;
use aioinspect_model::units::Pid;
use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::programs::{Output, is_root, run_aioinspect, skip};
use serde_json::Value;
use tempfile::TempDir;

/// For what must happen on a slow machine with much else to do.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Whether the suite can run at all; says so if not.
pub fn can_run(test: &str) -> bool {
    if !is_root() {
        skip(test, "needs root (CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE)");
    }
    is_root()
}

/// Whether the fixture can make slow reads; says so if not.
pub fn has_slow_reads(test: &str) -> bool {
    let has = Path::new("/dev/fuse").exists();
    if !has {
        skip(test, "needs /dev/fuse (modprobe fuse)");
    }
    has
}

/// Waits until something holds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// The letters of the states of all threads of a process.
pub fn states(pid: u32) -> String {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    let letter = |path: &Path| {
        let stat = fs::read(path.join("stat")).ok()?;
        String::from_utf8_lossy(&stat).rsplit_once(") ")?.1.chars().next()
    };
    tasks.filter_map(|task| letter(&task.ok()?.path())).collect()
}

/// Waits until no thread of a process runs or wants to: it has answered, and is on its way to sleep.
pub fn at_rest(pid: u32) {
    eventually("every thread sleeps", || !states(pid).contains('R'));
}

/// Runs a verb on a process at rest.
pub fn run_on(verb: &str, pid: u32, more: &[&str]) -> Output {
    at_rest(pid);
    let pid = pid.to_string();
    let mut args = vec![verb, &pid];
    args.extend(more);
    run_aioinspect(&args)
}

/// `check PID -J ..` of a process at rest.
pub fn check(pid: u32, more: &[&str]) -> (i32, Value) {
    let mut args = vec!["-J"];
    args.extend(more);
    let output = run_on("check", pid, &args);
    (output.code, json(&output))
}

/// `list -p PID -J`.
pub fn list(pid: u32) -> Value {
    at_rest(pid);
    let output = run_aioinspect(&["list", "-J", "-p", &pid.to_string()]);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    json(&output)
}

/// What a program wrote, as JSON.
pub fn json(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// The element of `contexts` with that id.
pub fn context(json: &Value, id: u64) -> &Value {
    let id = format!("{id:#x}");
    let contexts = json["contexts"].as_array().unwrap_or_else(|| panic!("no contexts: {json}"));
    contexts.iter().find(|one| one["context"] == id.as_str()).unwrap_or_else(|| panic!("no {id} in {json}"))
}

/// The findings of a context.
pub fn findings(context: &Value) -> Vec<&str> {
    context["findings"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// An empty directory, and the names in it.
pub fn directory() -> TempDir {
    tempfile::Builder::new().prefix("aioinspect-test-").tempdir().unwrap()
}

/// What is in a directory, sorted.
pub fn names(directory: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(directory.path()).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// `dump PID -D DIR ..`, and the directory.
pub fn dump(pid: u32, more: &[&str]) -> (Output, TempDir) {
    let into = directory();
    let mut args = vec!["-D", into.path().to_str().unwrap()];
    args.extend(more);
    (run_on("dump", pid, &args), into)
}

/// The `aios` of the image that `dump` wrote: id, nr_req, ring_len.
pub fn aios(directory: &TempDir, pid: u32) -> Vec<(u64, u64, u64)> {
    let image = directory.path().join(format!("mm-{pid}.img"));
    let shown = run_aioinspect(&["show", "-J", image.to_str().unwrap()]);
    assert_eq!(shown.code, 0, "{shown:?}");
    aios_of(&json(&shown))
}

/// The same, of crit's JSON.
pub fn aios_of(image: &Value) -> Vec<(u64, u64, u64)> {
    let number = |one: &Value, key: &str| one[key].as_u64().unwrap_or_else(|| panic!("no {key}: {one}"));
    let aios = image["entries"][0]["aios"].as_array().into_iter().flatten();
    aios.map(|one| (number(one, "id"), number(one, "nr_req"), number(one, "ring_len"))).collect()
}

/// What a state must look like in every output.
#[derive(Debug)]
pub struct Looks<'a> {
    /// Ordinal of the context in the fixture.
    pub handle: u32,
    /// Exit code of check and of dump: 0 or 5.
    pub code: i32,
    /// Findings of the context, by check.
    pub findings: &'a [&'a str],
    /// What the text of check must say.
    pub says: &'a [&'a str],
}

/// Checks a state by text and JSON of check, by list, and by dump, which must leave files only of what is idle; returns check's JSON.
pub fn assert_looks(fixture: &mut Fixture, looks: &Looks<'_>) -> Value {
    let (pid, truth) = (fixture.pid(), fixture.truth());
    let of = truth.context(looks.handle).unwrap();
    let text = run_on("check", pid, &[]);
    assert_eq!(text.code, looks.code, "{looks:?}: {text:?}");
    let verdict = if looks.code == 0 { "is idle" } else { "is not idle" };
    for words in looks.says.iter().chain([&verdict]) {
        assert!(text.stdout.contains(words), "no {words:?} in {text:?}");
    }
    let (code, json) = check(pid, &[]);
    let one = context(&json, of.id);
    assert_eq!(code, looks.code);
    assert_eq!(json["verdict"], if code == 0 { "idle" } else { "not-idle" }, "{json}");
    assert_eq!((&json["proof"], &json["manner"]), (&"consistent".into(), &"running".into()));
    assert_eq!(findings(one), looks.findings, "{one}");
    assert_eq!(one["in_flight"], of.in_flight, "{one}");
    assert_eq!(one["max_reqs"], of.max_reqs, "{one}");
    let listed = list(pid);
    let listed = context(&listed, of.id);
    for key in
        ["pid", "comm", "start_ticks", "max_reqs", "nr_events", "in_flight", "ring_len", "mapped", "owner"]
    {
        assert_eq!(listed[key], one[key], "{key}: {listed}");
    }
    let (dumped, into) = dump(pid, &[]);
    assert_eq!(dumped.code, looks.code, "{dumped:?}");
    assert_eq!(names(&into).is_empty(), looks.code != 0, "{:?}", names(&into));
    json
}

/// One look through the library.
pub fn look(live: &mut Live, pid: u32, hold: Hold) -> (Evidence, Picture) {
    let ask = Ask { pid: Pid(pid), hold, image: false, without_kernel: false };
    let evidence = live.process(&ask).unwrap_or_else(|error| panic!("pid {pid}, {hold:?}: {error}"));
    let picture = reconcile(&evidence);
    (evidence, picture)
}

/// How well what was read is proven to be one state.
pub fn proof(picture: &Picture) -> Proof {
    picture.spaces[0].proof
}
