//! Every call counted once, under its process, as what it came to.

use std::fs;

use aioinspect_kernel::confine::without_privileges;
use aioinspect_kernel::trace::hook::Hook;
use aioinspect_kernel::trace::submits::SubmitsLost;
use aioinspect_tests::architecture::no_callers_of_32_bits;
use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::privileges;
use aioinspect_tests::programs::skip;

use crate::hooks::{each, of};

/// Makes calls of one kind, which must answer as they should.
fn submit(fixture: &mut Fixture, kind: &str, times: u32, answer: i64) {
    assert_eq!(fixture.run(&format!("submit-raw {kind} {times}"))["answer"], answer, "{kind}");
}

/// Check every number of every kind of call, and that what is asked for nothing is not short.
#[test]
fn kinds_of_calls() {
    each("kinds_of_calls", |hook, mut submits| {
        let mut fixture = Fixture::spawn();
        let pid = fixture.pid();
        assert_eq!(of(&mut submits, pid), None, "{hook:?}: it has called nothing yet");
        submit(&mut fixture, "empty", 3, 0);
        let count = of(&mut submits, pid).unwrap();
        assert_eq!((count.calls, count.short, count.requests), (3, 0, 0), "{hook:?}");
        submit(&mut fixture, "ok", 5, 2);
        submit(&mut fixture, "short", 7, 1);
        submit(&mut fixture, "einval", 11, -i64::from(libc::EINVAL));
        submit(&mut fixture, "ebadf", 13, -i64::from(libc::EBADF));
        submit(&mut fixture, "efault", 17, -i64::from(libc::EFAULT));
        let count = of(&mut submits, pid).unwrap();
        assert_eq!((count.calls, count.short), (3 + 5 + 7 + 11 + 13 + 17, 7), "{hook:?}");
        assert_eq!(count.requests, 2 * 5 + 7, "{hook:?}");
        assert_eq!(
            count.errors,
            [(libc::EBADF, 13), (libc::EFAULT, 17), (libc::EINVAL, 11)],
            "{hook:?}: in the order of the numbers"
        );
        assert_eq!(count.comm, b"aio-fixture", "{hook:?}");
        let stat = fixture.proc("stat");
        let start = stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap();
        assert_eq!(count.start_ticks.to_string(), start, "{hook:?}");
        assert_eq!(submits.lost().unwrap(), SubmitsLost::default(), "{hook:?}");
    });
}

/// Check that two processes are told apart, and that a new name is learnt.
#[test]
fn two_processes() {
    each("two_processes", |hook, mut submits| {
        let (mut one, mut other) = (Fixture::spawn(), Fixture::spawn());
        submit(&mut one, "empty", 2, 0);
        submit(&mut other, "einval", 3, -i64::from(libc::EINVAL));
        other.run("set-comm 6e6577");
        submit(&mut other, "ebadf", 4, -i64::from(libc::EBADF));
        let first = of(&mut submits, one.pid()).unwrap();
        let second = of(&mut submits, other.pid()).unwrap();
        assert_eq!((first.calls, first.errors), (2, vec![]), "{hook:?}");
        assert_eq!(second.calls, 7, "{hook:?}");
        assert_eq!(second.errors, [(libc::EBADF, 4), (libc::EINVAL, 3)], "{hook:?}");
        assert_eq!((first.comm, second.comm), (b"aio-fixture".to_vec(), b"new".to_vec()), "{hook:?}");
    });
}

/// Check that 32-bit callers are counted, but for the hook that the kernel does not pass for them.
#[test]
fn callers_of_32_bits() {
    if let Some(reason) = no_callers_of_32_bits() {
        return skip("callers_of_32_bits", reason);
    }
    each("callers_of_32_bits", |hook, mut submits| {
        let mut fixture = Fixture::spawn();
        let id = fixture.run("setup32 8")["id"].as_str().unwrap().to_owned();
        let submitted = fixture.run(&format!("submit32 {id} 6"));
        assert_eq!(submitted["answer"], 1);
        let pid = u32::try_from(submitted["pid"].as_u64().unwrap()).unwrap();
        fixture.run(&format!("destroy32 {id}"));
        let count = of(&mut submits, pid);
        let expected = (hook != Hook::Tracepoint).then_some((6, 6, 6));
        assert_eq!(
            count.as_ref().map(|count| (count.calls, count.short, count.requests)),
            expected,
            "{hook:?}"
        );
        assert!(count.is_none_or(|count| count.comm == b"aio-fixture"), "{hook:?}");
    });
}

