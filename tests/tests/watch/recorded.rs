//! `watch --record`: what was so at a time is found again, whatever ends the recorder, and however little room there is.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aioinspect_render::moment::full;
use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::programs::{Output, is_root, run_aioinspect, skip};
use aioinspect_tests::watch::{Watch, is_of};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

fn can(test: &str) -> bool {
    if !is_root() {
        skip(test, "needs root (CAP_BPF, CAP_PERFMON)");
    }
    is_root()
}

/// A watch that records a picture several times a second.
fn record(path: &Path, more: &[&str]) -> Watch {
    let args = [&["--record", path.to_str().unwrap(), "--record-every", "200ms"], more].concat();
    Watch::start(&args).unwrap_or_else(|ended| panic!("{}", ended.stderr))
}

/// Now, as `--at` takes it.
fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    full(u64::try_from(since.as_nanos()).unwrap())
}

/// What was recorded of the contexts of a process at a time: their arguments of io_setup.
fn at(path: &Path, pid: u32, at: &str) -> Vec<u64> {
    let output = run_aioinspect(&["list", "-J", "--from", path.to_str().unwrap(), "--at", at]);
    assert_eq!(output.code, 0, "{at}: {output:?}");
    sizes_of(pid, &output)
}

/// The same of the last picture; `None`: there is none yet.
fn last(path: &Path, pid: u32) -> Option<Vec<u64>> {
    let output = run_aioinspect(&["list", "-J", "--from", path.to_str().unwrap()]);
    (output.code == 0).then(|| sizes_of(pid, &output))
}

fn sizes_of(pid: u32, output: &Output) -> Vec<u64> {
    let list: Value = serde_json::from_str(&output.stdout).unwrap();
    let contexts = list["contexts"].as_array().unwrap().iter().filter(|context| context["pid"] == pid);
    let mut sizes: Vec<u64> = contexts.map(|context| context["max_reqs"].as_u64().unwrap()).collect();
    sizes.sort_unstable();
    sizes
}

/// Waits for what must be so at some time, on a machine however slow.
fn await_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "never: {what}");
        sleep(Duration::from_millis(50));
    }
}

fn replayed(path: &Path, args: &[&str]) -> (Output, Vec<Value>) {
    let output = run_aioinspect(&[&["watch", "--ndjson", "--replay", path.to_str().unwrap()], args].concat());
    let events = output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (output, events)
}

/// Check that a recorder that was killed leaves all that was before: what a process had at each time, and each event, told as it was told live.
#[test]
fn what_was_so() {
    if !can("what_was_so") {
        return;
    }
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("recording");
    let mut watch = record(&path, &[]);
    let begun = now();
    let mut fixture = Fixture::spawn();
    let pid = fixture.pid();
    let mut times = Vec::new();
    let mut remember = |sizes: Vec<u64>| {
        await_until("what is so is recorded", || last(&path, pid).as_ref() == Some(&sizes));
        times.push((now(), sizes));
    };
    let first = fixture.setup(10);
    remember(vec![10]);
    fixture.setup(20);
    remember(vec![10, 20]);
    fixture.run(&format!("destroy {first}"));
    remember(vec![20]);
    fixture.run("setup-many 50 7");
    let mut many = vec![7; 50];
    many.push(20);
    remember(many);
    drop(fixture);
    remember(Vec::new());
    watch.expect("the exit", |event| is_of(event, pid) && event["event"] == "exit");
    let is_exit = |event: &Value| is_of(event, pid) && event["event"] == "exit";
    await_until("the exit is recorded", || replayed(&path, &[]).1.iter().any(is_exit));
    let (_, time) = (sleep(Duration::from_millis(200)), now());
    await_until("pictures of later", || {
        run_aioinspect(&["list", "--from", path.to_str().unwrap(), "--at", &time]).code == 0
    });
    let live = watch.end_by(Signal::KILL);
    assert_eq!(live.code, None);

    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    for (time, sizes) in &times {
        assert_eq!(&at(&path, pid, time), sizes, "{time}");
    }
    let (_, events) = replayed(&path, &[]);
    let of = |events: &[Value]| events.iter().filter(|event| is_of(event, pid)).cloned().collect::<Vec<_>>();
    assert_eq!(of(&events), of(&live.events));
    assert_eq!(of(&events).len(), 54, "52 made, one destroyed, an exit");
    let (_, events) = replayed(&path, &["--at", &times[2].0]);
    assert_eq!(of(&events).len(), 51, "those that were made later, and the exit");
    let (_, events) = replayed(&path, &["--failures"]);
    assert!(events.iter().all(|event| event["event"] == "setup-failed"));

    let headroom = ["headroom", "-J", "--from", path.to_str().unwrap(), "--at", &times[3].0];
    let headroom = run_aioinspect(&headroom);
    assert!(headroom.code == 0 && headroom.stderr.contains("recorded at"), "{headroom:?}");
    let host: Value = serde_json::from_str(&headroom.stdout).unwrap();
    let holders = host["holders"].to_string();
    assert!(holders.contains("370"), "20 and 50 times 7: {holders}");

    for (time, says) in
        [("2020-01-01T00:00", "the first picture is of"), ("2099-01-01T00:00", "the recording ends at")]
    {
        let output = run_aioinspect(&["list", "--from", path.to_str().unwrap(), "--at", time]);
        assert!(output.code == 3 && output.stderr.contains(says), "{output:?}");
    }
    // Cut anywhere, it is read up to there.
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 7]).unwrap();
    assert_eq!(at(&path, pid, &times[3].0), times[3].1);
    let (output, _) = replayed(&path, &["--at", &begun]);
    assert!(output.stderr.contains("no whole record"), "{output:?}");
}

