//! `--wait`: trying again until it is idle.

use std::thread;
use std::time::{Duration, Instant};

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::programs::run_aioinspect;

use crate::tool::{aios, at_rest, can_run, check, directory, dump, names};

/// Check that dump waits until the requests have completed and are reaped, then writes what is true by then.
#[test]
fn until_it_is_idle() {
    if !can_run("until_it_is_idle") {
        return;
    }
    let mut fixture = Fixture::spawn();
    let pid = fixture.pid();
    let id = fixture.setup(128);
    let ring_len = fixture.truth().contexts[0].ring_len;
    fixture.run("poll #0 6");
    at_rest(pid);
    let into = directory();
    let begun = Instant::now();
    let output = thread::scope(|scope| {
        let waits = || {
            run_aioinspect(&["dump", &pid.to_string(), "--wait", "1m", "-D", into.path().to_str().unwrap()])
        };
        let waiting = scope.spawn(waits);
        for _ in 0..6 {
            thread::sleep(Duration::from_millis(60));
            assert!(!waiting.is_finished(), "it did not wait");
            fixture.run("complete #0 1");
            fixture.run("reap #0 1");
        }
        waiting.join().unwrap()
    });
    assert_eq!(output.code, 0, "{output:?}");
    assert!(begun.elapsed() < Duration::from_secs(55), "it waited for the end of its time");
    assert_eq!(aios(&into, pid), [(id, 128, ring_len)]);
}

/// Check that the time runs out with exit code 6, what is still pending is said, and no file is left.
#[test]
fn until_time_is_up() {
    if !can_run("until_time_is_up") {
        return;
    }
    let mut fixture = Fixture::spawn();
    let pid = fixture.pid();
    fixture.setup(128);
    fixture.run("poll #0 6");
    at_rest(pid);
    let begun = Instant::now();
    let (output, into) = dump(pid, &["--wait", "700ms"]);
    assert_eq!((output.code, names(&into).len()), (6, 0), "{output:?}");
    assert!(output.stderr.contains("6 requests in flight"), "{output:?}");
    assert!(begun.elapsed() >= Duration::from_millis(700));
    let (code, json) = check(pid, &["--wait", "100ms"]);
    assert_eq!((code, &json["verdict"]), (6, &"not-idle".into()));
}

/// Check that nobody waits for what is idle already.
#[test]
fn not_at_all() {
    if !can_run("not_at_all") {
        return;
    }
    let mut fixture = Fixture::spawn();
    fixture.setup(128);
    let begun = Instant::now();
    let (code, _) = check(fixture.pid(), &["--wait", "5m"]);
    assert_eq!(code, 0);
    assert!(begun.elapsed() < Duration::from_secs(200));
}
