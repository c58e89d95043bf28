//! Each call, seen once and right.

use aioinspect_tests::architecture::no_callers_of_32_bits;
use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::host::aio_max_nr;
use aioinspect_tests::programs::skip;
use aioinspect_tests::watch::is_of;
use serde_json::Value;

use crate::hooks::each;

fn unix_now() -> u128 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    now.as_nanos()
}

/// `2026-01-31T12:00:00.000000001Z` as nanoseconds since 1970, by another way than the program's.
fn unix(event: &Value) -> u128 {
    let text = event["time"].as_str().unwrap();
    let number = |from: usize, to: usize| text[from..to].parse::<i64>().unwrap();
    assert_eq!((text.len(), &text[29..]), (30, "Z"), "{text}");
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    // Days from the civil calendar, with years that begin in March.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = y * 365 + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    let seconds = days * 86_400 + number(11, 13) * 3600 + number(14, 16) * 60 + number(17, 19);
    u128::from(seconds.unsigned_abs()) * 1_000_000_000 + u128::from(number(20, 29).unsigned_abs())
}

/// Check every field of a birth and a death, by the process's first thread and by another.
#[test]
fn setup_and_destroy() {
    each("setup_and_destroy", |hook, mut watch| {
        let mut fixture = Fixture::spawn();
        let pid = fixture.pid();
        let before = unix_now();
        let id = format!("{:#x}", fixture.setup(123));
        let other = fixture.run("setup-thread 45");
        fixture.run("destroy #0");
        let after = unix_now();
        let destroy = watch.expect("the end", |event| is_of(event, pid) && event["event"] == "destroy");
        let ended = watch.end();
        let setups = ended.of(pid, "setup");
        assert_eq!(setups.len(), 2, "{hook}: {setups:#?}");
        for (setup, (tid, context, max_reqs)) in setups.iter().zip([
            (u64::from(pid), id.as_str(), 123),
            (other["tid"].as_u64().unwrap(), other["id"].as_str().unwrap(), 45),
        ]) {
            let keys: Vec<&String> = setup.as_object().unwrap().keys().collect();
            assert_eq!(
                keys,
                ["schema_version", "time", "event", "pid", "tid", "comm", "context", "max_reqs", "owner"]
            );
            assert_eq!(
                (&setup["tid"], &setup["comm"]),
                (&tid.into(), &"aio-fixture".into()),
                "{hook}: {setup}"
            );
            assert_eq!(
                (&setup["context"], &setup["max_reqs"]),
                (&context.into(), &max_reqs.into()),
                "{hook}: {setup}"
            );
            assert!((before..=after).contains(&unix(setup)), "{hook}: {setup}");
        }
        assert_eq!(
            (&destroy["context"], &destroy["max_reqs"]),
            (&id.into(), &123.into()),
            "{hook}: {destroy}"
        );
        assert!(destroy["took_ns"].as_u64().unwrap() > 0);
        assert_eq!(ended.of(pid, "destroy").len(), 1);
        assert_eq!((ended.code, ended.counted("lost"), ended.counted("healed")), (Some(0), 0, 0), "{hook}");
    });
}