/// Check that a second recorder is refused, that the next one goes on where the one before ended, and that what is no recording is left alone.
#[test]
fn one_at_a_time() {
    if !can("one_at_a_time") {
        return;
    }
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("recording");
    let watch = record(&path, &[]);
    let Err(second) = Watch::start(&["--record", path.to_str().unwrap()]) else { panic!("two of them") };
    assert!(second.code == Some(1) && second.stderr.contains("another aioinspect records"), "{second:?}");
    let ended = watch.end();
    assert!(
        ended.stderr.contains("recording to") && ended.stderr.contains("aioinspect: recorded "),
        "{}",
        ended.stderr
    );
    let before = fs::metadata(&path).unwrap().len();
    let mut fixture = Fixture::spawn();
    let mut watch = record(&path, &[]);
    fixture.setup(3);
    watch.expect("the context", |event| is_of(event, fixture.pid()) && event["event"] == "setup");
    assert_eq!(watch.end().code, Some(0));
    assert!(fs::metadata(&path).unwrap().len() > before);
    let (_, events) = replayed(&path, &[]);
    assert!(events.iter().any(|event| is_of(event, fixture.pid()) && event["event"] == "setup"));

    let other = dir.path().join("other");
    fs::write(&other, "something").unwrap();
    let Err(refused) = Watch::start(&["--record", other.to_str().unwrap()]) else { panic!("it was taken") };
    assert!(refused.code == Some(1), "{refused:?}");
    assert_eq!(fs::read(&other).unwrap(), b"something");
}

/// Check that all files together never take more than was asked for, while thousands of contexts come and go, and that the newest times are kept.
#[test]
fn never_more() {
    if !can("never_more") {
        return;
    }
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("recording");
    // A file must have room for several pictures, which are as large as what else this host has.
    let probe = TempDir::new().unwrap();
    let watch = record(&probe.path().join("recording"), &[]);
    await_until("a picture", || last(&probe.path().join("recording"), 0).is_some());
    drop(watch);
    let kib = (fs::metadata(probe.path().join("recording")).unwrap().len() / 32).max(64);
    let most = kib << 10;
    let watch = record(&path, &["--record-size", &format!("{kib}K"), "--metrics", "127.0.0.1:0"]);
    let mut sizes = Vec::new();
    let files = || fs::read_dir(dir.path()).unwrap().count();
    while sizes.len() < 20 || (files() < 3 && sizes.len() < 400) {
        Fixture::spawn().run("setup-many 60 1");
        sleep(Duration::from_millis(120));
        let files = fs::read_dir(dir.path()).unwrap();
        sizes.push(files.filter_map(|file| Some(file.ok()?.metadata().ok()?.len())).sum::<u64>());
    }
    let mut fixture = Fixture::spawn();
    fixture.setup(77);
    await_until("the newest is recorded", || last(&path, fixture.pid()) == Some(vec![77]));
    let ended = watch.end();
    assert!(sizes.iter().all(|size| *size <= most), "{most}: {sizes:?}");
    assert!(files() > 2, "{sizes:?}");
    // Events may be more than half of so little: that is said, and no picture is missing.
    assert!(!ended.stderr.contains("does not fit"), "{}", ended.stderr);
    assert_eq!(last(&path, fixture.pid()), Some(vec![77]));
}

