//! Failures of io_submit, io_getevents and io_pgetevents: each counted once, with its cause, by each hook; and as `watch` tells them.

use std::collections::BTreeMap;

use aioinspect_kernel::trace::hook::Hook;
use aioinspect_kernel::trace::submits::{Submits, SubmitsLost};
use aioinspect_model::submit_failure::Call;
use aioinspect_tests::architecture::{IO_PGETEVENTS, no_callers_of_32_bits};
use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::programs::{is_root, skip};
use aioinspect_tests::strand::strand;
use aioinspect_tests::watch::{Ended, Watch, is_of, reads_heads};
use serde_json::Value;

use crate::hooks::each;

/// What is made, by which call, with which errno and which cause.
const KINDS: [(&str, &str, i32, &str); 10] = [
    ("full", "io_submit", libc::EAGAIN, "ring-full"),
    ("no-context", "io_submit", libc::EINVAL, "no-context"),
    ("request", "io_submit", libc::EINVAL, "bad-request"),
    ("number", "io_submit", libc::EINVAL, "bad-number"),
    ("file", "io_submit", libc::EBADF, "bad-file"),
    ("memory", "io_submit", libc::EFAULT, "bad-memory"),
    ("getevents-no-context", "io_getevents", libc::EINVAL, "no-context"),
    ("getevents-number", "io_getevents", libc::EINVAL, "bad-number"),
    ("getevents-memory", "io_getevents", libc::EFAULT, "bad-memory"),
    ("pgetevents-number", "io_pgetevents", libc::EINVAL, "bad-number"),
];

/// The counts of one process, by call and errno.
fn failed(submits: &Submits, pid: u32) -> BTreeMap<(Call, i32), u64> {
    let failed = submits.failed().unwrap();
    failed.into_iter().filter(|of| of.of.pid.0 == pid).map(|of| ((of.call, of.errno), of.count)).collect()
}

fn fail(fixture: &mut Fixture, kind: &str, times: u64, errno: i32) -> Value {
    let answer = fixture.run(&format!("fail {kind} {times}"));
    assert_eq!((&answer["errno"], &answer["failures"]), (&errno.into(), &times.into()), "{kind}");
    answer
}

fn name(errno: i32) -> String {
    aioinspect_model::errno::name(errno).into_owned()
}

/// Check that each failure is counted once under its call and errno, with the arguments of the last one, that what is no failure is not, and
/// that the counts of io_submit are what they are without the others.
#[test]
fn each_is_counted() {
    each("each_is_counted", |hook, mut submits| {
        let mut fixture = Fixture::spawn();
        let pid = fixture.pid();
        // Every call is seen; kretprobes alone may miss returns of many threads at once, and say so.
        let unseen = submits.unseen();
        assert_eq!(unseen.len(), usize::from(hook == Hook::Kprobe), "{hook:?}: {unseen:?}");
        assert!(unseen.iter().all(|line| line.contains("are missed, and not counted as lost")), "{unseen:?}");
        let mut expected = BTreeMap::new();
        let mut contexts = BTreeMap::new();
        for (nth, (kind, call, errno, _)) in (3_u64..).zip(KINDS) {
            let answer = fail(&mut fixture, kind, nth, errno);
            let call =
                [Call::Submit, Call::Getevents, Call::Pgetevents].into_iter().find(|of| of.name() == call);
            *expected.entry((call.unwrap(), errno)).or_insert(0) += nth;
            contexts.insert((call.unwrap(), errno), answer["context"].as_str().unwrap().to_owned());
        }
        fail(&mut fixture, "pgetevents", 5, 0);
        fail(&mut fixture, "getevents-time-out", 5, 0);
        assert_eq!(failed(&submits, pid), expected, "{hook:?}");
        for of in submits.failed().unwrap().into_iter().filter(|of| of.of.pid.0 == pid) {
            let asked = &of.arguments;
            assert_eq!(asked.context.to_string(), contexts[&(of.call, of.errno)], "{hook:?}: {of:?}");
            if of.call != Call::Submit && of.errno == libc::EINVAL {
                assert_eq!((asked.second, asked.third), (2, 1), "{hook:?}: {of:?}");
            }
        }
        let counts = submits.read().unwrap();
        let count = counts.iter().find(|count| count.pid.0 == pid).unwrap();
        let of_submit: BTreeMap<i32, u64> = count.errors.iter().copied().collect();
        assert_eq!(of_submit[&libc::EINVAL], expected[&(Call::Submit, libc::EINVAL)], "{hook:?}");
        assert_eq!(of_submit.len(), 4, "{hook:?}: {of_submit:?}");
        let actor = submits.actor(count.submitter()).unwrap().unwrap();
        assert_eq!((actor.pid.0, actor.comm), (pid, b"aio-fixture".to_vec()), "{hook:?}");
        assert_eq!(submits.lost().unwrap(), SubmitsLost::default(), "{hook:?}");
    });
}

