//! What `doctor` says of the host: its limit, who is large, what waits, what is wrong, what grows, and what to do.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use aioinspect_model::headroom::advised_limit;
use aioinspect_tests::cgroup::{Cgroup, hierarchies};
use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::host::{HostLock, aio_max_nr, aio_nr};
use aioinspect_tests::programs::{Output, bin, run, run_aioinspect, skip};
use aioinspect_tests::yard::Yard;
use rustix::thread::CapabilitySet;
use serde_json::Value;

use crate::tool::{can_run, has_slow_reads, json};

/// What `doctor -J` says of the host.
fn host(more: &[&str]) -> Value {
    let said = json(&run_aioinspect(&[&["doctor", "-J"], more].concat()));
    assert!(said["host_error"].is_null() && !said["checks"].as_array().unwrap().is_empty(), "{said}");
    said["host"].clone()
}

fn action<'a>(host: &'a Value, id: &str) -> &'a Value {
    let actions = host["actions"].as_array().unwrap();
    actions.iter().find(|action| action["id"] == id).unwrap_or_else(|| panic!("no {id}: {host}"))
}

/// Types a line of doctor's, in which the program is ours. Where there is no shell, as in the virtual machines, words are told apart by blanks
/// and quotes, as a shell would.
fn typed(action: &Value) -> Output {
    let line = action["do"].as_str().unwrap();
    let program = bin("aioinspect");
    if Path::new("/bin/sh").exists() {
        let line = line.replacen("aioinspect", program.to_str().unwrap(), 1);
        return run(Command::new("sh").args(["-c", &line]));
    }
    let arguments = line.strip_prefix("aioinspect ").unwrap_or_else(|| panic!("{line}"));
    let parts = arguments.split('\'').enumerate();
    let words = parts.flat_map(|(nth, part)| match nth % 2 {
        0 => part.split_whitespace().collect(),
        _ => vec![part],
    });
    run(Command::new(program).args(words))
}

/// Check that on a host that is nearly full the limit comes first, with a number that is enough, and that the unit that fills it is named, with
/// a line that lists all its contexts and no others.
#[test]
fn nearly_full() {
    if !can_run("nearly_full") {
        return;
    }
    let all = hierarchies();
    let Some(hierarchy) = all.iter().find(|hierarchy| hierarchy.is_v2).or(all.first()) else {
        return skip("nearly_full", "needs a mounted hierarchy of control groups");
    };
    let lock = HostLock::take();
    let unit = format!("nginx-{}.service", std::process::id());
    let group = Cgroup::below(hierarchy, &format!("system.slice/{unit}"));
    let limit = aio_max_nr();
    let (before, worker) = (aio_nr(), limit * 9 / 10 / 8);
    let workers: Vec<Fixture> = (0..8)
        .map(|_| {
            let mut fixture = Fixture::spawn_alone(&lock);
            group.take(fixture.pid());
            fixture.run(&format!("setup-many 4 {}", worker / 4));
            fixture
        })
        .collect();
    let of = host(&[]);
    let used = aio_nr();
    let slots = worker / 4 * 32;
    assert!(used >= before.min(slots) && used >= slots, "{used} of {slots}");
    assert_eq!((&of["verdict"], &of["growth"]), (&"nearly-full".into(), &Value::Null), "{of}");
    let large = of["large"].as_array().unwrap();
    assert_eq!(large.len(), 1, "{of}");
    assert_eq!(
        (&large[0]["name"], &large[0]["processes"], &large[0]["slots"]),
        (&unit.clone().into(), &8.into(), &slots.into())
    );
    let first = &of["actions"][0];
    let advised = advised_limit(of["system"]["aio_nr"].as_u64().unwrap(), limit);
    assert_eq!(
        (&first["id"], &first["urgency"], &first["limit"]),
        (&"raise-limit".into(), &"soon".into(), &advised.into())
    );
    assert_eq!(first["do"], format!("sysctl -w fs.aio-max-nr={advised}"));
    let ask = action(&of, "ask-holder");
    let listed = typed(ask);
    assert_eq!(listed.code, 0, "{ask} {listed:?}");
    let rows = listed.stdout.lines().filter(|line| line.contains(" 0x")).count();
    assert_eq!(rows, 32, "{listed:?}");
    let text = run_aioinspect(&["doctor"]);
    assert!(text.stdout.starts_with("host nearly full: "), "{text:?}");
    assert!(text.stdout.contains(&format!("{unit} reserves {slots} (8 processes), 8")), "{text:?}");
    drop(workers);
}

/// Check that contexts that an exit waits for are counted with their age and process, and that the line shows where it waits.
#[test]
fn what_waits() {
    if !can_run("what_waits") || !has_slow_reads("what_waits") {
        return;
    }
    let mut fixture = Fixture::spawn();
    let pid = fixture.pid_of("dying-child exit 2 3 64");
    thread::sleep(Duration::from_millis(1100));
    let of = host(&[]);
    let dying = &of["dying"];
    assert!(dying["pids"].as_array().unwrap().contains(&pid.into()), "{of}");
    assert!(dying["contexts"].as_u64().unwrap() >= 2 && dying["exiting"].as_u64().unwrap() >= 2, "{of}");
    assert!(dying["oldest_seconds"].as_f64().is_none_or(|age| age >= 1.0), "{of}");
    let said = typed(action(&of, "end-waits"));
    assert!(said.stdout.contains("waits in "), "{said:?}");
    fixture.run(&format!("finish-dying {pid} 6"));
}

