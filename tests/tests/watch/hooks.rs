//! Running a test on each hook.

use std::sync::OnceLock;

use aioinspect_tests::kernel_log::assert_silent;
use aioinspect_tests::programs::{is_root, skip};
use aioinspect_tests::watch::{Watch, calm_hooks, hooks, is_locked_down};

/// Runs a test on each hook that this kernel takes.
pub fn each(test: &str, run: impl Fn(&'static str, Watch)) {
    static HOOKS: OnceLock<Vec<&'static str>> = OnceLock::new();
    if !is_root() {
        return skip(test, "needs root (CAP_BPF, CAP_PERFMON)");
    }
    for hook in HOOKS.get_or_init(|| calm_hooks(test)) {
        let watch =
            Watch::start(&["--hook", hook]).unwrap_or_else(|ended| panic!("{hook}: {}", ended.stderr));
        println!("{test}: {hook}");
        run(hook, watch);
    }
}

/// Check that a hook that does not exist on this kernel is refused with 7 and named, that each that exists says so, and that without
/// a choice the first of the ladder is taken.
#[test]
fn the_ladder() {
    if !is_root() {
        return skip("the_ladder", "needs root (CAP_BPF, CAP_PERFMON)");
    }
    let taken = hooks();
    let chosen = Watch::start(&[]).unwrap_or_else(|ended| panic!("{}", ended.stderr)).end();
    let says = format!("aioinspect: watching with {} ", taken[0]);
    assert!(chosen.stderr.contains(&says), "{taken:?}: {}", chosen.stderr);
    // Those before the one that is taken were tried.
    for hook in ["fentry", "kprobe"].iter().take_while(|hook| **hook != taken[0]) {
        assert!(
            chosen.stderr.contains(&format!("aioinspect: hook {hook}: this kernel lacks ")),
            "{}",
            chosen.stderr
        );
    }
    // On a kernel that patches its own text all four are there, unless it is locked down.
    if taken.contains(&"fentry") && !is_locked_down() {
        assert_eq!(taken.len(), 4, "{taken:?}");
    }
}

/// Check that no hook makes the kernel warn.
#[test]
fn without_a_warning() {
    assert_silent("without_a_warning", || assert!(!hooks().is_empty()));
}