/// Check each way to fail: errno and reason, and that nothing of it stays in the picture.
#[test]
fn failures() {
    each("failures", |hook, mut watch| {
        let mut fixture = Fixture::spawn();
        let pid = fixture.pid();
        let too_many = aio_max_nr() + 1;
        let failed: [(String, &str, &str); 7] = [
            (format!("{too_many} unused"), "EAGAIN", "more than all of fs.aio-max-nr"),
            ("0 null".to_owned(), "EFAULT", "leads nowhere"),
            ("1 null".to_owned(), "EFAULT", "leads nowhere"),
            ("2 unmapped".to_owned(), "EFAULT", "leads nowhere"),
            ("3 readonly".to_owned(), "EFAULT", "can be read but not written"),
            ("4 nonzero".to_owned(), "EINVAL", "held 0x10"),
            ("4194305 unused".to_owned(), "EINVAL", "more than one context can have (4194304)"),
        ];
        for (arguments, errno, reason) in failed {
            let n: u64 = arguments.split(' ').next().unwrap().parse().unwrap();
            // EINVAL for want of room in a ring comes before EAGAIN for want of slots, but only if the limit allows that many.
            if arguments.ends_with("unused") {
                assert!(fixture.try_run(&format!("setup {n}")).is_err());
            } else {
                let answer = fixture.run(&format!("setup-raw {arguments}"));
                assert_ne!(answer["answer"], 0);
            }
            let event = watch.expect(&arguments, |event| {
                is_of(event, pid)
                    && event["event"] == "setup-failed"
                    && event["requested"] == n
                    && event["errno"] == errno
            });
            let said = event["reason"].as_str().unwrap();
            assert!(said.contains(reason), "{hook}: {arguments}: {said}");
            assert!(event.get("context").is_none() && event["free"].is_i64(), "{event}");
        }
        let ended = watch.end();
        assert_eq!(ended.of(pid, "setup-failed").len(), 7, "{hook}");
        assert!(ended.of(pid, "setup").is_empty() && ended.of(pid, "destroy").is_empty(), "{hook}");
        assert_eq!(ended.counted("lost"), 0);
    });
}

/// Check that callers of 32 bits are seen, but for the hook that the kernel does not pass for them: there a census finds what they made.
#[test]
fn callers_of_32_bits() {
    if let Some(reason) = no_callers_of_32_bits() {
        return skip("callers_of_32_bits", reason);
    }
    each("callers_of_32_bits", |hook, mut watch| {
        let mut fixture = Fixture::spawn();
        let made = fixture.run("setup32 9");
        let id = made["id"].as_str().unwrap().to_owned();
        let pid = u32::try_from(made["pid"].as_u64().unwrap()).unwrap();
        if hook == "tracepoint" {
            watch.expect("a census that finds it", |event| event["event"] == "healed");
            let ended = watch.end();
            assert!(ended.of(pid, "setup").is_empty());
            let [_, _, differences] = ended.comparison();
            assert_eq!(differences, 0, "{}", ended.stderr);
            return;
        }
        fixture.run(&format!("destroy32 {id}"));
        watch.expect("its end", |event| is_of(event, pid) && event["event"] == "destroy");
        let ended = watch.end();
        let setup = ended.of(pid, "setup");
        assert_eq!(
            (setup.len(), &setup[0]["context"], &setup[0]["max_reqs"]),
            (1, &id.into(), &9.into()),
            "{hook}"
        );
        assert_eq!(ended.counted("healed"), 0, "{hook}");
    });
}

/// Check that a ring that was moved is destroyed under its new address, and one that was unmapped cannot be.
#[test]
fn moved_and_unmapped_rings() {
    each("moved_and_unmapped_rings", |hook, mut watch| {
        let mut fixture = Fixture::spawn();
        let pid = fixture.pid();
        let first = fixture.setup(11);
        fixture.setup(12);
        fixture.run("mremap #0");
        fixture.run("munmap #1 all");
        assert!(fixture.try_run("destroy #1").is_err());
        fixture.run("destroy #0");
        let destroy = watch.expect("the end", |event| is_of(event, pid) && event["event"] == "destroy");
        assert_eq!(destroy["max_reqs"], 11, "{hook}: {destroy}");
        assert_ne!(destroy["context"], format!("{first:#x}"), "{hook}: {destroy}");
        drop(fixture);
        let exit = watch.expect("the exit", |event| is_of(event, pid) && event["event"] == "exit");
        assert_eq!(exit["contexts"], 1, "{hook}: the one that was unmapped");
        let ended = watch.end();
        assert_eq!((ended.of(pid, "destroy").len(), ended.counted("healed")), (1, 0), "{hook}");
    });
}