/// Check that an unmapped ring is said with the slots that it costs, and is urgent.
#[test]
fn what_is_wrong() {
    if !can_run("what_is_wrong") {
        return;
    }
    let mut fixture = Fixture::spawn();
    fixture.setup(77);
    fixture.run("munmap #0 all hold");
    let of = host(&[]);
    let wrong = of["wrong"].as_array().unwrap();
    let unmapped = wrong.iter().find(|wrong| wrong["finding"] == "unmapped-ring").unwrap();
    assert!(unmapped["slots"].as_u64().unwrap() >= 77, "{of}");
    assert!(unmapped["pids"].as_array().unwrap().contains(&fixture.pid().into()), "{of}");
    let mend = action(&of, "mend");
    assert_eq!((&mend["finding"], &mend["urgency"]), (&"unmapped-ring".into(), &"soon".into()), "{of}");
    assert_ne!(of["verdict"], "fine");
    let said = typed(mend);
    assert!(said.stdout.contains("unmapped the ring"), "{mend} {said:?}");
}

/// Check that with a time doctor says who grew all the time and how fast, tells it from who only started, and finds the leak.
#[test]
fn what_grows() {
    if !can_run("what_grows") {
        return;
    }
    let all = hierarchies();
    let Some(hierarchy) = all.iter().find(|hierarchy| hierarchy.is_v2).or(all.first()) else {
        return skip("what_grows", "needs a mounted hierarchy of control groups");
    };
    let unit = |kind: &str| format!("{kind}-{}.service", std::process::id());
    let groups =
        ["grows", "starts"].map(|kind| Cgroup::below(hierarchy, &format!("system.slice/{}", unit(kind))));
    let [mut grows, mut starts] = [0, 1].map(|nth: usize| {
        let fixture = Fixture::spawn();
        groups[nth].take(fixture.pid());
        fixture
    });
    grows.setup(10);
    // With a slow CPU a look takes long, and of each fifth of the time several are wanted.
    let begun = Instant::now();
    json(&run_aioinspect(&["headroom", "-J"]));
    let time = (begun.elapsed() * 30).clamp(Duration::from_secs(7), Duration::from_secs(90));
    let of = thread::scope(|scope| {
        let arg = format!("{}ms", time.as_millis());
        let doctor = scope.spawn(move || host(&["--for", &arg]));
        let (begun, mut has_started) = (Instant::now(), false);
        while !doctor.is_finished() {
            grows.setup(10);
            if !has_started && begun.elapsed() > time.mul_f64(0.4) {
                starts.run("setup-many 20 10");
                has_started = true;
            }
            thread::sleep(time / 45);
        }
        doctor.join().unwrap()
    });
    let owners = of["growth"]["owners"].as_array().unwrap();
    let owner = |kind| {
        owners.iter().find(|owner| owner["name"] == unit(kind)).unwrap_or_else(|| panic!("no {kind}: {of}"))
    };
    assert!(of["growth"]["looked_seconds"].as_f64().unwrap() >= time.as_secs_f64(), "{of}");
    assert_eq!(
        (&owner("grows")["steadily"], &owner("starts")["steadily"]),
        (&true.into(), &false.into()),
        "{of}"
    );
    // At most ten in a forty-fifth of the time, and half of that if the machine is slow.
    let least = 10.0 * 45.0 / time.as_secs_f64() * 3600.0 / 4.0;
    assert!(owner("grows")["slots_per_hour"].as_f64().unwrap() > least, "{of}");
    assert!(owner("grows")["full_in_seconds"].as_f64().unwrap() > 1.0, "{of}");
    assert_eq!(action(&of, "stop-growth")["urgency"], "soon");
    let wrong = of["wrong"].as_array().unwrap();
    let leak = wrong.iter().find(|wrong| wrong["finding"] == "idle-leak").unwrap_or_else(|| panic!("{of}"));
    assert!(leak["pids"].as_array().unwrap().contains(&grows.pid().into()), "{of}");
    drop((grows, starts));
}

/// Check that without privileges doctor says what it does not know, blames nobody, and still answers for the limit.
#[test]
fn without_privileges() {
    if !can_run("without_privileges") {
        return;
    }
    let mut fixture = Fixture::spawn();
    fixture.setup(100);
    let said = Yard::new().nobody(CapabilitySet::empty(), &["doctor", "-J"]);
    assert_eq!(said.code, 4, "{said:?}");
    let said: Value = serde_json::from_str(&said.stdout).unwrap();
    let of = &said["host"];
    assert_eq!(
        (&of["system"]["source"], &of["system"]["attributed"]),
        (&"proc".into(), &Value::Null),
        "{of}"
    );
    assert!(of["system"]["aio_nr"].as_u64().unwrap() >= 100 && of["free"].is_i64(), "{of}");
    assert_eq!((&of["large"], &of["dying"]), (&Value::Array(vec![]), &Value::Null), "{of}");
    // Nothing, or what could be seen of our own user's processes.
    assert!(of["wrong"].is_null() || !of["wrong"].as_array().unwrap().is_empty(), "{of}");
    assert_ne!(of["verdict"], "fine", "{of}");
    assert!(!of["not_seen"].as_array().unwrap().is_empty(), "{of}");
    action(of, "use-bpf");
    let once = of["not_seen"].as_array().unwrap().len();
    // Of many looks each is blind: it is told once.
    let said = Yard::new().nobody(CapabilitySet::empty(), &["doctor", "-J", "--for", "2s"]);
    let said: Value = serde_json::from_str(&said.stdout).unwrap();
    let of = &said["host"];
    assert!(of["growth"]["looks"].as_u64().unwrap() > 1, "{of}");
    assert!(of["not_seen"].as_array().unwrap().len() <= once, "{of}");
}
