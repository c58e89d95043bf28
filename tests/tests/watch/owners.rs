//! Whose an event is: the control group at the call, also when nothing is left of it.

use aioinspect_tests::cgroup::{Cgroup, Hierarchy, hierarchies};
use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::host::aio_max_nr;
use aioinspect_tests::programs::skip;
use serde_json::json;

use crate::hooks::each;

const PROCESSES: u32 = 50;

/// An id that no container of this host has.
fn container(number: usize) -> String {
    format!("{:032x}{number:032x}", std::process::id())
}

/// Processes of a container, each of which makes a context, fails to make another, and ends at once; then the container's group is removed.
fn come_and_go(hierarchy: &Hierarchy, container: &str) -> Vec<u32> {
    let cgroup = Cgroup::below(hierarchy, &format!("system.slice/docker-{container}.scope"));
    let one = |_| {
        let mut fixture = Fixture::spawn();
        let pid = fixture.pid();
        cgroup.take(pid);
        // Not waited for: it ends right after the second.
        fixture.send("setup 1");
        fixture.send("setup 0");
        fixture.finish();
        pid
    };
    (0..PROCESSES).map(one).collect()
}

/// Check that 50 of 50 short-lived processes of a container are told as its own, in every event, in cgroup v2 and in v1: by the name that the group had
/// while it was there.
#[test]
fn of_those_that_end_at_once() {
    let hierarchies = hierarchies();
    if hierarchies.is_empty() {
        skip("of_those_that_end_at_once", "needs a mounted hierarchy of control groups");
        return;
    }
    each("of_those_that_end_at_once", |hook, watch| {
        let known: Vec<(String, Vec<u32>)> = hierarchies
            .iter()
            .enumerate()
            .map(|(number, hierarchy)| {
                let container = container(number);
                let pids = come_and_go(hierarchy, &container);
                (container, pids)
            })
            .collect();
        let ended = watch.end();
        for (container, pids) in known {
            let unit = format!("docker-{container}.scope");
            let owner =
                json!({"runtime": "docker", "unit": unit, "container": container, "pod": "", "cgroup": ""});
            for kind in ["setup", "setup-failed", "exit"] {
                let events = pids.iter().flat_map(|pid| ended.of(*pid, kind));
                let own = events.filter(|event| event["owner"] == owner).count();
                assert_eq!(own, pids.len(), "{hook}: {kind}: {hierarchies:?} {}", ended.stderr);
            }
        }
    });
}

/// Check that the first call of a process that is deep in groups of every hierarchy is told as its container's: the program writes all of their names at once.
#[test]
fn in_every_hierarchy() {
    let hierarchies = hierarchies();
    if hierarchies.is_empty() {
        skip("in_every_hierarchy", "needs a mounted hierarchy of control groups");
        return;
    }
    each("in_every_hierarchy", |hook, watch| {
        let container = container(200);
        let pod = format!("{:08x}_0000_4000_8000_00000000abcd", std::process::id());
        let slice = format!("kubepods-burstable-pod{pod}.slice");
        let path =
            format!("kubepods.slice/kubepods-burstable.slice/{slice}/cri-containerd-{container}.scope");
        let groups: Vec<Cgroup> =
            hierarchies.iter().map(|hierarchy| Cgroup::below(hierarchy, &path)).collect();
        let mut fixture = Fixture::spawn();
        let pid = fixture.pid();
        for group in &groups {
            group.take(pid);
        }
        fixture.send("setup 0");
        fixture.finish();
        drop(groups);
        let ended = watch.end();
        let events = ended.of(pid, "setup-failed");
        assert_eq!(events.len(), 1, "{hook}");
        let owner = &events[0]["owner"];
        assert_eq!(
            (owner["runtime"].as_str(), owner["container"].as_str()),
            (Some("containerd"), Some(&*container))
        );
        assert_eq!(owner["pod"], pod.replace('_', "-"), "{hook}");
    });
}

/// Check that a process that moves is each time of the container that it is in at the call, also when all of them are gone.
#[test]
fn who_moves() {
    let Some(hierarchy) = hierarchies().into_iter().next() else {
        skip("who_moves", "needs a mounted hierarchy of control groups");
        return;
    };
    each("who_moves", |hook, watch| {
        let names = [container(100), container(101)];
        let groups = names.each_ref().map(|name| Cgroup::below(&hierarchy, &format!("docker/{name}")));
        let mut fixture = Fixture::spawn();
        let pid = fixture.pid();
        let mut fail = || assert_eq!(fixture.try_run("setup 0").unwrap_err().errno, 22);
        for group in [&groups[0], &groups[1], &groups[0]] {
            group.take(pid);
            fail();
        }
        fixture.finish();
        // The first made what both are in.
        let [first, second] = groups;
        drop(second);
        drop(first);
        let ended = watch.end();
        let said: Vec<&str> = ended
            .of(pid, "setup-failed")
            .into_iter()
            .map(|event| event["owner"]["container"].as_str().unwrap_or("null"))
            .collect();
        assert_eq!(said, [&names[0], &names[1], &names[0]], "{hook}");
    });
}

/// Check that a failure is explained by the owner of many processes, in words and in keys, and not by three of them.
#[test]
fn reason_names_owners() {
    let all = hierarchies();
    let Some(hierarchy) = all.iter().find(|hierarchy| hierarchy.is_v2).or(all.first()) else {
        skip("reason_names_owners", "needs a mounted hierarchy of control groups");
        return;
    };
    each("reason_names_owners", |hook, mut watch| {
        let unit = format!("nginx-{}.service", std::process::id());
        let cgroup = Cgroup::below(hierarchy, &format!("system.slice/{unit}"));
        let workers: Vec<Fixture> = (0..6)
            .map(|_| {
                let mut fixture = Fixture::spawn();
                cgroup.take(fixture.pid());
                fixture.setup(1000);
                fixture
            })
            .collect();
        let mut asker = Fixture::spawn();
        let limit = aio_max_nr();
        assert!(asker.try_run(&format!("setup {limit}")).is_err());
        let pid = asker.pid();
        let failed =
            watch.expect("the failure", |event| event["pid"] == pid && event["event"] == "setup-failed");
        let reason = failed["reason"].as_str().unwrap();
        assert!(
            reason.contains(&format!("{unit} (6 processes, 6000 slots in 6 contexts)")),
            "{hook}: {reason}"
        );
        let owners = failed["owners"].as_array().unwrap();
        let ours = owners.iter().find(|owner| owner["name"] == *unit).unwrap();
        assert_eq!((&ours["processes"], &ours["slots"]), (&6.into(), &6000.into()), "{hook}");
        assert!(owners.len() <= 3, "{hook}: {failed}");
        drop(workers);
        drop(watch);
    });
}
