//! Tests of `host.rs`.

use aioinspect_model::evidence::CensusSource;
use aioinspect_model::host_verdict::judge;
use aioinspect_model::picture::{ContextView, Owner, Picture};
use aioinspect_model::reconcile::reconcile;
use aioinspect_model::specimen;
use aioinspect_model::units::Pid;

use super::*;
use crate::event_specimens;

/// A host that is nearly full, with all that can be wrong.
fn ill() -> Picture {
    let mut picture = reconcile(&specimen::idle());
    let one = picture.contexts.remove(0);
    let of = |pid: u32, comm: &[u8], max_reqs, unit: &str, findings: &[Finding]| ContextView {
        pid: Pid(pid),
        comm: comm.into(),
        max_reqs: Some(max_reqs),
        owner: Owner { unit: unit.into(), ..Owner::default() }.into(),
        findings: findings.to_vec(),
        ..one.clone()
    };
    let waits = |pid, seconds: u64, findings: &[Finding]| ContextView {
        dying_ns: Some(seconds * 1_000_000_000),
        ..of(pid, b"lvm", 64, "lvm.service", findings)
    };
    picture.contexts = vec![
        of(64, b"nginx", 50_000, "nginx.service", &[]),
        of(65, b"nginx", 10_000, "nginx.service", &[]),
        of(12, b"db\x1b[2J", 200, "a b.service", &[Finding::UnmappedRing]),
        of(13, b"odd", 1, "", &[Finding::ForgedHeader]),
        waits(7, 125, &[Finding::Dying, Finding::Exiting]),
        waits(8, 3, &[Finding::Dying]),
    ];
    (picture.system.aio_nr, picture.system.aio_max_nr) = (60_301, 65_536);
    (picture.system.attributed, picture.system.unattributed) = (Some(60_201), Some(100));
    picture
}

fn compared() -> Compared {
    let steady = Grew { growing: event_specimens::growing(), steadily: true };
    let mut jump = steady.clone();
    (jump.growing.since.slots, jump.growing.owner.owner.unit, jump.steadily) =
        (62_000, "b.service".into(), false);
    Compared { for_ns: 10_000_000_000, looks: 60, grew: vec![steady, jump] }
}

