//! Maps that are full: what has no room is counted as lost.

use aioinspect_kernel::trace::submits::Sizes;
use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::programs::skip;

use crate::hooks::{each_with, of};

/// Check that a full map loses what is new and nothing else, says how much, and that forgetting makes room.
#[test]
fn full_maps() {
    each_with("full_maps", Sizes { processes: 1, errors: 1 }, |hook, mut submits| {
        let (mut one, mut other) = (Fixture::spawn(), Fixture::spawn());
        one.run("submit-raw einval 2");
        one.run("submit-raw ebadf 3");
        other.run("submit-raw einval 4");
        let kept = submits.read().unwrap();
        // Somebody else on this host may have been quicker.
        let [count] = kept.as_slice() else { panic!("{kept:?}") };
        if count.pid.0 != one.pid() {
            skip("full_maps", "another process of this host submitted first");
            return;
        }
        assert_eq!((count.calls, count.errors.as_slice()), (5, [(libc::EINVAL, 2)].as_slice()), "{hook:?}");
        let lost = submits.lost().unwrap();
        assert!(lost.calls >= 4 && lost.errors == 3, "{hook:?}: {lost:?}");
        submits.forget(&[count.submitter()]).unwrap();
        other.run("submit-raw einval 1");
        let count = of(&mut submits, other.pid()).unwrap();
        assert_eq!((count.calls, count.errors), (1, vec![(libc::EINVAL, 1)]), "{hook:?}");
    });
}
