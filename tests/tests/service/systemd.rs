//! systemctl, the journal, and the service's one address.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use aioinspect_tests::serving::{Answer, PATIENCE};

pub const SERVICE: &str = "aioinspect.service";
pub const SOCKET: &str = "aioinspect.socket";
/// Where the shipped socket listens.
const ADDRESS: &str = "127.0.0.1:9827";

/// Runs systemctl; whether it succeeded, and what it said on both its outputs.
pub fn systemctl(words: &[&str]) -> (bool, String) {
    let output = Command::new("systemctl").arg("--no-pager").args(words).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).trim().to_owned())
}

/// The same for what must succeed.
pub fn must(words: &[&str]) -> String {
    let (good, said) = systemctl(words);
    assert!(good, "systemctl {words:?}: {said}\n{}", journal());
    said
}

/// Forgets earlier starts: the tests need more of them in ten seconds than systemd grants.
pub fn forget_starts() {
    must(&["reset-failed", SERVICE]);
}

/// A property of the service.
pub fn property(name: &str) -> String {
    must(&["show", "--property", name, "--value", SERVICE])
}

/// `active`, `inactive`, `failed` ..
pub fn state() -> String {
    property("ActiveState")
}

/// All that the service said, and systemd of it, since the machine was booted.
pub fn journal() -> String {
    let output = Command::new("journalctl").args(["--no-pager", "--unit", SERVICE]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Asks the service for a path, with further headers, each `Name: value`. Who waits behind the socket is started by that.
pub fn ask(path: &str, headers: &[&str]) -> Answer {
    let mut stream = TcpStream::connect(ADDRESS).unwrap_or_else(|error| panic!("{error}\n{}", journal()));
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    for header in headers {
        request.push_str(header);
        request.push_str("\r\n");
    }
    stream.write_all(format!("{request}\r\n").as_bytes()).unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap_or_else(|error| panic!("{error}\n{}", journal()));
    Answer::parse(&all).unwrap_or_else(|| panic!("no answer\n{}", journal()))
}

/// The metrics, which must be there.
pub fn metrics() -> String {
    let answer = ask("/metrics", &[]);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.text()
}

/// Waits for a condition.
pub fn until(what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}\n{}", journal());
        sleep(Duration::from_millis(100));
    }
}

/// Other arguments for the service. Dropping it brings the shipped ones back, and the service up.
pub struct Arguments {
    shipped: Vec<u8>,
}

const SETTINGS: &str = "/etc/default/aioinspect";

impl Arguments {
    /// Writes them where an administrator does.
    pub fn set(arguments: &str) -> Arguments {
        let shipped = fs::read(SETTINGS).unwrap();
        fs::write(SETTINGS, format!("AIOINSPECT_ARGS=\"{arguments}\"\n")).unwrap();
        forget_starts();
        Arguments { shipped }
    }
}

impl Drop for Arguments {
    fn drop(&mut self) {
        let written = fs::write(SETTINGS, &self.shipped);
        systemctl(&["reset-failed", SERVICE]);
        let (up, said) = systemctl(&["restart", SERVICE]);
        // A second panic would hide the first.
        if !std::thread::panicking() {
            written.unwrap();
            assert!(up, "{said}");
        }
    }
}