/// Check all lines, letter by letter, of one look and of several.
#[test]
fn lines() {
    let picture = ill();
    let expected = "\
host nearly full: 60301 of 65536 slots reserved, 92.0 %, 5235 free
  large: nginx.service reserves 60000 (2 processes), 91.5 % of the limit
  growth: one look does not show it: use `aioinspect doctor --for 10s`, or `aioinspect watch` for what is slow
  dying: 2 contexts wait for their requests, 1 of them in exit or exec, the oldest for 2 min 5 s: lvm[7], lvm[8]
  unmapped-ring: 1 context, 200 slots: db\\x1b[2J[12]
  forged-header: 1 context, 1 slot: odd[13]
  not seen: 100 reserved by processes that cannot be seen: in another PID namespace, or just starting or ending
  not seen: a\\nb
to do, the most urgent first:
  soon  set fs.aio-max-nr to 131072, so that io_setup succeeds; keep it in /etc/sysctl.d: sysctl -w fs.aio-max-nr=131072
  soon  nginx.service reserves 60000 (2 processes): find out whether it needs them: aioinspect list -Q 'OWNER == \"nginx.service\"'
  soon  lvm[7] waits for requests: see for which, and look at the device or peer that does not answer: aioinspect check 7
  soon  db\\x1b[2J[12]: the process unmapped the ring, so it cannot destroy the context; restart the process: nothing else frees the slots: aioinspect check 12
  look  odd[13]: the ring header differs from what the kernel wrote; restart the process: something overwrote its ring: aioinspect check 13
";
    assert_eq!(
        text(&Host::Judged(&judge(&picture, None), &["a\nb (see `aioinspect doctor`)".to_owned()])),
        expected
    );
    let several = text(&Host::Judged(&judge(&picture, Some(compared())), &[]));
    let growth: Vec<&str> =
        several.lines().filter(|line| line.contains("growth:") || line.contains("grows")).collect();
    assert_eq!(
        growth,
        [
            "  growth: nginx.service all the time: 63000 slots in 63 contexts, 12000 more in 3 h 5 min, 4000 an hour: at the rate of all that grow no slot is free in 38 min 6 s",
            "  growth: b.service has 1000 slots more than 10 s ago, but did not grow all the time",
            "  soon  nginx.service grows: find out who creates contexts: aioinspect watch",
        ]
    );
    let still = text(&Host::Judged(
        &judge(
            &reconcile(&specimen::idle()),
            Some(Compared { for_ns: 5_000_000_000, looks: 60, grew: vec![] }),
        ),
        &[],
    ));
    assert!(
        still.contains("  growth: no owner has more slots than 5 s ago\n")
            && still.ends_with("nothing to do\n"),
        "{still}"
    );
    let mut one = ill();
    one.contexts.drain(..4);
    one.contexts.truncate(1);
    one.contexts[0].stands_for = None;
    let said = text(&Host::Judged(&judge(&one, None), &[]));
    let expected = "  dying: at least 1 context waits for its requests, at least 1 of them in exit or exec, the oldest for 2 min 5 s: lvm[7]\n";
    assert!(said.contains(expected), "{said}");
    let few = text(&Host::Judged(&judge(&picture, Some(Compared { looks: 3, ..compared() })), &[]));
    let growth: Vec<&str> = few.lines().filter(|line| line.starts_with("  growth:")).collect();
    assert_eq!(
        growth[1..],
        [
            "  growth: b.service has 1000 slots more than 10 s ago",
            "  growth: 3 looks are too few to tell who grows all the time: use a longer --for",
        ]
    );
    assert_eq!(text(&Host::Unread("no /proc\u{7}")), "host not known: no /proc\\x07\n");
}

/// Check the keys: a promise.
#[test]
fn json_keys() {
    let picture = ill();
    let of = judge(&picture, Some(compared()));
    let keys = keys(&of, &["a\nb".to_owned()]);
    let names = |of: &Value| of.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        names(&keys),
        [
            "verdict",
            "system",
            "free",
            "used_ratio",
            "large_percent",
            "large",
            "growth",
            "dying",
            "wrong",
            "not_seen",
            "actions"
        ]
    );
    assert_eq!((&keys["verdict"], &keys["free"]), (&"nearly-full".into(), &5235.into()));
    assert_eq!(keys["used_ratio"].as_f64().map(|ratio| (ratio * 1000.0).round()), Some(920.0));
    assert_eq!(names(&keys["large"][0]), ["name", "processes", "contexts", "slots", "pid", "comm", "owner"]);
    let grew = &keys["growth"]["owners"][0];
    assert_eq!(
        names(grew)[7..],
        [
            "since",
            "grew_seconds",
            "contexts_before",
            "slots_before",
            "slots_per_hour",
            "full_in_seconds",
            "steadily"
        ]
    );
    assert_eq!((&grew["steadily"], &keys["growth"]["owners"][1]["steadily"]), (&true.into(), &false.into()));
    let few = judge(&picture, Some(Compared { looks: 3, ..compared() }));
    let few = &super::keys(&few, &[])["growth"];
    assert_eq!((&few["looks"], &few["owners"][0]["steadily"]), (&3.into(), &true.into()));
    assert_eq!(few["owners"][1]["steadily"], Value::Null);
    let dying = json!({"contexts": 2, "exiting": 1, "oldest_seconds": 125.0, "pids": [7, 8]});
    assert_eq!(keys["dying"], dying);
    assert_eq!(
        keys["wrong"][0],
        json!({"finding": "unmapped-ring", "contexts": 1, "slots": 200, "pids": [12]})
    );
    let mut unknown = ill();
    unknown.contexts[4].stands_for = None;
    assert_eq!(super::keys(&judge(&unknown, None), &[])["dying"]["contexts"], Value::Null);
    assert_eq!(keys["not_seen"], json!(["a\\nb"]));
    let ids: Vec<&str> =
        keys["actions"].as_array().unwrap().iter().map(|action| action["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["raise-limit", "ask-holder", "stop-growth", "end-waits", "mend", "mend"]);
    assert_eq!(names(&keys["actions"][0]), ["id", "urgency", "what", "do", "finding", "limit"]);
    assert_eq!(
        (&keys["actions"][0]["limit"], &keys["actions"][4]["finding"]),
        (&131_072.into(), &"unmapped-ring".into())
    );
}

/// Check that without BPF what is not known is null, and is called neither fine nor nothing.
#[test]
fn without_bpf() {
    let mut picture = reconcile(&specimen::idle());
    (picture.system.attributed, picture.system.unattributed, picture.system.source) =
        (None, None, CensusSource::Proc);
    let of = judge(&picture, None);
    let keys = keys(&of, &[]);
    assert_eq!(
        (&keys["verdict"], &keys["dying"], &keys["wrong"]),
        (&"unknown".into(), &Value::Null, &Value::Null)
    );
    let said = text(&Host::Judged(&of, &[]));
    assert!(said.starts_with("host has room, and more is not known: "), "{said}");
    let unseen =
        "  not seen: contexts that wait for their requests, and most of what can be wrong with the others\n";
    assert!(said.contains(unseen) && !said.contains("dying"), "{said}");
}

/// Check that a name that a shell or the filter would take for something else is in no line to be typed.
#[test]
fn hostile_names() {
    let owner = |unit: &str| Holder {
        pid: Pid(9),
        owner: Owner { unit: unit.into(), ..Owner::default() },
        ..Holder::default()
    };
    assert_eq!(list(&owner("a@b-1.service")), "aioinspect list -Q 'OWNER == \"a@b-1.service\"'");
    for name in
        ["a'; rm -rf ~; '.service", "a\" or true.service", "a$(x).service", "a\\x2d.service", "é.service", ""]
    {
        assert_eq!(list(&owner(name)), "aioinspect list -p 9", "{name}");
    }
}
