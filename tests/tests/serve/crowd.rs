//! Many contexts, and many clients at once: a thousand connections, readers that do not read, and a storm of scrapes while contexts come and go.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::host::{HostLock, aio_nr};
use aioinspect_tests::many::Crowd;
use aioinspect_tests::programs::skip;
use aioinspect_tests::serving::{PATIENCE, Serving};

use crate::client::{cpu, figure, holds, samples, scrape_ms, sum, until};

/// Connections of a crowd.
const CROWD: usize = 1_000;
/// More than the server may ever hold, MiB.
const BOUND_MIB: f64 = 128.0;

/// Check that a thousand connections are held at once beside scrapes that are answered, and that what they took comes back.
#[test]
fn a_thousand_connections() {
    let serving = Serving::start(&[]).unwrap();
    // Before the first connection: a busy machine may be late to close that.
    let own = holds(&serving).descriptors;
    serving.metrics();
    let before = holds(&serving);
    let mut crowd: Vec<TcpStream> = (0..CROWD).map(|_| serving.connect()).collect();
    until("a thousand connections", PATIENCE, || holds(&serving).descriptors >= own + CROWD);
    // Half of a request each: none of them is idle.
    for stream in &mut crowd {
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: loc").unwrap();
    }
    let (median, slowest) = scrape_ms(&serving, 20);
    let during = holds(&serving);
    figure(&format!("1,000 connections: {:.1} MiB, {:.1} without", during.mib, before.mib));
    figure(&format!("1,000 connections: a scrape takes {median:.1} ms, at most {slowest:.1} ms"));
    assert!(slowest < 2_000.0, "{slowest} ms");
    assert!(during.mib < BOUND_MIB, "{during:?}");
    drop(crowd);
    until("descriptors given back", PATIENCE, || holds(&serving).descriptors <= own + 2);
}

/// Check that a crowd which asks for all contexts and reads nothing takes bounded memory, and that others are served or told to come again.
#[test]
fn a_crowd_that_does_not_read() {
    let serving = Serving::start(&[]).unwrap();
    let mut fixture = Fixture::spawn();
    fixture.run("farm 100 30 1");
    let size = serving.get("/api/v1/contexts").body.len();
    assert!(size > 500_000, "{size} bytes");
    let crowd: Vec<TcpStream> = (0..300)
        .map(|_| {
            let mut stream = serving.connect();
            stream.write_all(b"GET /api/v1/contexts HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
            stream
        })
        .collect();
    let mut most: f64 = 0.0;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        most = most.max(holds(&serving).mib);
        let scraped = serving.get("/metrics").status;
        assert!(scraped == 200 || scraped == 503, "{scraped}");
        thread::sleep(Duration::from_millis(50));
    }
    figure(&format!("300 clients that do not read {size} bytes each: {most:.1} MiB at most"));
    assert!(most < BOUND_MIB, "{most} MiB");
    drop(crowd);
    until("scrapes as before", PATIENCE, || serving.get("/metrics").status == 200);
}

/// Check that in a storm of scrapes, while contexts are made and destroyed, every answer is whole and true to itself, and that the server
/// keeps to what it may hold.
#[test]
fn a_storm_of_scrapes() {
    const THREADS: usize = 8;
    let serving = Serving::start(&[]).unwrap();
    let mut fixture = Fixture::spawn();
    let stop = AtomicBool::new(false);
    let answered = AtomicU64::new(0);
    let (used, begun) = (cpu(&serving), Instant::now());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let said = serving.metrics();
                    let all = samples(&said).unwrap_or_else(|wrong| panic!("{wrong}"));
                    let reserved = sum(&all, "aio_system_reserved_events");
                    let told = sum(&all, "aio_reserved_events") + sum(&all, "aio_system_unattributed_events");
                    assert!((reserved - told).abs() < 0.5, "{reserved} and {told}: {said}");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..40 {
            let id = fixture.setup(3);
            fixture.run(&format!("destroy {id:#x}"));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let (seconds, spent) = (begun.elapsed().as_secs_f64(), cpu(&serving) - used);
    let answered = answered.into_inner();
    let after = holds(&serving);
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let rate = answered as f64 / seconds;
    figure(&format!(
        "storm: {rate:.0} scrapes a second, {:.0} % of a CPU, {:.1} MiB",
        spent / seconds * 100.0,
        after.mib
    ));
    assert!(answered > 50, "{answered} answers");
    assert!(after.mib < BOUND_MIB, "{after:?}");
}

/// Check that connections beyond the limit are closed at once, so that the server's own and the ones it has go on.
#[test]
fn beyond_the_limit() {
    let serving = Serving::start(&[]).unwrap();
    let before = holds(&serving).descriptors;
    let crowd: Vec<TcpStream> = (0..2_100).map(|_| serving.connect()).collect();
    until("as many as may be", PATIENCE, || holds(&serving).descriptors >= before + 2_000);
    thread::sleep(Duration::from_millis(200));
    let most = holds(&serving).descriptors - before;
    assert!(most <= 2_048 + 2, "{most} connections");
    drop(crowd);
    until("room again", PATIENCE, || holds(&serving).descriptors <= before + 2);
    assert_eq!(serving.get("/healthz").status, 200);
}

/// Check that 100,000 contexts which came after all privileges were given up are all there, in every document, and that they are gone again with
/// the memory they took.
#[test]
fn a_hundred_thousand_contexts() {
    let host = HostLock::take();
    let mut crowd = match Crowd::begin(&host) {
        Ok(crowd) => crowd,
        Err(error) => return skip("a_hundred_thousand_contexts", &format!("fs.aio-max-nr: {error}")),
    };
    let serving = Serving::start(&[]).unwrap();
    serving.metrics();
    let before = holds(&serving);
    crowd.grow();
    let said = serving.metrics();
    let all = samples(&said).unwrap_or_else(|wrong| panic!("{wrong}"));
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let (wanted, reserved) = (crowd.contexts() as f64, aio_nr() as f64);
    let is = |name: &str, wanted: f64| {
        let is = sum(&all, name);
        assert!((is - wanted).abs() < 0.5, "{name}: {is}, not {wanted}");
    };
    is("aio_system_unattributed_events", 0.0);
    is("aio_reserved_events", reserved);
    is("aio_system_reserved_events", reserved);
    let contexts = sum(&all, "aio_contexts");
    assert!(contexts >= wanted, "{contexts}");
    let lost = sum(&all, "aioinspect_lost_events_total");
    let made = sum(&all, "aio_setup_calls_total");
    assert!(made + lost >= wanted, "{made} made, {lost} lost");
    let (median, slowest) = scrape_ms(&serving, 5);
    let loaded = holds(&serving);
    figure(&format!(
        "{wanted} contexts: a scrape takes {median:.0} ms, at most {slowest:.0} ms; {:.1} MiB, {:.1} without; {lost} events lost",
        loaded.mib, before.mib
    ));
    let document = serving.contexts();
    assert!(document["contexts"].as_array().unwrap().len() >= usize::try_from(crowd.contexts()).unwrap());
    assert_eq!(document["system"]["unattributed"], 0);
    figure(&format!("{wanted} contexts: {:.1} MiB after all of them in JSON", holds(&serving).mib));
    crowd.fixture.run("farm-end");
    until("the contexts are gone", PATIENCE, || {
        sum(&samples(&serving.metrics()).unwrap(), "aio_contexts") < wanted
    });
    assert_eq!(serving.end().code, Some(0));
}
