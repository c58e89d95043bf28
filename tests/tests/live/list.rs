//! `list`: the promised keys, the table, the footer.

use std::collections::BTreeSet;

use aioinspect_tests::fixture::{Fixture, forks_copy_rings};
use aioinspect_tests::host::{HostLock, aio_nr};
use aioinspect_tests::many::Crowd;
use aioinspect_tests::programs::{run_aioinspect, skip};
use serde_json::Value;

use crate::tool::{at_rest, can_run, context, json, list};

fn keys(of: &Value) -> BTreeSet<&str> {
    of.as_object().unwrap_or_else(|| panic!("no object: {of}")).keys().map(String::as_str).collect()
}

/// Check that the keys of `list -J` and the types of their values are the promised ones, and no others.
#[test]
fn keys_are_a_promise() {
    if !can_run("keys_are_a_promise") {
        return;
    }
    if !forks_copy_rings() {
        return skip("keys_are_a_promise", "this kernel's fork does not copy AIO rings");
    }
    let mut fixture = Fixture::spawn();
    let id = fixture.setup(128);
    fixture.run("poll #0 3");
    fixture.run("fork-ghost");
    at_rest(fixture.pid());
    let output = run_aioinspect(&["list", "-J"]);
    assert_eq!(output.code, 0, "{output:?}");
    let all = json(&output);
    assert_eq!(keys(&all), BTreeSet::from(["schema_version", "system", "contexts", "ghosts"]));
    assert_eq!(all["schema_version"], 1);
    let system = &all["system"];
    let names = ["aio_nr", "aio_max_nr", "attributed", "unattributed", "possible_cpus", "source"];
    assert_eq!(keys(system), BTreeSet::from(names));
    assert!(names[..5].iter().all(|key| system[key].is_i64() || system[key].is_u64()), "{system}");
    assert_eq!(system["source"], "bpf");
    let numbers = [
        "pid",
        "uid",
        "ns_pid",
        "start_ticks",
        "max_reqs",
        "nr_events",
        "in_flight",
        "unreaped",
        "head",
        "tail",
        "ring_len",
    ];
    let others =
        ["comm", "user", "context", "mapped", "owner", "findings", "submit_fails_on", "stranded_credits"];
    let one = context(&all, id);
    assert_eq!(keys(one), numbers.into_iter().chain(others).collect());
    assert!(numbers.iter().all(|key| one[key].is_u64()), "{one}");
    assert_eq!(
        (&one["submit_fails_on"], &one["stranded_credits"]),
        (&serde_json::json!(""), &serde_json::json!([]))
    );
    assert!(one["comm"].is_string() && one["context"].is_string() && one["mapped"].is_boolean());
    assert_eq!(keys(&one["owner"]), BTreeSet::from(["runtime", "unit", "container", "pod", "cgroup"]));
    assert!(keys(&one["owner"]).iter().all(|key| one["owner"][*key].is_string()), "{one}");
    assert_eq!(one["findings"].to_string(), r#"["in-flight","shared-ring"]"#);
    let ghost = &all["ghosts"].as_array().unwrap()[0];
    assert_eq!(keys(ghost), BTreeSet::from(["pid", "address", "ring_len"]));
    assert!(
        ghost["pid"].is_u64()
            && ghost["address"].as_str().unwrap().starts_with("0x")
            && ghost["ring_len"].is_u64()
    );
}

/// Check the table: a line a context in columns, then the sums; without a verb, with and without headings.
#[test]
fn table() {
    if !can_run("table") {
        return;
    }
    let mut fixture = Fixture::spawn();
    let pid = fixture.pid().to_string();
    let id = fixture.setup(128);
    fixture.run("poll #0 3");
    at_rest(fixture.pid());
    let output = run_aioinspect(&["-p", &pid]);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    let lines: Vec<Vec<&str>> = output.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    let heading = ["PID", "COMM", "CONTEXT", "MAX_REQS", "NR_EVENTS", "IN_FLIGHT", "UNREAPED", "FINDINGS"];
    assert_eq!(lines[0], heading);
    let id = format!("{id:#x}");
    let nr_events = fixture.truth().contexts[0].nr_events.to_string();
    assert_eq!(lines[1], [&pid, "aio-fixture", &id, "128", &nr_events, "3", "0", "in-flight"]);
    assert!(lines[2].is_empty() && lines[3].starts_with(&["aio-nr"]), "{output:?}");
    assert!(output.stdout.contains("attributed") && output.stdout.contains("source bpf"), "{output:?}");
    assert!(!output.stdout.contains('\x1b'), "no colour in a pipe");
    let bare = run_aioinspect(&["list", "-H", "-p", &pid]);
    assert_eq!(bare.stdout.lines().next().unwrap().split_whitespace().collect::<Vec<_>>(), lines[1]);
}

/// Check that a process without contexts gives header and footer, and one that does not exist exit code 3.
#[test]
fn nobody() {
    if !can_run("nobody") {
        return;
    }
    let fixture = Fixture::spawn();
    let pid = fixture.pid().to_string();
    let output = run_aioinspect(&["list", "-p", &pid]);
    assert_eq!(output.code, 0, "{output:?}");
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert!(
        lines.len() == 3 && lines[0].trim().starts_with("PID") && lines[2].starts_with("aio-nr "),
        "{output:?}"
    );
    drop(fixture);
    for args in [&["list", "-p"][..], &["-p"], &["list", "-J", "-p"], &["check"], &["dump"]] {
        let output = run_aioinspect(&args.iter().copied().chain(["4194304"]).collect::<Vec<_>>());
        assert_eq!((output.code, output.stdout.as_str()), (3, ""), "{args:?}: {output:?}");
        assert!(output.stderr.contains("4194304"), "{output:?}");
    }
}

/// Check that the sums of the footer are those of the contexts, of the whole host whatever is shown.
#[test]
fn sums() {
    if !can_run("sums") {
        return;
    }
    let mut fixture = Fixture::spawn();
    fixture.run("setup-many 3 200");
    at_rest(fixture.pid());
    let all = json(&run_aioinspect(&["list", "-J"]));
    let contexts = all["contexts"].as_array().unwrap();
    let sum: u64 = contexts.iter().map(|one| one["max_reqs"].as_u64().unwrap()).sum();
    assert_eq!(all["system"]["attributed"], sum);
    let (aio_nr, rest) = (&all["system"]["aio_nr"], &all["system"]["unattributed"]);
    assert_eq!(aio_nr.as_i64().unwrap(), i64::try_from(sum).unwrap() + rest.as_i64().unwrap());
    let some = list(fixture.pid());
    assert!(some["system"]["attributed"].as_u64().unwrap() >= 600, "{some}");
    assert_eq!(some["contexts"].as_array().unwrap().len(), 3);
}

/// Check that without BPF what only the kernel knows is null, and a dash in the table, never 0.
#[test]
fn without_bpf() {
    if !can_run("without_bpf") {
        return;
    }
    if !forks_copy_rings() {
        return skip("without_bpf", "this kernel's fork does not copy AIO rings");
    }
    let mut fixture = Fixture::spawn();
    let pid = fixture.pid().to_string();
    let id = fixture.setup(128);
    fixture.run("poll #0 4");
    fixture.run("complete #0 2");
    let child = fixture.pid_of("fork-ghost");
    at_rest(fixture.pid());
    let all = json(&run_aioinspect(&["list", "--no-bpf", "-J"]));
    assert_eq!(all["system"]["source"], "proc");
    assert!(all["system"]["attributed"].is_null() && all["system"]["unattributed"].is_null());
    assert!(all["system"]["aio_nr"].as_u64().unwrap() >= 128);
    let ours =
        |pid: u32| all["contexts"].as_array().unwrap().iter().find(move |one| one["pid"] == pid).unwrap();
    let one = ours(fixture.pid());
    assert_eq!(one["context"], format!("{id:#x}"));
    assert!(one["max_reqs"].is_null() && one["in_flight"].is_null(), "{one}");
    let nr_events = fixture.truth().contexts[0].nr_events;
    assert_eq!(
        (&one["nr_events"], &one["unreaped"], &one["mapped"]),
        (&nr_events.into(), &2.into(), &true.into())
    );
    // To smaps a ghost looks like a context; so nothing is called a ghost.
    assert_eq!(ours(child)["context"], one["context"]);
    assert!(all["ghosts"].as_array().unwrap().is_empty());
    let table = run_aioinspect(&["list", "--no-bpf", "-p", &pid]);
    let row: Vec<&str> = table.stdout.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row[3..7], ["-", &nr_events.to_string(), "-", "2"], "{table:?}");
    assert!(table.stdout.contains("source proc"), "{table:?}");
}

