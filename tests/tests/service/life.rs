//! It starts with the machine and by its socket, says when it is ready, and ends when it is told.

use crate::systemd::{SERVICE, SOCKET, ask, forget_starts, journal, must, property, state, until};

/// Check that both units are up after the boot, that the service says where it serves, and that systemd did not have to start it twice.
#[test]
fn starts_with_the_machine() {
    assert_eq!(state(), "active", "{}", journal());
    assert_eq!(must(&["is-active", SOCKET]), "active");
    assert_eq!(property("StatusText"), "serving on http://127.0.0.1:9827");
    assert_eq!(property("NRestarts"), "0");
    assert_eq!(ask("/readyz", &[]).text(), "ready\n");
}

/// Check that a question to the socket starts a service that was stopped, and is answered.
#[test]
fn wakes_by_its_socket() {
    forget_starts();
    must(&["stop", SERVICE]);
    assert_eq!(state(), "inactive");
    assert_eq!(ask("/healthz", &[]).text(), "ok\n");
    assert_eq!(state(), "active");
}

/// Check that a stop is a clean end, and that the address is free with the socket gone.
#[test]
fn ends_when_told() {
    forget_starts();
    must(&["stop", SERVICE, SOCKET]);
    assert_eq!((property("Result").as_str(), property("ExecMainStatus").as_str()), ("success", "0"));
    assert!(std::net::TcpStream::connect("127.0.0.1:9827").is_err());
    must(&["start", SOCKET, SERVICE]);
    assert_eq!(ask("/healthz", &[]).status, 200);
}

/// Check that one that is killed comes back by itself, behind the same socket.
#[test]
fn comes_back_when_killed() {
    forget_starts();
    let before = property("MainPID");
    must(&["kill", "--signal=KILL", SERVICE]);
    until("another process", || property("MainPID") != before && state() == "active");
    assert_eq!(ask("/readyz", &[]).status, 200);
}
