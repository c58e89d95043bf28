//! aioinspect is interrupted or killed at any instant of a dump.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::victim::{Delays, Left, PATIENCE, Victim, can, end_of, finish, signal, take_files, typical};

/// Starts a dump, sends the signal after a random time, many times; how often it was in time, and what was left.
fn at_random(test: &str, with: Signal, rounds: u32) {
    if !can(test) {
        return;
    }
    let mut victim = Victim::new(16, 16);
    let pid = victim.fixture.pid();
    let mut delays = Delays::new(test);
    let whole = typical(|| {
        let output = finish(&mut victim.dump());
        assert_eq!(output.code, 0, "{output:?}");
        assert_eq!(take_files(victim.dir.path(), pid), Left::Both);
    });
    let (mut in_time, mut alone) = (0_u32, 0_u32);
    for round in 0..rounds {
        let child = victim.dump().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(delays.below(whole));
        signal(&child, with);
        let code = end_of(child);
        assert!(code == 0 || code == -with.as_raw(), "round {round}: {code}");
        in_time += u32::from(code != 0);
        victim.assert_unharmed();
        let left = take_files(victim.dir.path(), pid);
        match left {
            Left::Nothing => assert_ne!(code, 0, "round {round}"),
            Left::ImageAlone => {
                assert_eq!(with, Signal::KILL, "round {round}");
                alone += 1;
            }
            Left::Both => {}
        }
    }
    println!(
        "{test}: {in_time} of {rounds} came in time (a dump takes up to {whole:?}), {alone} between the two files"
    );
    assert!(in_time > rounds / 10, "only {in_time} of {rounds} came in time");
}

/// Check that SIGKILL at any instant leaves the target running and no partial file.
#[test]
fn sigkill() {
    at_random("sigkill", Signal::KILL, 200);
}

/// Check the same of Ctrl-C, which ends aioinspect by that signal, for its caller to see.
#[test]
fn sigint() {
    at_random("sigint", Signal::INT, 100);
}

/// Check the same of SIGTERM.
#[test]
fn sigterm() {
    at_random("sigterm", Signal::TERM, 100);
}

/// Check that a signal which comes just as the image gets its name does not leave it alone: both files are there, or neither.
#[test]
fn between_the_two_files() {
    if !can("between_the_two_files") {
        return;
    }
    let mut victim = Victim::new(16, 16);
    let pid = victim.fixture.pid();
    let image = victim.dir.path().join(format!("mm-{pid}.img"));
    let mut in_time = 0_u32;
    for round in 0..60 {
        let with = [Signal::INT, Signal::TERM, Signal::HUP][round % 3];
        let child = victim.dump().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let begun = Instant::now();
        while !image.exists() {
            assert!(begun.elapsed() < PATIENCE, "round {round}: no image");
        }
        signal(&child, with);
        let code = end_of(child);
        assert!(code == 0 || code == -with.as_raw(), "round {round}: {code}");
        in_time += u32::from(code != 0);
        assert_eq!(take_files(victim.dir.path(), pid), Left::Both, "round {round}: {with:?}");
        victim.assert_unharmed();
    }
    println!("between_the_two_files: {in_time} of 60 came in time");
    assert!(in_time > 0, "none came in time");
}

/// Check that Ctrl-C ends the wait for an idle moment at once, leaving nothing.
#[test]
fn while_it_waits() {
    if !can("while_it_waits") {
        return;
    }
    let mut victim = Victim::new(0, 4);
    let id = victim.fixture.setup(8);
    victim.fixture.run(&format!("poll {id:#x} 3"));
    let pid = victim.pid();
    for verb in ["check", "dump"] {
        for with in [Signal::INT, Signal::TERM] {
            let mut command = victim.dump();
            if verb == "check" {
                command = std::process::Command::new(aioinspect_tests::programs::bin("aioinspect"));
                command.args(["check", &pid]);
            }
            command.args(["--wait", "10m"]).stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = command.spawn().unwrap();
            std::thread::sleep(Duration::from_millis(300));
            assert_eq!(child.try_wait().unwrap(), None, "{verb} did not wait");
            signal(&child, with);
            // Within our patience, which is far less than it was told to wait.
            assert!(PATIENCE < Duration::from_secs(600));
            assert_eq!(end_of(child), -with.as_raw());
            assert_eq!(take_files(victim.dir.path(), victim.fixture.pid()), Left::Nothing);
        }
    }
    crate::victim::assert_free(victim.fixture.pid());
    assert_eq!(victim.fixture.truth().context(0).map(|context| context.in_flight), Some(3));
}
