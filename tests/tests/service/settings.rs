//! /etc/default/aioinspect: what an administrator writes there takes effect, or is told to be wrong.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};

use crate::systemd::{Arguments, SERVICE, ask, journal, must, property, state, systemctl, until};

/// Check that passwords of a file that only root may read are asked for: the service is not root.
#[test]
fn passwords_of_root() {
    let dir = "/etc/aioinspect";
    DirBuilder::new().mode(0o700).create(dir).unwrap();
    let file = format!("{dir}/web.yml");
    let hash = bcrypt::hash("correct horse", 4).unwrap();
    let mut config = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file).unwrap();
    writeln!(config, "basic_auth_users:\n  prometheus: {hash}").unwrap();
    let arguments = Arguments::set(&format!("--web-config {file}"));
    must(&["restart", SERVICE]);
    assert_eq!(ask("/metrics", &[]).status, 401);
    // prometheus:correct horse
    let right = "Authorization: Basic cHJvbWV0aGV1czpjb3JyZWN0IGhvcnNl";
    assert_eq!(ask("/metrics", &[right]).status, 200);
    assert_eq!(ask("/healthz", &[]).status, 200);
    drop(arguments);
    assert_eq!(ask("/metrics", &[]).status, 200);
    fs::remove_dir_all(dir).unwrap();
}

/// Check that io_submit is counted where that is asked for: its program is attached behind the same walls.
#[test]
fn submits() {
    let arguments = Arguments::set("--collect submit");
    must(&["restart", SERVICE]);
    let mut fixture = aioinspect_tests::fixture::Fixture::spawn();
    ask("/metrics", &[]);
    fixture.run("submit-raw ok 3");
    let calls = || {
        let said = ask("/metrics", &[]).text();
        aioinspect_tests::serving::value_in(&said, "aio_submit_calls_total", &["unit=\"suites.service\""])
    };
    until("three calls of io_submit", || calls() == Some(3.0));
    drop(arguments);
}

/// Check that wrong arguments are told in the journal, and that systemd does not try them again and again.
#[test]
fn wrong_arguments() {
    let arguments = Arguments::set("--no-such-option");
    assert!(!systemctl(&["restart", SERVICE]).0);
    assert_eq!(state(), "failed", "{}", journal());
    assert_eq!((property("ExecMainStatus").as_str(), property("NRestarts").as_str()), ("2", "0"));
    assert!(journal().contains("--no-such-option"), "{}", journal());
    drop(arguments);
    assert_eq!(state(), "active");
}
