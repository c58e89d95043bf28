//! What the service still may once it serves: systemd's confinement and its own, both in force.

use std::fs;

use crate::systemd::{ask, journal, property};

fn status() -> String {
    ask("/readyz", &[]);
    fs::read_to_string(format!("/proc/{}/status", property("MainPID"))).unwrap()
}

fn field<'a>(status: &'a str, name: &str) -> Vec<&'a str> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}"));
    line.trim_start_matches(':').split_whitespace().collect()
}

/// Check that it runs as a user of its own and holds no capability at all.
#[test]
fn nobody_with_nothing() {
    let status = status();
    let [real, rest @ ..] = &*field(&status, "Uid") else { panic!("{status}") };
    assert!(real.parse::<u32>().unwrap() > 1000 && rest.iter().all(|uid| uid == real), "{status}");
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(field(&status, set), ["0000000000000000"], "{status}");
    }
    assert_eq!(field(&status, "NoNewPrivs"), ["1"]);
}

/// Check that filters of system calls are in force, systemd's and both of its own, and that Landlock is.
#[test]
fn filtered() {
    let status = status();
    assert_eq!(field(&status, "Seccomp"), ["2"]);
    let filters: u32 = field(&status, "Seccomp_filters")[0].parse().unwrap();
    assert!(filters > 2, "{filters} filters");
    let said = journal();
    assert!(said.contains("all capabilities dropped; landlock on; seccomp on"), "{said}");
}

/// Check that nothing it does is refused by either: what is forgotten in a list shows as an error in the journal.
#[test]
fn nothing_is_refused() {
    for path in ["/", "/metrics", "/api/v1/contexts", "/healthz", "/readyz"] {
        assert_eq!(ask(path, &[]).status, 200, "{path}");
    }
    let said = journal().to_lowercase();
    for word in ["not permitted", "permission denied", "panicked", "cannot"] {
        assert!(!said.contains(word), "{word}: {said}");
    }
}