/// Check that the counts of a process outlive it until they are forgotten, and those of others stay.
#[test]
fn until_forgotten() {
    each("until_forgotten", |hook, mut submits| {
        let (mut dead, mut alive) = (Fixture::spawn(), Fixture::spawn());
        let pid = dead.pid();
        submit(&mut dead, "einval", 2, -i64::from(libc::EINVAL));
        submit(&mut dead, "efault", 1, -i64::from(libc::EFAULT));
        submit(&mut alive, "einval", 5, -i64::from(libc::EINVAL));
        dead.finish();
        let count = of(&mut submits, pid).unwrap();
        assert_eq!((count.calls, count.errors.len()), (3, 2), "{hook:?}");
        submits.forget(&[]).unwrap();
        assert!(of(&mut submits, pid).is_some(), "{hook:?}");
        submits.forget(&[count.submitter(), count.submitter()]).unwrap();
        assert_eq!(of(&mut submits, pid), None, "{hook:?}");
        let other = of(&mut submits, alive.pid()).unwrap();
        assert_eq!((other.calls, other.errors.as_slice()), (5, [(libc::EINVAL, 5)].as_slice()), "{hook:?}");
        // Who is forgotten and lives on begins again.
        submits.forget(&[other.submitter()]).unwrap();
        submit(&mut alive, "einval", 4, -i64::from(libc::EINVAL));
        let again = of(&mut submits, alive.pid()).unwrap();
        assert_eq!((again.calls, again.errors), (4, vec![(libc::EINVAL, 4)]), "{hook:?}");
    });
}

/// Check that reading, forgetting and asking for losses take no capability but what this kernel asks for.
#[test]
fn without_privileges() {
    each("without_privileges", |hook, mut submits| {
        let mut fixture = Fixture::spawn();
        let pid = fixture.pid();
        submit(&mut fixture, "einval", 2, -i64::from(libc::EINVAL));
        let left = privileges::left();
        std::thread::spawn(move || {
            without_privileges::give_up(submits.trial()).unwrap();
            let status = fs::read_to_string("/proc/thread-self/status").unwrap();
            assert!(status.contains(&format!("CapEff:\t{left}")), "{status}");
            submit(&mut fixture, "ebadf", 3, -i64::from(libc::EBADF));
            let count = of(&mut submits, pid).unwrap();
            assert_eq!(count.calls, 5, "{hook:?}");
            assert_eq!(count.errors, [(libc::EBADF, 3), (libc::EINVAL, 2)], "{hook:?}");
            assert_eq!(submits.lost().unwrap(), SubmitsLost::default(), "{hook:?}");
            submits.forget(&[count.submitter()]).unwrap();
            assert_eq!(of(&mut submits, pid), None, "{hook:?}");
        })
        .join()
        .unwrap();
    });
}

/// Check that nobody is made to wait for long: what an empty call takes with a hook and without is printed.
#[test]
fn cost() {
    fn fastest(fixture: &mut Fixture) -> u64 {
        (0..20).map(|_| fixture.number("submit-raw empty 5000", "ns")).min().unwrap()
    }
    each("cost", |hook, submits| {
        let mut fixture = Fixture::spawn();
        let with = fastest(&mut fixture);
        drop(submits);
        let without = fastest(&mut fixture);
        println!("cost: {}: an empty io_submit takes {with} ns, {without} ns without", hook.name());
        assert!(with < without + 100_000, "{hook:?}: {with} ns");
    });
}
