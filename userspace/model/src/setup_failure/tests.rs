//! Tests of the words for a failed io_setup.

use proptest::prelude::*;

use crate::picture::Owner;
use crate::setup_failure::*;
use crate::units::Pid;

fn failure(errno: i32, requested: u32) -> Failure {
    Failure { errno, requested, ..Failure::default() }
}

fn why(failure: &Failure) -> String {
    String::from_utf8(in_words(failure)).unwrap()
}

fn holder(comm: &[u8], pid: u32, slots: u64, contexts: usize) -> Holder {
    Holder { pid: Pid(pid), comm: comm.to_vec(), owner: Owner::default(), processes: 1, contexts, slots }
}

/// Check EAGAIN where the host has too few slots left: the numbers, and who holds the rest.
#[test]
fn too_few_are_left() {
    let mut of = Failure { free: Some(120), limit: Some(65536), initial: Some(0), ..failure(EAGAIN, 5000) };
    assert_eq!(why(&of), "asked for 5000, 120 free of 65536");
    of.largest = vec![holder(b"mysqld", 123, 1024, 8), holder(b"x", 7, 1, 1)];
    assert_eq!(
        why(&of),
        "asked for 5000, 120 free of 65536; reserved by mysqld (pid 123, 1024 slots in 8 contexts), x (pid 7, 1 slot in 1 context)"
    );
    let unit = |unit: &str| Owner { unit: unit.into(), ..Owner::default() };
    of.largest = vec![
        Holder { owner: unit("nginx.service"), processes: 64, ..holder(b"nginx", 7, 64000, 64) },
        Holder { owner: unit("mariadb.service"), ..holder(b"mysqld", 123, 1024, 8) },
    ];
    assert_eq!(
        why(&of),
        "asked for 5000, 120 free of 65536; reserved by nginx.service (64 processes, 64000 slots in 64 contexts), \
         mariadb.service (mysqld, pid 123, 1024 slots in 8 contexts)"
    );
    of.largest.clear();
    of.free = Some(0);
    assert_eq!(why(&of), "asked for 5000, none free of 65536");
    of.free = Some(-464);
    assert_eq!(why(&of), "asked for 5000, none free of 65536: fs.aio-nr is 464 above the limit");
}

/// Check EAGAIN where there is enough again by the time we look, from exactly enough on.
#[test]
fn taken_at_that_moment() {
    let mut of = Failure { free: Some(5000), limit: Some(65536), ..failure(EAGAIN, 5000) };
    let expected = "asked for 5000, and the slots were taken at that moment; free again: 5000 of 65536";
    assert_eq!(why(&of), expected);
    of.free = Some(4999);
    assert_eq!(why(&of), "asked for 5000, 4999 free of 65536");
}

/// Check EAGAIN that no waiting cures: more than the whole limit, and more than a context can have.
#[test]
fn never_enough() {
    let of = Failure { free: Some(100), limit: Some(4999), ..failure(EAGAIN, 5000) };
    assert_eq!(why(&of), "asked for 5000, more than all of fs.aio-max-nr (4999): raise it, or ask for less");
    let exact = Failure { free: Some(100), limit: Some(5000), ..failure(EAGAIN, 5000) };
    assert_eq!(why(&exact), "asked for 5000, 100 free of 5000");
    // 2 * 0x8000_0000 is 0 in 32 bits: fs/aio.c:ioctx_alloc answers EAGAIN, whatever the limit.
    let huge = Failure { free: Some(100), limit: Some(u64::MAX), ..failure(EAGAIN, 0x8000_0000) };
    assert_eq!(why(&huge), "asked for 2147483648, more than one context can have (4194304)");
}

