//! Root, and yet refused: each verb names who refuses.

use std::process::Command;

use aioinspect_tests::programs::{bin, run};
use rustix::thread::CapabilitySet;

use crate::doctor::{doctor, row};
use crate::refused::{can, refused};
use crate::sandbox::{forbid, without};

fn aioinspect(args: &[&str]) -> Command {
    let mut command = Command::new(bin("aioinspect"));
    command.args(args);
    command
}

const VERBS: [&[&str]; 4] = [
    &["check", "1"],
    &["dump", "1", "-D", "/tmp"],
    &["watch", "--duration", "100ms"],
    &["serve", "--listen", "127.0.0.1:0"],
];

/// Check that a seccomp filter is named by every verb where it forbids bpf(2), and that list does without.
#[test]
fn by_seccomp() {
    if !can("by_seccomp") {
        return;
    }
    for verb in VERBS {
        let output = run(forbid(&mut aioinspect(verb), &[libc::SYS_bpf]));
        refused(&output, 4, &["seccomp", "although the capabilities are held", "SystemCallFilter=bpf"]);
    }
    let list = run(forbid(&mut aioinspect(&["list"]), &[libc::SYS_bpf]));
    assert_eq!(list.code, 0, "{list:?}");
    assert!(list.stdout.contains("source proc") && list.stderr.contains("seccomp"), "{list:?}");
}

/// Check that root without a capability is told which it lacks and who gives it, and never to be root.
#[test]
fn by_the_bounding_set() {
    if !can("by_the_bounding_set") {
        return;
    }
    let half = "(CAP_BPF and CAP_PERFMON are needed)";
    for (lost, words) in [
        (CapabilitySet::BPF, ["CAP_BPF is missing", half, "--cap-add BPF,"]),
        (CapabilitySet::PERFMON, ["CAP_PERFMON is missing", half, "--cap-add PERFMON,"]),
        (
            CapabilitySet::BPF.union(CapabilitySet::PERFMON),
            [
                "CAP_BPF and CAP_PERFMON are missing",
                "--cap-add BPF --cap-add PERFMON,",
                "AmbientCapabilities=",
            ],
        ),
    ] {
        let lost = lost.union(CapabilitySet::SYS_ADMIN);
        for verb in VERBS {
            let output = run(without(&mut aioinspect(verb), lost));
            refused(&output, 4, &words);
            assert!(!output.stderr.contains("root"), "{output:?}");
        }
    }
}

/// Check that root of a user namespace is told that it is one, and that outside of it all is well.
#[test]
fn by_a_user_namespace() {
    if !can("by_a_user_namespace") {
        return;
    }
    let inside = |args: &[&str]| run(Command::new("unshare").args(["-Ur"]).arg(bin("aioinspect")).args(args));
    for verb in VERBS {
        let output = inside(verb);
        refused(
            &output,
            4,
            &["CAP_BPF and CAP_PERFMON are held only in a user namespace", "outside the user namespace"],
        );
        assert!(!output.stderr.contains("as root"), "{output:?}");
    }
    let output = inside(&["doctor", "-J"]);
    assert_eq!(output.code, 4, "{output:?}");
    for name in ["CAP_BPF", "CAP_PERFMON"] {
        let of = row(&output, name);
        assert_eq!(of.status, "missing", "{of:?}");
        assert!(of.fix.starts_with("start it outside the user namespace"), "{of:?}");
        assert_eq!(row(&run(&mut doctor()), name).status, "present");
    }
}