/// Check that 100,000 contexts are all listed, once each, and that the sums meet.
#[test]
fn a_hundred_thousand_contexts() {
    const TEST: &str = "a_hundred_thousand_contexts";
    if !can_run(TEST) {
        return;
    }
    let host = HostLock::take();
    let mut crowd = match Crowd::begin(&host) {
        Ok(crowd) => crowd,
        Err(error) => return skip(TEST, &format!("fs.aio-max-nr: {error}")),
    };
    let pids: BTreeSet<u64> = crowd.grow().into_iter().collect();
    let output = run_aioinspect(&["list", "-J"]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    let all = json(&output);
    assert_eq!(all["system"]["unattributed"], 0);
    assert_eq!(all["system"]["attributed"], aio_nr());
    let key = |context: &Value| {
        let pid = context["pid"].as_u64().unwrap();
        pids.contains(&pid).then(|| (pid, context["context"].to_string()))
    };
    let contexts = all["contexts"].as_array().unwrap();
    let different: BTreeSet<(u64, String)> = contexts.iter().filter_map(key).collect();
    assert_eq!(different.len() as u64, crowd.contexts());
    assert_eq!(contexts.iter().filter(|context| key(context).is_some()).count(), different.len());
    assert!(contexts.iter().all(|context| context["mapped"] == true && context["unreaped"].is_u64()));
}