/// Check that what is not known is not said as a number.
#[test]
fn unknown_is_no_number() {
    let mut of = failure(EAGAIN, 5000);
    assert_eq!(why(&of), "asked for 5000, more than was free of fs.aio-max-nr");
    of.limit = Some(65536);
    assert_eq!(why(&of), "asked for 5000, more than was free of 65536");
    of.limit = None;
    of.free = Some(3);
    assert_eq!(why(&of), "asked for 5000, 3 free");
    of.free = Some(-3);
    assert_eq!(why(&of), "asked for 5000, none free: fs.aio-nr is 3 above the limit");
    of.free = Some(6000);
    assert_eq!(why(&of), "asked for 5000, and the slots were taken at that moment; free again: 6000");
    of.largest = vec![holder(b"db", 9, 0, 2)];
    assert!(why(&of).ends_with("; reserved by db (pid 9, 2 contexts)"));
}

/// Check each way to EINVAL, two at once, and none that can be seen.
#[test]
fn arguments() {
    let of = |requested, initial| why(&Failure { initial, ..failure(EINVAL, requested) });
    let used = "the variable for the context must be 0 before the call, and held 0x7f00";
    assert_eq!(of(128, Some(0x7f00)), used);
    assert_eq!(of(0, Some(0)), "asked for 0, at least 1 is needed");
    assert_eq!(of(0, None), "asked for 0, at least 1 is needed");
    assert_eq!(of(0, Some(0x7f00)), format!("asked for 0, at least 1 is needed; {used}"));
    assert_eq!(of(4_194_305, Some(0)), "asked for 4194305, more than one context can have (4194304)");
    assert!(of(4_194_304, Some(0)).contains("it changed meanwhile"));
    assert!(of(128, None).starts_with("most likely the variable for the context was not 0"));
}

/// Check the other errors of io_setup, and those that it never gives.
#[test]
fn others() {
    assert!(why(&failure(EFAULT, 1)).contains("leads nowhere"));
    assert!(why(&Failure { initial: Some(0), ..failure(EFAULT, 1) }).contains("not written"));
    assert!(why(&failure(ENOMEM, 128)).contains("a ring of at least 12288 bytes:"));
    assert!(why(&failure(ENOMEM, 0)).contains("for the ring:"));
    assert!(why(&failure(EINTR, 1)).contains("killed"));
    assert!(why(&failure(ENOSYS, 1)).contains("CONFIG_AIO"));
    for errno in [EPERM, EACCES] {
        assert!(why(&failure(errno, 1)).contains("seccomp"));
    }
    assert!(why(&failure(28, 1)).contains("never fails with ENOSPC"));
    assert!(why(&failure(516, 1)).contains("never fails with 516"));
}

/// Check that what differs by numbers alone has one cause, and what is to be mended elsewhere another.
#[test]
fn causes() {
    let more = Failure { limit: Some(9), ..failure(EAGAIN, 10) };
    assert_eq!(
        cause(&failure(EAGAIN, 1)),
        cause(&Failure { limit: Some(9), free: Some(0), ..failure(EAGAIN, 5) })
    );
    let different = [
        more,
        failure(EAGAIN, 1),
        failure(EINVAL, 0),
        failure(EINVAL, 1),
        failure(EINVAL, MAX_REQS_LIMIT + 1),
        failure(EFAULT, 1),
        Failure { initial: Some(0), ..failure(EFAULT, 1) },
        failure(ENOMEM, 1),
    ];
    let causes: std::collections::BTreeSet<&str> = different.iter().map(cause).collect();
    assert_eq!(causes.len(), different.len());
}

proptest! {
    /// Check that every failure has a reason of one line, whatever its numbers, with the names as they are.
    #[test]
    fn any_failure(
        errno in prop_oneof![0..40_i32, any::<i32>()],
        requested: u32,
        free: Option<i64>,
        limit: Option<u64>,
        initial: Option<u64>,
        comm in proptest::collection::vec(1..=255_u8, 0..16),
    ) {
        let largest = vec![holder(&comm, 1, 2, 3)];
        let of = Failure { errno, requested, free, limit, initial, largest, more: 0 };
        let text = in_words(&of);
        prop_assert!(text.len() > 10);
        let named = text.windows(comm.len().max(1)).any(|part| part == comm);
        let without = in_words(&Failure { largest: Vec::new(), ..of });
        prop_assert!(text == without || named || comm.is_empty());
        prop_assert!(without.iter().all(|byte| (b' '..=b'~').contains(byte) && *byte != b'\\'));
    }
}