/// Check that a process that never submits is told apart as well, and a 32-bit caller of io_getevents, but for the hook that the kernel
/// does not pass for them.
#[test]
fn callers_of_32_bits() {
    if let Some(reason) = no_callers_of_32_bits() {
        return skip("callers_of_32_bits", reason);
    }
    each("callers_of_32_bits", |hook, submits| {
        let mut fixture = Fixture::spawn();
        let failed_by = &fail(&mut fixture, "getevents32-number", 4, libc::EINVAL)["pid"];
        let pid = u32::try_from(failed_by.as_u64().unwrap()).unwrap();
        let expected =
            if hook == Hook::Tracepoint { vec![] } else { vec![((Call::Getevents, libc::EINVAL), 4)] };
        assert_eq!(failed(&submits, pid).into_iter().collect::<Vec<_>>(), expected, "{hook:?}");
    });
}

/// Check what is true of calls that a filter (seccomp) refuses: they never come to their function, so that only tracepoints see them.
#[test]
fn a_filter_refuses() {
    each("a_filter_refuses", |hook, submits| {
        let mut fixture = Fixture::spawn();
        fixture.run(&format!("refuse {} {}", IO_PGETEVENTS, libc::EPERM));
        fail(&mut fixture, "pgetevents", 7, libc::EPERM);
        let seen = failed(&submits, fixture.pid()).into_iter().collect::<Vec<_>>();
        println!("a_filter_refuses: {}: {seen:?}", hook.name());
        let is_seen = matches!(hook, Hook::Tracepoint | Hook::RawTracepoint);
        let expected = if is_seen { vec![((Call::Pgetevents, libc::EPERM), 7)] } else { vec![] };
        assert_eq!(seen, expected, "{hook:?}");
    });
}

/// The events of failed calls of one process, by call, errno and cause, with their sums.
fn told(ended: &Ended, pid: u32) -> BTreeMap<(String, String, String), u64> {
    let text = |event: &Value, key: &str| event[key].as_str().unwrap().to_owned();
    let mut sums = BTreeMap::new();
    for event in ended.of(pid, "submit-failed") {
        let key = (text(event, "call"), text(event, "errno"), text(event, "cause"));
        *sums.entry(key).or_insert(0) += event["count"].as_u64().unwrap();
    }
    sums
}

fn watch(args: &[&str]) -> Watch {
    let args = [&["--collect", "submit"], args].concat();
    Watch::start(&args).unwrap_or_else(|ended| panic!("{args:?}: {}", ended.stderr))
}

/// Check every kind of failure as `watch --collect submit` tells it: cause and sum, and a full ring in words.
#[test]
fn watch_tells_each() {
    if !is_root() {
        return skip("watch_tells_each", "needs root (CAP_BPF, CAP_PERFMON)");
    }
    // Whether completions were reaped only the ring's header tells.
    let sees_full = reads_heads();
    let mut watch = watch(&["--failures"]);
    let mut expected = BTreeMap::new();
    // A process each: the arguments that are kept are those of the last call.
    let mut fixtures: Vec<Fixture> = KINDS.iter().map(|_| Fixture::spawn()).collect();
    for (nth, ((kind, call, errno, cause), fixture)) in (3_u64..).zip(KINDS.iter().zip(&mut fixtures)) {
        fail(fixture, kind, nth, *errno);
        let cause = if *cause == "ring-full" && !sees_full { "no-credits" } else { cause };
        expected.insert(fixture.pid(), (call.to_string(), name(*errno), cause.to_string(), nth));
    }
    let pid = fixtures[0].pid();
    let full = watch.expect("a full ring", |event| is_of(event, pid) && event["event"] == "submit-failed");
    let keys: Vec<&String> = full.as_object().unwrap().keys().collect();
    let named =
        ["schema_version", "time", "event", "pid", "tid", "comm", "call", "errno", "count", "context"];
    assert_eq!(keys, [&named[..], &["cause", "reason", "owner"]].concat());
    let said = full["reason"].as_str().unwrap();
    assert!(said.contains(if sees_full { "no ring entry is free" } else { "no free ring entry" }), "{said}");
    let ended = watch.end();
    for (pid, (call, errno, cause, count)) in expected {
        let sums: Vec<_> = told(&ended, pid).into_iter().collect();
        assert_eq!(sums, [((call, errno, cause), count)], "{:#?}", ended.of(pid, "submit-failed"));
    }
    assert_eq!((ended.code, ended.counted("lost")), (Some(0), 0), "{}", ended.stderr);
}

