//! Processes that all look alike: what tells them apart, and what they come to together.

use std::fs;
use std::process::{Command, Stdio};

use aioinspect_tests::cgroup::{Cgroup, hierarchies};
use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::host::HostLock;
use aioinspect_tests::programs::{run_aioinspect, skip};
use serde_json::Value;

use crate::tool::{at_rest, can_run, context, directory, eventually, json, list};

/// The rows of a table without headings, by blanks.
fn rows(args: &[&str]) -> Vec<Vec<String>> {
    let output = run_aioinspect(args);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{args:?}: {output:?}");
    output.stdout.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

/// A number that no other test sets up.
fn odd_number() -> u32 {
    1000 + std::process::id() % 1000
}

/// Check that the user is that of the effective UID, by name and where it has none by number, in columns, filters, JSON and a replay.
#[test]
fn users() {
    if !can_run("users") {
        return;
    }
    let uids = ["0", "65534", "54321"];
    let mut fixtures: Vec<Fixture> = uids.iter().map(|_| Fixture::spawn()).collect();
    for (fixture, uid) in fixtures.iter_mut().zip(uids) {
        fixture.setup(4);
        if uid != "0" {
            fixture.run(&format!("set-uid {uid}"));
        }
        at_rest(fixture.pid());
    }
    let pids: Vec<String> = fixtures.iter().map(|fixture| fixture.pid().to_string()).collect();
    let all = pids.join(",");
    // A virtual machine of the suites has no users: there all are numbers.
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = |uid: &str| {
        let line = passwd.lines().find(|line| line.split(':').nth(2) == Some(uid));
        line.map_or(uid, |line| line.split(':').next().unwrap()).to_owned()
    };
    assert_eq!(named("54321"), "54321", "this host has such a user");
    let mut expected: Vec<Vec<String>> =
        pids.iter().zip(uids).map(|(pid, uid)| vec![pid.clone(), uid.to_owned(), named(uid)]).collect();
    expected.sort_by_key(|row| row[0].parse::<u32>().unwrap());
    assert_eq!(rows(&["list", "-H", "-p", &all, "-o", "PID,UID,USER"]), expected);
    let filter = format!("USER == \"{}\" and UID == 65534", named("65534"));
    assert_eq!(rows(&["list", "-H", "-p", &all, "-o", "PID", "-Q", &filter]), [[pids[1].clone()]]);
    let one = list(fixtures[2].pid());
    assert_eq!((&one["contexts"][0]["uid"], &one["contexts"][0]["user"]), (&54321.into(), &"54321".into()));
    let into = directory();
    let file = into.path().join("all.evidence");
    let file = file.to_str().unwrap();
    assert_eq!(run_aioinspect(&["list", "-H", "--evidence", file]).code, 0);
    assert_eq!(rows(&["list", "-H", "-p", &all, "-o", "PID,UID,USER", "--from", file]), expected);
    let by = rows(&["list", "-H", "-p", &all, "--by", "user", "-o", "USER,PROCESSES,MAX_REQS"]);
    let mut by: Vec<String> = by.into_iter().map(|row| row.join(" ")).collect();
    by.sort();
    let mut groups: Vec<String> = uids.iter().map(|uid| format!("{} 1 4", named(uid))).collect();
    groups.sort();
    assert_eq!(by, groups);
}

/// Check that a process in a PID namespace of its own is shown with the PID that it has there, which is what its log shows.
#[test]
fn the_pid_in_its_container() {
    const TEST: &str = "the_pid_in_its_container";
    if !can_run(TEST) {
        return;
    }
    let unshare = ["unshare", "--pid", "--fork", "--kill-child"];
    let tried = Command::new(unshare[0]).args(&unshare[1..]).arg("true").stderr(Stdio::null()).status();
    if !tried.is_ok_and(|status| status.success()) {
        return skip(TEST, "needs unshare --pid (util-linux, CONFIG_PID_NS)");
    }
    let (mut inside, mut outside) = (Fixture::spawn_called(&unshare, &[]), Fixture::spawn());
    let slots = odd_number();
    inside.setup(slots);
    outside.setup(slots);
    at_rest(outside.pid());
    let filter = format!("MAX_REQS == {slots} and COMM == \"aio-fixture\"");
    let found = rows(&["list", "-H", "-o", "PID,NSPID", "-Q", &filter]);
    let outside = outside.pid().to_string();
    assert!(found.contains(&vec![outside.clone(), outside.clone()]), "{found:?}");
    let inner = found.iter().find(|row| row[0] != outside).unwrap();
    assert_eq!((found.len(), inner[1].as_str()), (2, "1"), "{found:?}");
    assert_eq!(list(inner[0].parse().unwrap())["contexts"][0]["ns_pid"], 1);
    let by_inner = rows(&["list", "-H", "-o", "PID", "-Q", &format!("NSPID == 1 and {filter}")]);
    assert_eq!(by_inner, [[inner[0].clone()]]);
}

/// Check that command lines tell alike processes apart, that what is in them does nothing to a terminal or a pipe, and that they are read only if
/// they are named: neither JSON nor evidence has them otherwise.
#[test]
fn command_lines() {
    if !can_run("command_lines") {
        return;
    }
    let evil = "--x=\x1b]0;a\x07\x1b[2J\n\r\u{202e}\u{9b}7 \\";
    let mut fixtures =
        ["--port=3306", "--port=3307", evil].map(|arg| Fixture::spawn_called(&[], &[arg, "password"]));
    for fixture in &mut fixtures {
        fixture.setup(1);
        at_rest(fixture.pid());
    }
    let pids: Vec<String> = fixtures.iter().map(|fixture| fixture.pid().to_string()).collect();
    let one = rows(&["list", "-H", "-o", "PID", "-Q", "CMDLINE =~ \"--port=3307 password$\""]);
    assert_eq!(one, [[pids[1].clone()]]);
    for args in [
        &["list", "-H", "-p", &pids[2], "-o", "CMDLINE"][..],
        &["list", "-J", "-p", &pids[2], "-o", "CMDLINE"],
    ] {
        let said = run_aioinspect(args);
        assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{said:?}");
        let is_seen = |c: char| c == '\n' || (!c.is_control() && c != '\u{202e}');
        assert!(said.stdout.chars().all(is_seen), "{said:?}");
        let shown = if args[1] == "-J" {
            json(&said)["contexts"][0]["cmdline"].as_str().unwrap().to_owned()
        } else {
            assert_eq!(said.stdout.lines().count(), 1, "{said:?}");
            said.stdout.trim_end().to_owned()
        };
        let escaped = r"--x=\x1b]0;a\x07\x1b[2J\n\x0d\xe2\x80\xae\xc2\x9b7 \\ password";
        assert!(shown.ends_with(&format!("/aio-fixture called {escaped}")), "{shown}");
    }
    let whole = run_aioinspect(&["list", "-J"]);
    assert!(!whole.stdout.contains("cmdline") && !whole.stdout.contains("password"), "{whole:?}");
    let into = directory();
    for (name, more, has) in [("without", &[][..], false), ("with", &["-o", "+CMDLINE"], true)] {
        let file = into.path().join(name);
        let args = [&["list", "-p", &pids[0], "--evidence", file.to_str().unwrap()], more].concat();
        assert_eq!(run_aioinspect(&args).code, 0);
        let shown = run_aioinspect(&["show", "-J", file.to_str().unwrap()]);
        assert_eq!((shown.code, shown.stdout.contains("--port=3307")), (0, has), "{name}");
        let replayed = run_aioinspect(&[
            "list",
            "-H",
            "-p",
            &pids[0],
            "-o",
            "CMDLINE",
            "--from",
            file.to_str().unwrap(),
        ]);
        assert_eq!(replayed.stdout.contains("called --port=3306 password"), has, "{replayed:?}");
    }
}

/// What `list --by WHAT -J` says.
fn grouped(by: &str, more: &[&str]) -> Value {
    let output = run_aioinspect(&[&["list", "-J", "--by", by], more].concat());
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{output:?}");
    json(&output)
}

/// Checks that the sums of the groups are those of the contexts beside them, by the key that they are grouped by.
fn meets(said: &Value, key: impl Fn(&Value) -> Value) {
    let contexts = said["contexts"].as_array().unwrap();
    let groups = said["groups"].as_array().unwrap();
    let number = |of: &Value, key: &str| of[key].as_u64().unwrap_or(0);
    for group in groups {
        // By owner, each process that nothing names is a group of its own.
        let is_process = said["by"] == "owner" && group["name"] == "";
        let is_own = |context: &&Value| {
            key(context) == group["name"] && (!is_process || context["pid"] == group["pid"])
        };
        let own: Vec<&Value> = contexts.iter().filter(is_own).collect();
        for sum in ["max_reqs", "nr_events", "in_flight", "unreaped", "ring_len"] {
            assert_eq!(
                number(group, sum),
                own.iter().map(|one| number(one, sum)).sum::<u64>(),
                "{sum}: {group}"
            );
        }
        assert_eq!(group["contexts"], own.len(), "{group}");
        let mut pids: Vec<u64> = own.iter().map(|one| number(one, "pid")).collect();
        pids.dedup();
        assert_eq!(group["processes"], pids.len(), "{group}");
        assert!(pids.contains(&number(group, "pid")), "{group}");
        let limit = number(&said["system"], "aio_max_nr");
        let thousandths = u128::from(number(group, "max_reqs")) * 100_000 / u128::from(limit);
        assert!((group["share"].as_f64().unwrap() * 1000.0 - thousandths as f64).abs() < 0.5, "{group}");
    }
    let reserved: Vec<u64> = groups.iter().map(|group| number(group, "max_reqs")).collect();
    assert!(reserved.is_sorted_by(|a, b| a >= b), "{said}");
    assert_eq!(groups.iter().map(|group| number(group, "contexts")).sum::<u64>(), contexts.len() as u64);
}

/// Check that each grouping meets the contexts and the footer, that the control group names the owner, and that -p and -Q choose what is summed.
#[test]
fn groups() {
    const TEST: &str = "groups";
    if !can_run(TEST) {
        return;
    }
    let all = hierarchies();
    let Some(hierarchy) = all.iter().find(|hierarchy| hierarchy.is_v2).or(all.first()) else {
        return skip(TEST, "needs a mounted hierarchy of control groups");
    };
    let host = HostLock::take();
    let process = std::process::id();
    let (unit, pod) =
        (format!("nginx-{process}.service"), format!("{process:08x}-0001-4000-8000-00000000abcd"));
    let service = Cgroup::below(hierarchy, &format!("system.slice/{unit}"));
    let containers = [1, 2].map(|number| {
        let (pod, container) = (pod.replace('-', "_"), format!("{process:032x}{number:032x}"));
        Cgroup::below(
            hierarchy,
            &format!("kubepods.slice/kubepods-pod{pod}.slice/cri-containerd-{container}.scope"),
        )
    });
    let in_group = |group: &Cgroup, slots| {
        let mut fixture = Fixture::spawn_alone(&host);
        group.take(fixture.pid());
        fixture.setup(slots);
        fixture.run(&format!("setup {slots}"));
        fixture
    };
    let mut workers: Vec<Fixture> = (0..4).map(|_| in_group(&service, 50)).collect();
    let database: Vec<Fixture> = containers.iter().map(|group| in_group(group, 30)).collect();
    workers[0].run("poll #0 3");
    workers.iter().chain(&database).for_each(|fixture| at_rest(fixture.pid()));
    let owner = |context: &Value| {
        let parts = ["pod", "container", "unit", "cgroup"].map(|part| context["owner"][part].clone());
        parts.into_iter().find(|part| part != "").unwrap_or_else(|| "".into())
    };
    let by_owner = grouped("owner", &[]);
    meets(&by_owner, owner);
    let group = |said: &Value, name: &str| {
        let groups = said["groups"].as_array().unwrap();
        groups.iter().find(|group| group["name"] == name).unwrap_or_else(|| panic!("{name}: {said}")).clone()
    };
    let nginx = group(&by_owner, &unit);
    assert_eq!(
        (&nginx["processes"], &nginx["contexts"], &nginx["max_reqs"]),
        (&4.into(), &8.into(), &400.into())
    );
    assert_eq!((&nginx["in_flight"], &nginx["worst"]), (&3.into(), &"in-flight".into()), "{nginx}");
    assert_eq!(group(&by_owner, &pod)["max_reqs"], 120);
    meets(&grouped("comm", &[]), |context| context["comm"].clone());
    meets(&grouped("unit", &[]), |context| context["owner"]["unit"].clone());
    meets(&grouped("user", &[]), |context| context["user"].clone());
    let by_pod = grouped("pod", &[]);
    meets(&by_pod, |context| context["owner"]["pod"].clone());
    assert_eq!((&group(&by_pod, &pod)["processes"], &by_pod["by"]), (&2.into(), &"pod".into()));
    let pids = [workers[0].pid(), workers[1].pid()].map(|pid| pid.to_string()).join(",");
    let some = grouped("owner", &["-p", &pids, "-Q", "IN_FLIGHT == 0"]);
    meets(&some, owner);
    assert_eq!((some["groups"].as_array().unwrap().len(), &some["groups"][0]["max_reqs"]), (1, &150.into()));
    // Others of the host may come and go between two readings.
    eventually("the rows meet the footer", || {
        let output = run_aioinspect(&["list", "--by", "owner", "-o", "OWNER,MAX_REQS"]);
        let lines: Vec<&str> = output.stdout.lines().take_while(|line| !line.is_empty()).collect();
        assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["OWNER", "MAX_REQS"]);
        let slots = |line: &&str| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
        let sum: u64 = lines[1..].iter().map(slots).sum();
        output.stdout.contains(&format!("aio-nr {sum} of ")) && output.stdout.contains("unattributed 0")
    });
    let named =
        rows(&["list", "-H", "--by", "unit", "-o", "unit,processes,max_reqs,share", "-Q", "MAX_REQS == 50"]);
    assert!(
        named.iter().any(|row| row[..3] == [unit.clone(), "4".to_owned(), "400".to_owned()]),
        "{named:?}"
    );
    let wrong = run_aioinspect(&["list", "--by", "unit", "-o", "COMM"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("the columns are UNIT, PROCESSES, "), "{wrong:?}");
    assert_eq!(context(&list(workers[1].pid()), workers[1].truth().context(0).unwrap().id)["max_reqs"], 50);
}
