//! Targets in uninterruptible sleep: a freeze cannot stop them, and must not leave the others stopped.

use std::time::{Duration, Instant};

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::programs::run_aioinspect;

use crate::victim::{
    Left, PATIENCE, Victim, assert_free, can, dump, dump_within, finish, refused, take_files,
};

/// Check that a process asleep in vfork is exit 6 after the time given, that it is asleep as before, and dumped untouched.
#[test]
fn a_whole_process() {
    if !can("a_whole_process") {
        return;
    }
    let mut fixture = Fixture::spawn();
    let asleep = fixture.pid_of("vfork-d-state 2 16");
    let dir = tempfile::tempdir().unwrap();
    for timeout in ["1ms", "300ms"] {
        let begun = Instant::now();
        let output = finish(&mut dump_within(timeout, asleep, dir.path()));
        refused(&output, 6, &["did not stop in time", "state D"]);
        assert!(begun.elapsed() < PATIENCE);
        assert_eq!(take_files(dir.path(), asleep), Left::Nothing);
        let stat = std::fs::read_to_string(format!("/proc/{asleep}/stat")).unwrap();
        assert!(stat.contains(") D "), "{stat}");
        assert_free(asleep);
    }
    let check = run_aioinspect(&["check", &asleep.to_string()]);
    assert_eq!(check.code, 0, "{check:?}");
    let output = finish(dump(asleep, dir.path()).args(["--freeze", "none"]));
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(take_files(dir.path(), asleep), Left::Both);
    fixture.run(&format!("child-exit {asleep}"));
}

/// Check that one thread asleep among others is exit 6 within the time given, that the others run, and that the same
/// process is dumped once it is awake.
#[test]
fn one_thread_of_many() {
    if !can("one_thread_of_many") {
        return;
    }
    let mut victim = Victim::new(4, 16);
    let child = victim.fixture.pid_of("vfork-thread");
    for _ in 0..5 {
        let begun = Instant::now();
        let output = finish(&mut dump_within("500ms", victim.fixture.pid(), victim.dir.path()));
        refused(&output, 6, &["did not stop in time", "state D"]);
        assert!((Duration::from_millis(500)..PATIENCE).contains(&begun.elapsed()));
        victim.assert_unharmed();
        assert_free(child);
    }
    // The wait for a thaw of the thread is not the wait for idleness: it does not go on for ten minutes.
    let mut command = dump_within("300ms", victim.fixture.pid(), victim.dir.path());
    let output = finish(command.args(["--wait", "1s"]));
    assert_eq!(output.code, 6, "{output:?}");
    assert_eq!(take_files(victim.dir.path(), victim.fixture.pid()), Left::Nothing);
    victim.fixture.run(&format!("child-exit {child}"));
    assert_eq!(finish(&mut victim.dump()).code, 0);
    assert_eq!(take_files(victim.dir.path(), victim.fixture.pid()), Left::Both);
    victim.assert_unharmed();
}
