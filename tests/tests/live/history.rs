//! What only several looks show: requests that do not complete, contexts that are never used.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use aioinspect_tests::fixture::Fixture;

use crate::tool::{PATIENCE, can_run, check, context, findings};

/// Check that requests of which none completes are called stuck once they were watched for long enough, and not before.
#[test]
fn stuck() {
    if !can_run("stuck") {
        return;
    }
    let mut fixture = Fixture::spawn();
    let stuck = fixture.setup(128);
    let idle = fixture.setup(16);
    fixture.run("poll #0 4");
    let (code, json) = check(fixture.pid(), &["--wait", "100ms"]);
    assert_eq!((code, findings(context(&json, stuck))), (6, vec!["in-flight"]));
    let (code, json) = check(fixture.pid(), &["--wait", "8s"]);
    assert_eq!((code, findings(context(&json, stuck))), (6, vec!["in-flight", "stuck"]));
    assert!(findings(context(&json, idle)).is_empty(), "{json}");
}

/// Check that a process which makes contexts all the time and uses none of them is said to leak them.
#[test]
fn idle_leak() {
    if !can_run("idle_leak") {
        return;
    }
    let mut fixture = Fixture::spawn();
    let pid = fixture.pid();
    let first = fixture.setup(1);
    // So that there is something to wait for.
    fixture.setup(1);
    fixture.run("munmap #1 all hold");
    // On a machine with much else to do, a look may come when the fixture had no time for another context.
    for _ in 0..5 {
        let stop = AtomicBool::new(false);
        let (code, json) = thread::scope(|scope| {
            scope.spawn(|| {
                let begun = Instant::now();
                while !stop.load(Ordering::Relaxed) && begun.elapsed() < PATIENCE {
                    fixture.setup(1);
                    thread::sleep(Duration::from_millis(15));
                }
            });
            let seen = check(pid, &["--wait", "8s"]);
            stop.store(true, Ordering::Relaxed);
            seen
        });
        assert_eq!(code, 6, "{json}");
        if findings(context(&json, first)) == ["idle-leak"] {
            return;
        }
    }
    panic!("never called a leak");
}
