//! The stream of events: its form, that it says what `watch --ndjson` says, and that a broken connection misses nothing.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::host::{HostLock, aio_max_nr};
use aioinspect_tests::serving::Serving;
use aioinspect_tests::watch::Watch;
use serde_json::Value;

use crate::client::{Follower, Message, until};

fn number(message: &Message) -> u64 {
    message.id.split_once('-').unwrap().1.parse().unwrap()
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// Check that each kind of event arrives as a message with id, name and one line of JSON, and that this is the line of `watch --ndjson`:
/// the same keys in the same order, and the same values but for the clocks.
#[test]
fn as_watch_says_it() {
    let host = HostLock::take();
    let serving = Serving::start(&[]).unwrap();
    let mut watch = Watch::start(&[]).unwrap_or_else(|ended| panic!("{}", ended.stderr));
    let mut follower = Follower::new(&serving, None);
    let head = follower.head();
    assert!(
        head.contains("\r\ncontent-type: text/event-stream\r\n")
            && head.contains("\r\nx-accel-buffering: no\r\n")
    );
    assert!(head.contains("\r\ncache-control: no-store\r\n") && !head.contains("content-length"), "{head}");
    let mut fixture = Fixture::spawn_alone(&host);
    let pid = fixture.pid();
    let mut last = 0;
    let mut both = |event: &str| {
        let message = follower.expect(pid, event);
        assert!(number(&message) > last, "{message:?}");
        last = number(&message);
        let data = &message.data;
        assert_eq!(data["event"], event, "{message:?}");
        let told = watch.expect(event, |told| {
            told["event"] == event && told["pid"] == pid && told["max_reqs"] == data["max_reqs"]
        });
        assert_eq!(keys(data), keys(&told), "{event}");
        for (key, value) in data.as_object().unwrap() {
            let is_clock = key == "time" || key == "took_ns";
            assert!(is_clock || *value == told[key], "{event}: {key}: {value} here, {} there", told[key]);
        }
        told
    };
    let id = fixture.setup(4);
    both("setup");
    assert_eq!(fixture.try_run(&format!("setup {}", aio_max_nr() + 1)).unwrap_err().errno, 11);
    // Both read for it what is free, so nothing happens before both have.
    let failed = both("setup-failed");
    assert!(
        failed["errno"] == "EAGAIN" && failed["reason"].as_str().is_some_and(|why| !why.is_empty()),
        "{failed}"
    );
    fixture.run(&format!("destroy {id:#x}"));
    both("destroy");
    fixture.setup(5);
    both("setup");
    drop(fixture);
    both("exit");
}

/// Check that a follower whose connection breaks after every few messages sees what one sees who stays: nothing lost, nothing twice, in
/// order; and that an id of another run, or none at all of ours, has all of it told again.
#[test]
fn a_broken_connection_misses_nothing() {
    let serving = Serving::start(&[]).unwrap();
    let mut staying = Follower::new(&serving, None);
    let mut fixture = Fixture::spawn();
    let pid = fixture.pid();
    fixture.setup(1);
    let first = staying.expect(pid, "setup");
    let worker = thread::spawn(move || {
        for round in 0..150 {
            // One that fails, one that does not.
            assert!(fixture.try_run("setup 0").is_err());
            if round % 10 == 0 {
                fixture.setup(2);
            }
        }
        fixture.setup(77);
        fixture
    });
    let is_last = |message: &Message| message.data["pid"] == pid && message.data["max_reqs"] == 77;
    let mut broken = Vec::new();
    let mut last = first.id.clone();
    let begun = Instant::now();
    'all: for length in (1_usize..8).cycle() {
        let mut follower = Follower::new(&serving, Some(&last));
        for _ in 0..length {
            let message = follower.next();
            last.clone_from(&message.id);
            let end = is_last(&message);
            broken.push(message);
            if end {
                break 'all;
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{broken:?}");
    }
    let _fixture = worker.join().unwrap();
    let mut whole = Vec::new();
    while !whole.last().is_some_and(is_last) {
        whole.push(staying.next());
    }
    let ids = |messages: &[Message]| -> Vec<String> { messages.iter().map(|one| one.id.clone()).collect() };
    assert_eq!(ids(&broken), ids(&whole));
    assert!(broken.iter().zip(&whole).all(|(one, other)| one.data == other.data));
    assert!(whole.iter().map(number).eq(number(&first) + 1..=number(whole.last().unwrap())));
    assert_eq!(whole.iter().filter(|one| one.event == "setup-failed" && one.data["pid"] == pid).count(), 150);
    for foreign in ["1-9", "nonsense", "-", "18446744073709551616-1"] {
        let mut again = Follower::new(&serving, Some(foreign));
        let mut told = vec![again.next()];
        assert_eq!(number(&told[0]), 1, "{foreign}");
        while !is_last(told.last().unwrap()) {
            told.push(again.next());
        }
        assert_eq!(ids(&told)[number(&first) as usize..], ids(&whole), "{foreign}");
    }
    // An id that is still to come waits for what comes.
    let run = first.id.split_once('-').unwrap().0;
    let mut ahead = Follower::new(&serving, Some(&format!("{run}-999999999")));
    let mut other = Fixture::spawn();
    other.setup(78);
    let next = ahead.expect(other.pid(), "setup");
    assert!(number(&next) > number(whole.last().unwrap()), "{next:?}");
}

/// Check that who was away for longer than the log reaches is told how much is gone, and then gets the rest of it.
#[test]
fn what_is_gone_is_counted() {
    let serving = Serving::start(&[]).unwrap();
    let mut staying = Follower::new(&serving, None);
    let mut fixture = Fixture::spawn();
    fixture.setup(1);
    let first = staying.expect(fixture.pid(), "setup");
    for _ in 0..1200 {
        assert!(fixture.try_run("setup 0").is_err());
    }
    fixture.setup(77);
    let is_last = |message: &Message| message.data["pid"] == fixture.pid() && message.data["max_reqs"] == 77;
    let mut newest = staying.next();
    while !is_last(&newest) {
        newest = staying.next();
    }
    let mut late = Follower::new(&serving, Some(&first.id));
    let missed = late.next();
    assert_eq!((missed.event.as_str(), missed.id.as_str()), ("missed", ""));
    let gone = missed.data["count"].as_u64().unwrap();
    let mut told = late.next();
    // Other processes of the host may have added theirs.
    assert_eq!(number(&told), number(&first) + gone + 1, "{missed:?}");
    let mut numbers = BTreeSet::from([number(&told)]);
    while !is_last(&told) {
        told = late.next();
        assert!(numbers.insert(number(&told)), "{told:?}");
    }
    assert!(numbers.len() >= 1024, "{}", numbers.len());
}

/// Check that no more than 256 follow at a time, that the next is told to come again, and that a place that becomes free is given away;
/// and that a follower hears something within 16 seconds though nothing happens.
#[test]
fn followers_are_bounded_and_hear_a_heartbeat() {
    let serving = Serving::start(&[]).unwrap();
    let mut followers: Vec<Follower> = (0..256).map(|_| Follower::new(&serving, None)).collect();
    for _ in 0..3 {
        let refused = Follower::new(&serving, None);
        assert_eq!(refused.status(), 503);
        assert!(refused.head().contains("\r\nretry-after: 1\r\n"), "{}", refused.head());
    }
    assert_eq!(serving.get("/metrics").status, 200);
    followers.truncate(255);
    until("a place is free again", Duration::from_secs(10), || {
        let next = Follower::new(&serving, None);
        let has = next.status() == 200;
        if has {
            followers.push(next);
        }
        has
    });
    let begun = Instant::now();
    // What other processes do meanwhile may come first, and puts the heartbeat off by as much.
    let mut heard = Instant::now();
    for follower in &mut followers[..3] {
        while follower.block().unwrap() != ": heartbeat" {
            heard = Instant::now();
        }
    }
    assert!(heard.elapsed() < Duration::from_secs(17), "{:?}", begun.elapsed());
}
