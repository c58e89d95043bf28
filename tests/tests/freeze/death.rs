//! Targets that exit, exec or are killed at any time, and closures that panic.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use aioinspect_kernel::freeze::error::FreezeError;
use aioinspect_kernel::freeze::{FreezePlan, freeze_and};
use aioinspect_model::units::Pid;

use super::spin;
use super::target::{Target, alone, count, within};

/// Check that a freeze of a process that ends at any time either holds it or says that it is gone.
#[test]
fn exit_at_any_time() {
    let _alone = alone();
    let (mut held, mut gone) = (0, 0);
    for round in 0..300_u64 {
        let target = Target::start(|board| {
            for counter in board.iter().skip(1).take(5) {
                std::thread::spawn(|| count(counter));
            }
            board[0].store(1, Ordering::SeqCst);
            spin(Duration::from_micros(round * 13 % 1500));
        });
        match target.freeze(|| spin(Duration::from_micros(100))) {
            Ok(_) => held += 1,
            Err(FreezeError::Gone(pid)) if pid == target.pid => gone += 1,
            Err(error) => panic!("round {round}: {error:?}"),
        }
        assert_eq!(target.wait(), 0, "round {round}");
    }
    println!("held {held}, gone {gone}");
}

/// Check threads that come and go at any time, leader included, beside one that stays.
#[test]
fn threads_end_at_any_time() {
    let _alone = alone();
    for round in 0..200_u64 {
        let target = Target::start(|board| {
            std::thread::spawn(|| count(&board[0]));
            for thread in 0..6 {
                std::thread::spawn(move || spin(Duration::from_micros((round * 31 + thread * 97) % 800)));
            }
            spin(Duration::from_micros(round * 17 % 1000));
            // SAFETY: ends the calling thread alone.
            unsafe { libc::syscall(libc::SYS_exit, 0) };
        });
        let frozen = target.freeze(|| {
            let before = target.get(0);
            spin(Duration::from_micros(50));
            before == target.get(0)
        });
        let (still, report) = frozen.unwrap_or_else(|error| panic!("round {round}: {error:?}"));
        assert!(still && report.lost == 0, "round {round}: {report:?}");
        assert!(target.moves(0), "round {round}");
    }
}

/// Set for the child that [`exec_at_any_time`] makes of itself: the file where it counts its programs.
const LOG: &str = "AIOINSPECT_EXEC_LOG";

/// The target of [`exec_at_any_time`]: makes threads, waits a moment, and executes itself again, not from its leader.
fn executes_itself(log: &str) {
    std::fs::OpenOptions::new()
        .append(true)
        .open(log)
        .and_then(|mut file| std::io::Write::write_all(&mut file, b"x"))
        .unwrap();
    for _ in 0..3 {
        std::thread::spawn(|| {
            loop {
                std::thread::sleep(Duration::from_micros(50));
            }
        });
    }
    let nanos = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
    spin(Duration::from_nanos(u64::from(nanos % 1_500_000)));
    panic!("{}", executor(log).exec());
}

fn executor(log: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "death::exec_at_any_time", "--nocapture", "--test-threads=2"]);
    command.env(LOG, log).stdout(std::process::Stdio::null());
    command
}

struct Reaped(std::process::Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Check that a freeze of a process that executes a program at any time, from any thread, neither hangs nor hurts.
#[test]
fn exec_at_any_time() {
    if let Ok(log) = std::env::var(LOG) {
        return executes_itself(&log);
    }
    let _alone = alone();
    let log = tempfile::NamedTempFile::new().unwrap();
    let length = || std::fs::metadata(log.path()).unwrap().len();
    let mut child = Reaped(executor(log.path().to_str().unwrap()).spawn().unwrap());
    let pid = Pid(child.0.id());
    assert!(within(|| length() > 2));
    let (mut held, mut other) = (0, 0);
    let mut slowest = Duration::ZERO;
    let mut round = 0;
    // As many as it takes to meet it in the act, not only between two programs.
    while round < 600 || length() < 60 || other == 0 {
        round += 1;
        let start = Instant::now();
        let plan = FreezePlan::new(&[pid]).unwrap();
        match freeze_and(&plan, Duration::from_secs(5), || ()) {
            Ok(_) => held += 1,
            Err(FreezeError::Exec(one)) if one == pid => other += 1,
            Err(error) => panic!("round {round}: {error:?}"),
        }
        slowest = slowest.max(start.elapsed());
        assert!(child.0.try_wait().unwrap().is_none());
    }
    let before = length();
    println!("held {held}, executed meanwhile {other}, {before} programs, slowest freeze {slowest:?}");
    assert!(within(|| length() > before + 2), "it does not run on");
    assert!(held > 0);
}

/// Check that a target killed while held is reported as lost.
#[test]
fn killed_inside() {
    let _alone = alone();
    for _ in 0..20 {
        let target = Target::start(|board| {
            std::thread::spawn(|| count(&board[1]));
            count(&board[0])
        });
        let ((), report) = target
            .freeze(|| {
                target.send(libc::SIGKILL);
                spin(Duration::from_millis(2));
            })
            .unwrap();
        assert_eq!((report.tids.len(), report.lost), (2, 2));
        assert!(libc::WIFSIGNALED(target.wait()));
    }
}

/// Check that a panic inside lets go, and is the caller's panic.
#[test]
fn a_panic_inside() {
    let _alone = alone();
    let target = Target::start(|board| count(&board[0]));
    let caught =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| target.freeze(|| panic!("as planned"))));
    assert_eq!(*caught.unwrap_err().downcast_ref::<&str>().unwrap(), "as planned");
    target.assert_free();
    target.freeze(|| ()).unwrap();
}
