//! The keys of the JSON: a promise, so that a key is added here when it is added there, and never renamed.

use aioinspect_tests::record::RECIPES;
use serde_json::Value;

use crate::blessed::captures;
use crate::session::aioinspect;

const CONTEXT: [&str; 19] = [
    "pid",
    "comm",
    "ns_pid",
    "start_ticks",
    "context",
    "age_seconds",
    "max_reqs",
    "nr_events",
    "in_flight",
    "unreaped",
    "head",
    "tail",
    "ring_len",
    "mapped",
    "owner",
    "dying_seconds",
    "findings",
    "submit_fails_on",
    "stranded_credits",
];

fn json(args: &[&str], name: &str) -> Value {
    let path = captures().join(format!("{name}.evidence"));
    let said = aioinspect(&[args, &["--from", path.to_str().unwrap()]].concat());
    serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{args:?} of {name}: {error}: {said:?}"))
}

fn keys(of: &Value) -> Vec<&str> {
    of.as_object().unwrap_or_else(|| panic!("no object: {of}")).keys().map(String::as_str).collect()
}

fn each<'a>(of: &'a Value, key: &str) -> &'a [Value] {
    of[key].as_array().unwrap_or_else(|| panic!("{key} is no array: {of}"))
}

fn is_dying(context: &Value) -> bool {
    each(context, "findings").contains(&"dying".into())
}

fn is_context(context: &Value, more: &[&str]) {
    let expected = [&CONTEXT, more].concat();
    let has = |key: &str| match key {
        "dying_seconds" => is_dying(context),
        // Evidence of older versions has none.
        "ns_pid" => context.get(key).is_some(),
        // Of a context that a watch knew; `list` does not say so otherwise.
        "age_seconds" => context.get("origin").map_or(context.get(key).is_some(), |origin| !origin.is_null()),
        _ => true,
    };
    let shown = expected.iter().copied().filter(|key| has(key));
    assert_eq!(keys(context), shown.collect::<Vec<_>>(), "{context}");
    assert_eq!(keys(&context["owner"]), ["runtime", "unit", "container", "pod", "cgroup"]);
    // Of several that one exit waits for, those that cannot be named share a line.
    let is_unnamed = context["context"].is_null() && is_dying(context) && context["max_reqs"].is_null();
    assert!(is_unnamed || context["context"].as_str().unwrap().starts_with("0x"), "{context}");
    assert!(each(context, "findings").iter().all(Value::is_string));
}

fn are_ghosts(of: &Value) {
    for ghost in each(of, "ghosts") {
        assert_eq!(keys(ghost), ["pid", "address", "ring_len"]);
        assert!(ghost["address"].as_str().unwrap().starts_with("0x"));
    }
}

/// Check the keys of `list -J`, in their order, for every capture.
#[test]
fn of_list() {
    for recipe in RECIPES {
        let list = json(&["list", "-J"], recipe.name);
        assert_eq!(keys(&list), ["schema_version", "system", "contexts", "ghosts"]);
        assert_eq!(list["schema_version"], 1);
        assert_eq!(
            keys(&list["system"]),
            ["aio_nr", "aio_max_nr", "attributed", "unattributed", "possible_cpus", "source"]
        );
        assert!(["bpf", "proc"].contains(&list["system"]["source"].as_str().unwrap()));
        for context in each(&list, "contexts") {
            is_context(context, &[]);
        }
        are_ghosts(&list);
    }
}

/// Check that what cannot be known without the kernel is null, never 0.
#[test]
fn unknown_is_null() {
    let list = json(&["list", "-J"], "no-bpf");
    assert!(list["system"]["attributed"].is_null() && list["system"]["unattributed"].is_null());
    assert!(list["system"]["aio_nr"].is_u64());
    let contexts = each(&list, "contexts");
    assert_eq!(contexts.len(), 2);
    for context in contexts {
        assert!(context["max_reqs"].is_null() && context["in_flight"].is_null(), "{context}");
        assert!(context["nr_events"].is_u64() && context["unreaped"].is_u64(), "{context}");
    }
    let unreadable = json(&["list", "-J"], "unreadable-ring");
    assert!(each(&unreadable, "contexts")[0]["unreaped"].is_null());
    assert_eq!(each(&unreadable, "contexts")[0]["in_flight"], 0);
}