/// Check that what is counted until Ctrl-C is told, also of a process that has ended, that -p and --failures choose, and that without
/// `--collect` nothing is attached.
#[test]
fn the_last_counts() {
    if !is_root() {
        return skip("the_last_counts", "needs root (CAP_BPF, CAP_PERFMON)");
    }
    let (mut one, mut other) = (Fixture::spawn(), Fixture::spawn());
    let (pid, other_pid) = (one.pid(), other.pid());
    let by_pid = watch(&["-p", &pid.to_string()]);
    let plain = Watch::start(&["-p", &pid.to_string()]).unwrap_or_else(|ended| panic!("{}", ended.stderr));
    fail(&mut one, "file", 10, libc::EBADF);
    fail(&mut other, "file", 4, libc::EBADF);
    one.finish();
    let (by_pid, plain) = (by_pid.end(), plain.end());
    let key = ("io_submit".to_owned(), "EBADF".to_owned(), "bad-file".to_owned());
    assert_eq!(told(&by_pid, pid).into_iter().collect::<Vec<_>>(), [(key, 10)]);
    assert!(told(&by_pid, other_pid).is_empty() && told(&plain, pid).is_empty());
    assert!(plain.of(pid, "setup").len() == 1 && by_pid.of(pid, "setup").len() == 1);
}

/// Check that of a process that has ended when the counts are read it is not said that it had no context; and that of one that lives
/// without any it is.
#[test]
fn a_caller_that_has_ended() {
    if !is_root() {
        return skip("a_caller_that_has_ended", "needs root (CAP_BPF, CAP_PERFMON)");
    }
    let mut watch = watch(&["--failures"]);
    let (mut ends, mut lives) = (Fixture::spawn(), Fixture::spawn());
    let (pid, living) = (ends.pid(), lives.pid());
    lives.run("submit-raw einval 3");
    watch.expect("who lives", |event| is_of(event, living) && event["event"] == "submit-failed");
    fail(&mut ends, "request", 5, libc::EINVAL);
    ends.finish();
    let ended = watch.end();
    let sums = |pid| told(&ended, pid).into_iter().map(|((.., cause), sum)| (cause, sum)).collect::<Vec<_>>();
    let causes = sums(pid);
    // It may have been read before it ended.
    assert_eq!(causes.iter().map(|(_, sum)| sum).sum::<u64>(), 5, "{causes:?}");
    assert!(causes.iter().all(|(cause, _)| cause != "no-context"), "{causes:?}");
    assert!(causes.iter().any(|(cause, _)| cause == "unknown" || cause == "bad-request"), "{causes:?}");
    println!("a_caller_that_has_ended: {causes:?}, who lives: {:?}", sums(living));
}

/// Check credits that are stranded: io_submit fails on one CPU although ring entries are free.
#[test]
fn stranded() {
    if !is_root() {
        return skip("stranded", "needs root (CAP_BPF, CAP_PERFMON)");
    }
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        return skip("stranded", "needs two CPUs");
    }
    let mut watch = watch(&[]);
    let mut fixture = Fixture::spawn();
    let pid = fixture.pid();
    fixture.setup(64);
    strand(&mut fixture, 0, 1).unwrap();
    let event = watch.expect("it", |event| is_of(event, pid) && event["event"] == "submit-failed");
    assert_eq!((&event["errno"], &event["cause"]), (&"EAGAIN".into(), &"stranded-credits".into()), "{event}");
    assert!(event["reason"].as_str().unwrap().contains("io_submit fails now on CPU 0"), "{event}");
    watch.end();
}

/// Check that by fentry it is said what cannot be seen, and by a tracepoint what a filter refuses is told with its cause.
#[test]
fn a_filter_as_watch_tells_it() {
    if !is_root() {
        return skip("a_filter_as_watch_tells_it", "needs root (CAP_BPF, CAP_PERFMON)");
    }
    for hook in ["fentry", "kprobe", "raw-tracepoint"] {
        let args = ["--collect", "submit", "--hook", hook];
        let Ok(watch) = Watch::start(&args) else { continue };
        let mut fixture = Fixture::spawn();
        fixture.run(&format!("refuse {} {}", IO_PGETEVENTS, libc::EPERM));
        fail(&mut fixture, "pgetevents", 6, libc::EPERM);
        let ended = watch.end();
        let sums: Vec<_> = told(&ended, fixture.pid()).into_iter().collect();
        let says = ended.stderr.matches("a seccomp filter refuses are not seen").count();
        if hook == "raw-tracepoint" {
            let key = ("io_pgetevents".to_owned(), "EPERM".to_owned(), "refused".to_owned());
            assert_eq!((sums, says), (vec![(key, 6)], 0), "{}", ended.stderr);
        } else {
            assert_eq!((sums, says), (vec![], 1), "{hook}: {}", ended.stderr);
        }
    }
}
