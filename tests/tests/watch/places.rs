//! Where the end of an address space is seen: each place that the kernel offers, the last of the ladder too.

use std::thread;
use std::time::{Duration, Instant};

use aioinspect_kernel::trace::space_end::SpaceEnd;
use aioinspect_kernel::watch::watcher::{WatchOptions, Watcher};
use aioinspect_model::event::Event;
use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::programs::{is_root, skip};

/// The first event that is wanted; the others are passed over.
fn expect<T>(watcher: &mut Watcher, what: &str, wanted: impl Fn(&Event) -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        let happened = watcher.happened().unwrap();
        if let Some(found) = happened.iter().find_map(|timed| wanted(&timed.event)) {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{what} is not told");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Check that exec and exit are told with the number of contexts that went with them, wherever they are seen: also of more contexts than one walk
/// of a table takes, and that nothing of it is left in the map.
#[test]
fn each_place() {
    if !is_root() {
        return skip("each_place", "needs root (CAP_BPF, CAP_PERFMON)");
    }
    let mut taken = Vec::new();
    for end in SpaceEnd::ALL {
        // In a thread of its own, which gives up its capabilities for good.
        let told = thread::spawn(move || {
            let options = WatchOptions { ends: Some(end), ..WatchOptions::default() };
            let mut tried = Vec::new();
            let mut watcher = match Watcher::start(options, &mut tried) {
                Ok(watcher) => watcher,
                Err(error) => {
                    println!("each_place: {end:?} is not to be had: {error}");
                    return false;
                }
            };
            let mut fixture = Fixture::spawn();
            let pid = fixture.pid();
            fixture.run("setup-many 40 1");
            fixture.run("exec-self");
            let died = expect(&mut watcher, "the exec", |event| match event {
                Event::Exec { by, contexts } if by.pid.0 == pid => Some(*contexts),
                _ => None,
            });
            assert_eq!(died, 40, "{end:?}");
            fixture.run("setup-many 1200 1");
            drop(fixture);
            let died = expect(&mut watcher, "the exit", |event| match event {
                Event::Exit { by, contexts } if by.pid.0 == pid => Some(*contexts),
                _ => None,
            });
            assert_eq!(died, 1200, "{end:?}");
            let compared = watcher.compare().unwrap();
            assert_eq!(compared.differences, 0, "{end:?}: {compared:?}");
            true
        });
        if told.join().unwrap() {
            taken.push(end);
        }
    }
    println!("each_place: {taken:?}");
    assert_eq!(taken.last(), Some(&SpaceEnd::Processes));
    assert!(taken.len() > 1, "only what stands in for the others");
}
