//! aioinspect is stopped, interrupted or killed inside the freeze, and each time that it was inside is seen.
//!
//! The window is widened from outside: with 64 threads and 1,100 contexts it is long enough to be seen in /proc, and a
//! SIGSTOP to aioinspect keeps it open until all has been looked at.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use aioinspect_kernel::proc::files::ProcDir;
use rustix::process::Signal;

use crate::victim::{Left, Victim, can, end_of, signal, take_files, within};

/// A cheap look at the state of one thread, over and over.
struct Eye(File);

impl Eye {
    fn on(pid: u32) -> Eye {
        Eye(File::open(format!("/proc/{pid}/task/{pid}/stat")).unwrap())
    }

    /// Its letter in /proc/PID/stat.
    fn state(&self) -> io::Result<u8> {
        let mut text = [0_u8; 64];
        let n = self.0.read_at(&mut text, 0)?;
        let text = &text[..n];
        let end = text.iter().rposition(|byte| *byte == b')').unwrap_or(0);
        Ok(text.get(end + 2).copied().unwrap_or(b'?'))
    }
}

/// Starts a dump and stops it as soon as the target is seen frozen. `None`: it was through before we saw it.
///
/// What is returned is stopped inside the freeze: the target is seen frozen after aioinspect was seen stopped.
fn frozen(victim: &Victim) -> Option<Child> {
    let eye = Eye::on(victim.fixture.pid());
    let mut child = victim.dump().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    loop {
        if eye.state().unwrap() == b't' {
            signal(&child, Signal::STOP);
            break;
        }
        if child.try_wait().unwrap().is_some() {
            return None;
        }
    }
    let own = ProcDir::open(aioinspect_model::units::Pid(child.id())).unwrap();
    let stopped = || {
        let threads = own.threads().unwrap_or_default();
        threads
            .into_iter()
            .all(|tid| own.state_of(tid).map_or(true, |state| matches!(state.letter, 'T' | 'Z')))
    };
    assert!(within(stopped), "aioinspect does not stop");
    if eye.state().unwrap() == b't' {
        return Some(child);
    }
    // It had let go before the signal came.
    signal(&child, Signal::CONT);
    assert_eq!(end_of(child), 0);
    None
}

/// Catches it inside the freeze so often, or less on a slow machine, and does `then`, which gives its exit code.
fn each_time(test: &str, times: u32, least: u32, then: impl Fn(Child) -> i32, files: &[(i32, Left)]) {
    if !can(test) {
        return;
    }
    let mut victim = Victim::new(1_100, 64);
    let pid = victim.fixture.pid();
    let begun = Instant::now();
    let (mut caught, mut tries) = (0, 0);
    while caught < times && (caught < least || begun.elapsed() < Duration::from_secs(90)) {
        assert!(begun.elapsed() < Duration::from_secs(900), "caught {caught} of {tries}");
        tries += 1;
        if let Some(child) = frozen(&victim) {
            caught += 1;
            let code = then(child);
            let left = take_files(victim.dir.path(), pid);
            assert!(files.contains(&(code, left)), "exit code {code}, {left:?}");
        }
        victim.assert_unharmed();
        take_files(victim.dir.path(), pid);
    }
    println!("{test}: seen inside the freeze {caught} times in {tries} dumps");
}

/// Check that SIGKILL inside the freeze lets every thread go, and leaves no file.
#[test]
fn sigkill_inside() {
    let kill = |child: Child| {
        signal(&child, Signal::KILL);
        end_of(child)
    };
    each_time("sigkill_inside", 100, 10, kill, &[(-Signal::KILL.as_raw(), Left::Nothing)]);
}

/// Check that Ctrl-C and SIGTERM inside the freeze thaw first, and then end aioinspect, without a file.
#[test]
fn ended_inside() {
    for with in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
        let end = |child: Child| {
            signal(&child, with);
            signal(&child, Signal::CONT);
            end_of(child)
        };
        each_time("ended_inside", 8, 2, end, &[(-with.as_raw(), Left::Nothing)]);
    }
}

/// Check that a stop inside the freeze ends, by SIGCONT, in a complete dump: nothing is lost.
#[test]
fn continued() {
    let go_on = |child: Child| {
        signal(&child, Signal::CONT);
        end_of(child)
    };
    each_time("continued", 8, 2, go_on, &[(0, Left::Both)]);
}

/// Check that Ctrl-Z does not stop aioinspect while it holds others: they run before it stops.
#[test]
fn suspended() {
    if !can("suspended") {
        return;
    }
    let mut victim = Victim::new(1_100, 64);
    let eye = Eye::on(victim.fixture.pid());
    for _ in 0..10 {
        let mut command = victim.dump();
        // A group of its own: the kernel discards SIGTSTP for groups that nobody could continue.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap();
        while eye.state().unwrap() != b't' && child.try_wait().unwrap().is_none() {}
        if child.try_wait().unwrap().is_none() {
            signal(&child, Signal::TSTP);
        }
        victim.assert_unharmed();
        if child.try_wait().unwrap().is_none() {
            signal(&child, Signal::CONT);
        }
        let code = end_of(child);
        assert_eq!(code, 0);
        take_files(victim.dir.path(), victim.fixture.pid());
    }
}
