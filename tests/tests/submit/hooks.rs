//! Running a test on each hook.

use aioinspect_kernel::bpf::error::ProbeError;
use aioinspect_kernel::trace::hook::Hook;
use aioinspect_kernel::trace::submits::{Sizes, SubmitCount, Submits};
use aioinspect_model::units::Pid;
use aioinspect_tests::kernel_log::assert_silent;
use aioinspect_tests::programs::{is_root, skip};

/// Starts counting by that hook; `None` where the kernel lacks it.
pub fn start(hook: Hook, sizes: Sizes) -> Option<Submits> {
    let mut tried = Vec::new();
    match Submits::start(sizes, Some(hook), true, 0, &mut tried) {
        Ok(submits) => {
            assert!(tried.is_empty(), "{tried:?}");
            assert_eq!(submits.hook(), hook);
            Some(submits)
        }
        Err(ProbeError::Lacks { what }) => {
            assert!(matches!(hook, Hook::Fentry | Hook::Kprobe), "{}: {what}", hook.name());
            assert_eq!(tried.len(), 1, "{tried:?}");
            None
        }
        Err(error) => panic!("{}: {error}", hook.name()),
    }
}

/// Runs a test on each hook that this kernel takes, with that much room.
pub fn each_with(test: &str, sizes: Sizes, run: impl Fn(Hook, Submits)) {
    if !is_root() {
        return skip(test, "needs root (CAP_BPF, CAP_PERFMON)");
    }
    for hook in Hook::ALL {
        if let Some(submits) = start(hook, sizes) {
            println!("{test}: {}", hook.name());
            run(hook, submits);
        }
    }
}

/// The same with the usual room.
pub fn each(test: &str, run: impl Fn(Hook, Submits)) {
    each_with(test, Sizes::default(), run);
}

/// The count of one process.
pub fn of(submits: &mut Submits, pid: u32) -> Option<SubmitCount> {
    let mut counts = submits.read().unwrap();
    counts.retain(|count| count.pid == Pid(pid));
    assert!(counts.len() < 2, "{counts:?}");
    counts.pop()
}

/// Check that without a choice the first of the ladder that loads is taken, and that those before it are named.
#[test]
fn the_ladder() {
    if !is_root() {
        return skip("the_ladder", "needs root (CAP_BPF, CAP_PERFMON)");
    }
    let taken: Vec<Hook> =
        Hook::ALL.into_iter().filter(|hook| start(*hook, Sizes::default()).is_some()).collect();
    let mut tried = Vec::new();
    let submits = Submits::start(Sizes::default(), None, false, 0, &mut tried).unwrap();
    assert_eq!(submits.hook(), taken[0]);
    assert_eq!(tried.len(), Hook::ALL.iter().position(|hook| *hook == taken[0]).unwrap(), "{tried:?}");
    assert!(submits.program_id().unwrap() > 0);
}

/// Check that no hook makes the kernel warn.
#[test]
fn without_a_warning() {
    assert_silent("without_a_warning", || {
        let taken = Hook::ALL.into_iter().filter(|hook| start(*hook, Sizes::default()).is_some());
        assert_ne!(taken.count(), 0);
    });
}
