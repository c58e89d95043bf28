//! What one client can take of the server: requests that are too large or no requests, and clients that are too slow.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::serving::{PATIENCE, Serving};

use crate::client::{Follower, figure, holds, until};

/// How the server answers to bytes that are no request it takes: status and what is left of the connection.
fn status_of(serving: &Serving, bytes: &[u8]) -> u16 {
    let mut stream = serving.connect();
    // The server may have closed before it has got all of it.
    let _ = stream.write_all(bytes);
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    let text = String::from_utf8_lossy(&all);
    text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or(0)
}

/// Check that what is too large or not HTTP is refused with the status for it and the connection closed, at a bounded cost, and that the
/// server lives.
#[test]
fn no_requests() {
    let serving = Serving::start(&[]).unwrap();
    serving.metrics();
    let before = holds(&serving);
    let host = "Host: localhost\r\n";
    let many = |n: usize| (0..n).map(|i| format!("X{i}: 1\r\n")).collect::<String>();
    let long = "a".repeat(17 << 10);
    let megabytes = "a".repeat(8 << 20);
    for (what, request, status) in [
        ("a long header", format!("GET /healthz HTTP/1.1\r\n{host}X: {long}\r\n\r\n"), 431),
        ("a header without end", format!("GET /healthz HTTP/1.1\r\n{host}X: {megabytes}"), 431),
        ("a long path", format!("GET /{long} HTTP/1.1\r\n{host}\r\n"), 431),
        ("a path without end", format!("GET /{megabytes}"), 431),
        ("a method without end", megabytes.clone(), 431),
        ("64 headers", format!("GET /healthz HTTP/1.1\r\n{host}Connection: close\r\n{}\r\n", many(62)), 200),
        ("65 headers", format!("GET /healthz HTTP/1.1\r\n{host}Connection: close\r\n{}\r\n", many(63)), 431),
        ("thousands of headers", format!("GET /healthz HTTP/1.1\r\n{host}{}\r\n", many(5000)), 431),
        ("words", "hello there\r\n\r\n".to_owned(), 400),
        ("no version", "GET /\r\n\r\n".to_owned(), 400),
        ("another version", format!("GET / HTTP/3.0\r\n{host}\r\n"), 400),
        ("NUL in the path", format!("GET /\0 HTTP/1.1\r\n{host}\r\n"), 400),
        ("a header without a name", format!("GET / HTTP/1.1\r\n{host}: x\r\n\r\n"), 400),
        ("a folded header", format!("GET / HTTP/1.1\r\n{host}A: b\r\n c\r\n\r\n"), 400),
        (
            "two lengths",
            format!("GET / HTTP/1.1\r\n{host}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
            400,
        ),
        ("a length of letters", format!("GET / HTTP/1.1\r\n{host}Content-Length: x\r\n\r\n"), 400),
        ("chunks that are none", format!("GET / HTTP/1.1\r\n{host}Transfer-Encoding: gzip\r\n\r\n"), 400),
    ] {
        assert_eq!(status_of(&serving, request.as_bytes()), status, "{what}");
        assert_eq!(serving.get("/healthz").status, 200, "{what}");
    }
    // TLS, HTTP/2 and bytes of every kind: closed, with or without a word.
    let mut noise = 0x9e37_79b9_u32;
    let mut random = || {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (noise >> 24) as u8
    };
    for length in [1, 7, 64, 1000, 20_000] {
        let bytes: Vec<u8> = (0..length).map(|_| random()).chain(*b"\r\n\r\n").collect();
        assert!(matches!(status_of(&serving, &bytes), 0 | 400 | 431), "{length} bytes of noise");
    }
    assert_eq!(status_of(&serving, b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03\x03"), 400);
    status_of(&serving, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    // A body is not wanted: the answer comes before it, and the connection does not wait for it.
    let body = format!(
        "GET /healthz HTTP/1.1\r\n{host}Content-Length: 8388608\r\nConnection: close\r\n\r\n{megabytes}"
    );
    assert_eq!(status_of(&serving, body.as_bytes()), 200);
    until("all descriptors are back", PATIENCE, || holds(&serving).descriptors <= before.descriptors);
    let after = holds(&serving);
    assert!(after.mib < before.mib + 8.0, "{before:?} {after:?}");
    assert_eq!(serving.end().code, Some(0));
}

/// Waits until the server closes this connection, which has said `said`; after how long, and what the server had answered.
fn closed_after(mut stream: TcpStream, said: Instant) -> (Duration, Vec<u8>) {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("not closed: {error}"),
    }
    (said.elapsed(), all)
}

/// The header timeout of 30 s, with what a loaded machine adds.
fn check_header_timeout(what: &str, after: Duration) {
    figure(&format!("{what}: closed after {:.1} s", after.as_secs_f64()));
    assert!((28.0..45.0).contains(&after.as_secs_f64()), "{what}: closed after {after:?}");
}

/// Check each kind of slow client at once: one that says nothing, one that says a byte a second, one that stays after its answer, one that
/// does not send the body it promised, and one that does not read: each is closed, when the limit for it has passed. Followers of the events
/// stay, and everybody else is served meanwhile within a second.
#[test]
fn slow_clients() {
    let serving = Serving::start(&[]).unwrap();
    let mut fixture = Fixture::spawn();
    fixture.run("setup-many 2000 1");
    serving.metrics();
    let idle = holds(&serving).descriptors;
    let over = AtomicBool::new(false);
    let (serving, over) = (&serving, &over);
    thread::scope(|scope| {
        let mut all = Vec::new();
        all.push(scope.spawn(move || {
            let (after, answer) = closed_after(serving.connect(), Instant::now());
            assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408 "));
            check_header_timeout("a silent client", after);
        }));
        all.push(scope.spawn(move || {
            let (stream, begun) = (serving.connect(), Instant::now());
            let mut writer = stream.try_clone().unwrap();
            let feeder = thread::spawn(move || {
                let header =
                    "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ".bytes().chain(std::iter::repeat(b'x'));
                for byte in header.take(120) {
                    if writer.write_all(&[byte]).is_err() {
                        return;
                    }
                    thread::sleep(Duration::from_secs(1));
                }
            });
            let (after, _) = closed_after(stream, begun);
            check_header_timeout("a byte a second", after);
            feeder.join().unwrap();
        }));
        all.push(scope.spawn(move || {
            let mut stream = serving.connect();
            stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
            let (after, answer) = closed_after(stream, Instant::now());
            assert!(String::from_utf8_lossy(&answer).ends_with("\r\n\r\nok\n"), "{answer:?}");
            check_header_timeout("idle after an answer", after);
        }));
        all.push(scope.spawn(move || {
            let mut stream = serving.connect();
            stream
                .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n")
                .unwrap();
            let (after, answer) = closed_after(stream, Instant::now());
            assert!(answer.starts_with(b"HTTP/1.1 200 "), "{answer:?}");
            figure(&format!("a body that does not come: closed after {:.1} s", after.as_secs_f64()));
            assert!(after < Duration::from_secs(45), "{after:?}");
        }));
        all.push(scope.spawn(move || {
            // The answers are larger than all buffers of the kernel on their way.
            let mut stream = serving.connect();
            let asks = b"GET /api/v1/contexts HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(40);
            stream.write_all(&asks).unwrap();
            let begun = Instant::now();
            // Nothing is read: that it is closed shows in that writing fails.
            while stream.write_all(b"G").is_ok() {
                assert!(begun.elapsed() < PATIENCE, "a client that does not read is kept");
                thread::sleep(Duration::from_millis(100));
            }
            let after = begun.elapsed().as_secs_f64();
            figure(&format!("a client that does not read: closed after {after:.1} s"));
            assert!((19.0..30.0).contains(&after), "closed after {after} s");
        }));
        let follower = scope.spawn(move || {
            let mut follower = Follower::new(serving, None);
            while !over.load(Ordering::Relaxed) {
                assert!(follower.block().is_some(), "a follower was closed");
            }
        });
        let others = scope.spawn(move || {
            let mut slowest = Duration::ZERO;
            while !over.load(Ordering::Relaxed) {
                let begun = Instant::now();
                assert_eq!(serving.get("/metrics").status, 200);
                slowest = slowest.max(begun.elapsed());
                thread::sleep(Duration::from_millis(100));
            }
            slowest
        });
        let outcomes: Vec<_> = all.into_iter().map(thread::ScopedJoinHandle::join).collect();
        over.store(true, Ordering::Relaxed);
        // The follower hears of this, and sees that it is over.
        fixture.setup(2);
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        let slowest = others.join().unwrap();
        figure(&format!("slowest scrape beside slow clients: {slowest:?}"));
        assert!(slowest < Duration::from_secs(1), "a scrape took {slowest:?}");
        follower.join().unwrap();
    });
    until("all descriptors are back", PATIENCE, || holds(serving).descriptors <= idle);
}
