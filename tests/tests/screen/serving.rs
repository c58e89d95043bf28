//! The screen of the running host while it serves: confined as the server is, it still has its terminal.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::programs::bin;
use aioinspect_tests::serving::{Answer, value_in};

use crate::pane::{Pane, can};

fn metrics(socket: &Path) -> Option<String> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut all = Vec::new();
    stream.read_to_end(&mut all).ok()?;
    Answer::parse(&all).filter(|answer| answer.status == 200).map(|answer| answer.text())
}

/// Check that the screen and a scrape show the same contexts, that keys, Ctrl-Z and `fg` do what they do without a server, and that its end
/// leaves neither a socket nor a changed terminal.
#[test]
fn screen_and_scrapes() {
    if !can("screen_and_scrapes") {
        return;
    }
    let mut fixture = Fixture::spawn();
    fixture.setup(123);
    let script = format!(
        "set -m; stty -a > before; '{}' watch --metrics unix:$PWD/socket -p {}; stty -a > stopped; echo it is stopped; read line; \
         fg > /dev/null; echo $? > exit; stty -a > after; exec cat",
        bin("aioinspect").display(),
        fixture.pid()
    );
    let pane = Pane::running(&script, (120, 30), &[]);
    let socket = pane.dir.path().join("socket");
    pane.wait("context on the screen", || pane.now().contains("aio-fixture"));
    let reserved = || value_in(&metrics(&socket)?, "aio_reserved_events", &["comm=\"aio-fixture\""]);
    pane.wait("metrics", || reserved() == Some(123.0));
    pane.keys(&["?"]);
    pane.wait("help", || pane.now().contains("filter"));
    pane.keys(&["Escape"]);
    pane.keys(&["C-z"]);
    pane.frame_with("it is stopped");
    assert_eq!(pane.note("stopped"), pane.note("before"));
    fixture.setup(7);
    pane.keys(&["Enter"]);
    pane.wait("metrics after the pause", || reserved() == Some(130.0));
    pane.keys(&["q"]);
    assert_eq!(pane.note("exit"), "0\n");
    assert_eq!(pane.note("after"), pane.note("before"));
    assert!(!socket.exists(), "the socket is left");
}