/// Check that a full disk is told once and costs nothing else: the watch goes on, and records again when there is room, with the number of events that
/// it could not write.
#[test]
fn a_full_disk() {
    if !can("a_full_disk") {
        return;
    }
    let dir = TempDir::new().unwrap();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(dir.path()).status();
    if !mounted.is_ok_and(|status| status.success()) {
        return skip("a_full_disk", "needs to mount a tmpfs");
    }
    let path = dir.path().join("recording");
    let begun = Instant::now();
    let mut watch = record(&path, &[]);
    fs::write(dir.path().join("filler"), vec![0; 1 << 20]).unwrap_err();
    for _ in 0..20 {
        Fixture::spawn().run("setup-many 40 1");
        sleep(Duration::from_millis(100));
    }
    let mut fixture = Fixture::spawn();
    fs::remove_file(dir.path().join("filler")).unwrap();
    fixture.setup(5);
    watch.expect("the last context", |event| is_of(event, fixture.pid()) && event["max_reqs"] == 5);
    await_until("the last context is recorded", || last(&path, fixture.pid()) == Some(vec![5]));
    let ended = watch.end();
    assert_eq!(ended.code, Some(0));
    let of_size = |events: &[Value], size: u32| {
        events.iter().filter(|event| event["event"] == "setup" && event["max_reqs"] == size).count()
    };
    assert!(of_size(&ended.events, 1) >= 800, "the watch saw all");
    // Once a minute at most.
    let told = u64::try_from(ended.stderr.matches("not recorded").count()).unwrap();
    assert!((1..=1 + begun.elapsed().as_secs() / 60).contains(&told), "{}", ended.stderr);
    assert!(ended.stderr.contains("no space left"), "{}", ended.stderr);
    let sizes = last(&path, fixture.pid()).unwrap_or_default();
    let (_, events) = replayed(&path, &[]);
    let seen = of_size(&events, 1);
    let lost: u64 = events
        .iter()
        .filter(|event| event["event"] == "lost")
        .filter_map(|event| event["count"].as_u64())
        .sum();
    let unmounted = Command::new("umount").arg(dir.path()).status();
    assert!(unmounted.is_ok_and(|status| status.success()));
    assert_eq!(sizes, [5]);
    assert!(lost > 0 && u64::try_from(seen).unwrap() + lost >= 800, "{seen} and {lost}");
}

/// Check that a program that retries in a loop takes little room: its failures are counted, none is missing, and replayed lines have their number.
#[test]
fn a_retry_storm() {
    if !can("a_retry_storm") {
        return;
    }
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("recording");
    let mut watch = record(&path, &[]);
    let mut fixture = Fixture::spawn();
    let pid = fixture.pid();
    let size = || fs::metadata(&path).unwrap().len();
    await_until("a picture", || last(&path, pid).is_some());
    let before = size();
    let is_failure = |event: &Value| is_of(event, pid) && event["event"] == "setup-failed";
    for _ in 0..3000 {
        // No context has so many: EINVAL, whatever else this host has.
        fixture.try_run("setup 4294967295").unwrap_err();
    }
    fixture.setup(5);
    watch.expect("the context", |event| is_of(event, pid) && event["event"] == "setup");
    let ended = watch.end();
    let (_, events) = replayed(&path, &[]);
    let failures: Vec<&Value> = events.iter().filter(|event| is_failure(event)).collect();
    let all: u64 = failures.iter().map(|event| event["count"].as_u64().unwrap_or(1)).sum();
    assert_eq!(all, 3000);
    assert_eq!(ended.events.iter().filter(|event| is_failure(event)).count(), 3000);
    assert!(failures.len() < 1500, "{}", failures.len());
    println!(
        "a_retry_storm: {} events for 3,000 failures, {} bytes with the pictures",
        failures.len(),
        size() - before
    );
}

/// The nanoseconds that the thread which records has been on a CPU.
fn cpu_of_recorder(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().map(|task| task.unwrap().path());
    let recorder =
        tasks.filter(|task| fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm == "record\n"));
    let spent = recorder.filter_map(|task| fs::read_to_string(task.join("schedstat")).ok());
    spent.filter_map(|text| text.split(' ').next()?.parse::<u64>().ok()).sum()
}

/// Check that what did not change takes little room, and print what a recording costs: docs/performance.md has the numbers of one run.
#[test]
fn what_it_costs() {
    if !can("what_it_costs") {
        return;
    }
    let mut fixtures: Vec<Fixture> = (0..20).map(|_| Fixture::spawn()).collect();
    for fixture in &mut fixtures {
        fixture.run("setup-many 50 10");
    }
    for busy in [false, true] {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("recording");
        let mut watch = record(&path, &[]);
        watch.expect("the contexts", |event| event["event"] == "existing");
        sleep(Duration::from_secs(1));
        let size = || fs::metadata(&path).unwrap().len();
        let (before, spent) = (size(), cpu_of_recorder(watch.pid()));
        for _ in 0..50 {
            if busy {
                for fixture in &mut fixtures {
                    fixture.truth();
                }
            }
            sleep(Duration::from_millis(100));
        }
        let (bytes, spent) = (size() - before, cpu_of_recorder(watch.pid()) - spent);
        let ended = watch.end();
        // A picture each 200 ms, more or less.
        let pictures = 25;
        println!(
            "what_it_costs: 1,000 contexts in 20 processes, which {}: {before} bytes for the beginning, {} a picture, {} us of CPU for one; {}",
            if busy { "run all the time" } else { "sleep" },
            bytes / pictures,
            spent / pictures / 1000,
            ended.stderr.lines().find(|line| line.contains("recorded ")).unwrap_or_default(),
        );
        assert!(bytes / pictures < before / 4, "{bytes} of {before}");
    }
}
