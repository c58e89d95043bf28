//! A kernel that is locked down, as far as a view of securityfs can show it: what we do not do then.

use std::fs;

use aioinspect_kernel::bpf::lockdown::Lockdown;
use aioinspect_tests::programs::{run, run_aioinspect, skip};

use crate::doctor::{doctor, does, row};
use crate::refused::{can, refuses};
use crate::sandbox::{forbid, with_mounts};

const TRACEPOINT: [&str; 5] = ["watch", "--hook", "tracepoint", "--duration", "100ms"];

/// Why there is nothing to pretend.
fn not_here() -> Option<&'static str> {
    if !Lockdown::of_this_kernel().allows_tracefs_instance() {
        return Some("this kernel is locked down in earnest");
    }
    if fs::read_to_string("/proc/self/mountinfo").unwrap().contains(" - tracefs ") {
        return Some("tracefs is mounted here");
    }
    // Before any hook comes the map of contexts, which takes the census.
    (row(&run(&mut doctor()), "BPF iterator over tasks").status != "present")
        .then_some("this kernel lacks what a watch needs")
}

/// Check that under confidentiality no tracefs instance is made, whoever asks, and that the refusal names lockdown.
#[test]
fn no_instance_of_tracefs() {
    if !can("no_instance_of_tracefs") {
        return;
    }
    if let Some(why) = not_here() {
        return skip("no_instance_of_tracefs", why);
    }
    with_mounts(&[(c"tmpfs", c"/sys/kernel/security", c"")], || {
        let is = |level: &str| fs::write("/sys/kernel/security/lockdown", level).unwrap();
        is("none integrity [confidentiality]\n");
        refuses(&TRACEPOINT, 7, &["lockdown=confidentiality", "tracefs"]);
        let of = row(&run(&mut doctor()), "tracefs");
        assert_eq!(of.status, "limited", "{of:?}");
        assert!(of.detail.contains("lockdown=confidentiality"), "{of:?}");
        assert!(of.fix.starts_with("boot with lockdown=integrity"), "{of:?}");
        // The other hooks need none.
        assert_eq!(run_aioinspect(&["watch", "--duration", "100ms"]).code, 0);
        is("none [integrity] confidentiality\n");
        let of = row(&run(&mut doctor()), "tracefs");
        assert_eq!((&*of.status, &*of.fix), ("present", ""), "{of:?}");
        assert_eq!(run_aioinspect(&TRACEPOINT).code, 0);
        // What is not understood is not taken for harmless.
        is("none integrity [secrecy]\n");
        refuses(&TRACEPOINT, 7, &["lockdown", "tracefs", "mount -t securityfs"]);
    });
}

/// Check that where nothing tells whether the kernel is locked down no instance is made either, and that the line which makes it
/// tell helps.
#[test]
fn where_it_is_not_shown() {
    if !can("where_it_is_not_shown") {
        return;
    }
    if let Some(why) = not_here() {
        return skip("where_it_is_not_shown", why);
    }
    // An empty directory stands where securityfs would, and BPF cannot be asked.
    with_mounts(&[(c"tmpfs", c"/sys/kernel/security", c"")], || {
        let ask = || run(forbid(&mut doctor(), &[libc::SYS_bpf]));
        let before = ask();
        for name in ["tracefs", "lockdown"] {
            let of = row(&before, name);
            assert_eq!(of.status, "limited", "{of:?}");
            assert_eq!(of.fix, "mount -t securityfs securityfs /sys/kernel/security", "{of:?}");
        }
        does(&row(&before, "lockdown").fix);
        let after = row(&ask(), "lockdown");
        assert_eq!((&*after.status, &*after.fix), ("present", ""), "{after:?}");
        assert_eq!(row(&ask(), "tracefs").status, "present");
    });
}