/// Check the keys of `headroom -J`, and that what is held adds up to what could be attributed.
#[test]
fn of_headroom() {
    for recipe in RECIPES {
        let room = json(&["headroom", "-J"], recipe.name);
        assert_eq!(
            keys(&room),
            [
                "schema_version",
                "system",
                "free",
                "need",
                "enough",
                "holders",
                "owners",
                "short_by",
                "least_limit",
                "ring_bytes"
            ]
        );
        let list = json(&["list", "-J"], recipe.name);
        assert_eq!(room["system"], list["system"]);
        assert!(room["need"].is_null() && room["enough"].is_null());
        let number = |of: &Value| of.as_i64().unwrap();
        let (used, limit) = (number(&room["system"]["aio_nr"]), number(&room["system"]["aio_max_nr"]));
        assert_eq!(number(&room["free"]), limit - used);
        let holders = each(&room, "holders");
        for holder in holders {
            assert_eq!(keys(holder), ["pid", "comm", "contexts", "slots", "owner"]);
            assert_eq!(keys(&holder["owner"]), ["runtime", "unit", "container", "pod", "cgroup"]);
            assert_eq!(holder["slots"].is_null(), room["system"]["attributed"].is_null(), "{holder}");
        }
        let owners = each(&room, "owners");
        for owner in owners {
            assert_eq!(
                keys(owner),
                ["name", "processes", "contexts", "slots", "pid", "comm", "owner", "more_fit"]
            );
            assert_eq!(owner["slots"].is_null(), owner["more_fit"].is_null(), "{owner}");
        }
        let of = |key: &str, all: &[Value]| all.iter().filter_map(|one| one[key].as_i64()).sum::<i64>();
        assert_eq!(of("processes", owners), i64::try_from(holders.len()).unwrap());
        assert_eq!(of("slots", owners), of("slots", holders));
        assert_eq!(of("contexts", owners), of("contexts", holders));
        let sum: i64 = holders.iter().filter_map(|holder| holder["slots"].as_i64()).sum();
        assert_eq!(sum, room["system"]["attributed"].as_i64().unwrap_or(0), "{}", recipe.name);
        let contexts: i64 = holders.iter().map(|holder| number(&holder["contexts"])).sum();
        // What is dying has no slot any more.
        let living = each(&list, "contexts").iter().filter(|context| !is_dying(context)).count();
        assert_eq!(usize::try_from(contexts).unwrap(), living);
    }
}

/// Check the keys of `doctor -J --from`, that nothing of this host is in it, and that its numbers are those of `headroom`.
#[test]
fn of_doctor() {
    let mut ids: Vec<String> = Vec::new();
    for recipe in RECIPES {
        let doctor = json(&["doctor", "-J"], recipe.name);
        assert_eq!(keys(&doctor), ["schema_version", "dump_would_work", "host", "host_error", "checks"]);
        assert!(doctor["dump_would_work"].is_null() && doctor["host_error"].is_null());
        assert_eq!(doctor["checks"], Value::Array(Vec::new()));
        let host = &doctor["host"];
        let expected = [
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
            "actions",
        ];
        assert_eq!(keys(host), expected);
        let room = json(&["headroom", "-J"], recipe.name);
        assert_eq!((&host["system"], &host["free"]), (&room["system"], &room["free"]));
        assert!(host["growth"].is_null(), "{}", recipe.name);
        let list = json(&["list", "-J"], recipe.name);
        let is_any = each(&list, "contexts").iter().any(is_dying);
        // Without BPF nobody knows.
        if host["system"]["source"] == "proc" {
            assert!(host["dying"].is_null() && !is_any && host["verdict"] != "fine", "{}", recipe.name);
        } else {
            assert_eq!(keys(&host["dying"]), ["contexts", "exiting", "oldest_seconds", "pids"]);
            assert_eq!(!each(&host["dying"], "pids").is_empty(), is_any, "{}", recipe.name);
            assert!(host["wrong"].is_array(), "{}", recipe.name);
        }
        for wrong in host["wrong"].as_array().into_iter().flatten() {
            assert_eq!(keys(wrong), ["finding", "contexts", "slots", "pids"]);
        }
        for action in each(host, "actions") {
            assert_eq!(keys(action), ["id", "urgency", "what", "do", "finding", "limit"]);
            ids.push(action["id"].as_str().unwrap().to_owned());
        }
    }
    for id in ["end-waits", "mend", "use-bpf"] {
        assert!(ids.iter().any(|of| of == id), "no capture asks for {id}");
    }
}

/// Check the keys of `check -J`.
#[test]
fn of_check() {
    for recipe in RECIPES.iter().filter(|recipe| recipe.expect.verdict != "host") {
        let check = json(&["check", "-J"], recipe.name);
        let expected = [
            "schema_version",
            "pid",
            "comm",
            "verdict",
            "proof",
            "manner",
            "pause_ns",
            "reasons",
            "unproven",
            "not_looked_at",
            "contexts",
            "ghosts",
        ];
        assert_eq!(keys(&check), expected, "{}", recipe.name);
        assert_eq!(check["verdict"], recipe.expect.verdict);
        are_ghosts(&check);
        let contexts = each(&check, "contexts");
        for context in contexts {
            is_context(context, &["origin", "reasons"]);
        }
        let reasons =
            contexts.iter().flat_map(|context| each(context, "reasons")).chain(each(&check, "reasons"));
        for reason in reasons {
            assert_eq!(keys(reason), ["finding", "what", "remedy"]);
        }
    }
}
