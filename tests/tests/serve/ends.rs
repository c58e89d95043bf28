//! How a server ends, and how one that cannot begin says so.

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::programs::run_aioinspect;
use aioinspect_tests::serving::{PATIENCE, Serving};
use rustix::process::Signal;

use crate::client::{Follower, figure};

/// Check that each signal that asks a program to end ends it within two seconds and without an error, whatever its clients are at: following,
/// silent, half way through a request, not reading.
#[test]
fn signals() {
    let mut fixture = Fixture::spawn();
    fixture.run("setup-many 2000 1");
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let serving = Serving::start(&[]).unwrap();
        let followers: Vec<Follower> = (0..4).map(|_| Follower::new(&serving, None)).collect();
        let asks = b"GET /api/v1/contexts HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(40);
        let says = |bytes: &[u8]| -> TcpStream {
            let mut stream = serving.connect();
            stream.write_all(bytes).unwrap();
            stream
        };
        let stalled: Vec<TcpStream> = (0..8).map(|_| says(&asks)).collect();
        let slow = [says(b""), says(b"GET /metr")];
        // It has got to all of them.
        serving.metrics();
        let begun = Instant::now();
        let served = serving.end_by(signal);
        let took = begun.elapsed();
        figure(&format!("{signal:?} with open connections: ended after {took:?}"));
        assert_eq!(served.code, Some(0), "{signal:?}: {served:?}");
        assert!(took < Duration::from_secs(2), "{signal:?}: ended after {took:?}");
        drop((followers, stalled, slow));
    }
}

/// Check that a scrape under way when the server ends is answered whole or not at all.
#[test]
fn in_the_middle_of_scrapes() {
    let serving = Serving::start(&[]).unwrap();
    let address = serving.tcp();
    let asker = thread::spawn(move || {
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        let mut answered = 0;
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let Ok(mut stream) = TcpStream::connect(address) else { return answered };
            let mut all = Vec::new();
            if stream.write_all(request.as_bytes()).is_err() {
                continue;
            }
            let read = std::io::Read::read_to_end(&mut stream, &mut all);
            if read.is_err() || all.is_empty() {
                continue;
            }
            let answer = aioinspect_tests::serving::Answer::parse(&all).expect("half of an answer");
            assert_eq!(answer.header("content-length").unwrap().parse(), Ok(answer.body.len()));
            answered += 1;
        }
        panic!("the server goes on")
    });
    thread::sleep(Duration::from_millis(300));
    assert_eq!(serving.end().code, Some(0));
    assert!(asker.join().unwrap() > 0);
}

/// Check that a second server at the same place says where and why it cannot be, and leaves the first alone.
#[test]
fn a_second_server() {
    let serving = Serving::start(&[]).unwrap();
    let place = serving.tcp().to_string();
    let second = run_aioinspect(&["serve", "--listen", &place]);
    assert_eq!((second.code, second.stdout.as_str()), (1, ""), "{second:?}");
    let says = format!("aioinspect: cannot listen: {place}: Address already in use");
    assert!(second.stderr.lines().any(|line| line.starts_with(&says)), "{second:?}");
    assert_eq!(serving.get("/metrics").status, 200);
}
