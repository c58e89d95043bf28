//! Freezing real processes: nobody is harmed, nothing is lost, and who is held stands still.
//!
//! Needs CAP_SYS_PTRACE; run by `cargo xtask test`.

#![expect(unsafe_code, reason = "the targets are forked, cloned and signalled by raw calls")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

mod death;
mod refusals;
mod signals;
mod target;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use aioinspect_kernel::freeze::error::FreezeError;
use aioinspect_kernel::freeze::{FreezePlan, freeze_and};
use aioinspect_model::units::{Pid, Tid};
use target::{Board, Target, alone, clone_vm, count, within};

/// Waits without a system call, so that nothing but the freeze keeps the target from running.
fn spin(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

fn sum(board: &Board) -> u64 {
    board.iter().fold(0, |sum, one| sum.wrapping_add(one.load(Ordering::SeqCst)))
}

/// Check that one thread stands still inside and runs on after, 300 times; prints what it costs.
#[test]
fn one_thread() {
    let _alone = alone();
    let target = Target::start(|board| count(&board[0]));
    let mut pauses = Vec::new();
    for _ in 0..300 {
        let (moved, report) = target
            .freeze(|| {
                let before = target.get(0);
                spin(Duration::from_micros(20));
                target.get(0) - before
            })
            .unwrap();
        assert_eq!(moved, 0);
        assert_eq!(report.tids, [Tid(target.pid.0)]);
        assert_eq!((report.lost, report.earlier_attempts), (0, 0));
        assert!(report.seized_ns >= report.pause_ns && report.pause_ns >= 20_000);
        pauses.push(report.pause_ns - 20_000);
    }
    pauses.sort_unstable();
    println!("pause of one thread beside the work inside: median {} ns, least {} ns", pauses[150], pauses[0]);
    target.assert_free();
}

/// Check that a sleeping thread is stopped in microseconds; prints how many.
#[test]
fn one_sleeper() {
    let _alone = alone();
    let target = Target::start(|board| {
        board[0].store(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_secs(3600));
    });
    let mut pauses: Vec<_> = (0..300).map(|_| target.freeze(|| ()).unwrap().1.pause_ns).collect();
    pauses.sort_unstable();
    println!("pause of a sleeping thread: median {} ns, least {} ns", pauses[150], pauses[0]);
    assert!(pauses[150] < 5_000_000);
}

/// Check that 64 threads all stand still.
#[test]
fn sixty_four_threads() {
    let _alone = alone();
    let target = Target::start(|board| {
        for counter in board.iter().skip(1).take(63) {
            std::thread::spawn(|| count(counter));
        }
        count(&board[0])
    });
    assert!(within(|| (0..64).all(|index| target.get(index) > 0)));
    let mut pauses = Vec::new();
    for _ in 0..100 {
        let (moved, report) = target
            .freeze(|| {
                let before = sum(target.board);
                spin(Duration::from_micros(200));
                sum(target.board) - before
            })
            .unwrap();
        assert_eq!(moved, 0);
        assert_eq!(report.tids.len(), 64);
        pauses.push(report.pause_ns - 200_000);
    }
    pauses.sort_unstable();
    println!("pause of 64 threads beside the work inside: median {} ns", pauses[50]);
    target.assert_free();
    for index in 0..64 {
        assert!(target.moves(index), "thread {index} does not run on");
    }
}

/// Check that threads born during the freeze are held too: they count as long as they run.
#[test]
fn threads_appear() {
    let _alone = alone();
    let target = Target::start(|board| {
        let spawn = move |counter: usize| {
            loop {
                let work = move || (0..2000).for_each(|_| _ = board[counter].fetch_add(1, Ordering::SeqCst));
                std::thread::spawn(work);
                std::thread::spawn(work).join().ok();
            }
        };
        std::thread::spawn(move || spawn(1));
        spawn(0);
    });
    for round in 0..500 {
        let (moved, _) = target
            .freeze(|| {
                let before = sum(target.board);
                spin(Duration::from_micros(100));
                sum(target.board) - before
            })
            .unwrap();
        assert_eq!(moved, 0, "round {round}");
    }
    target.assert_free();
}

/// Check that children born during the freeze run on and can end, be they forked or spawned sharing memory for a while.
#[test]
fn children_appear() {
    let _alone = alone();
    let target = Target::start(|board| {
        std::thread::spawn(|| {
            loop {
                let status = std::process::Command::new("/bin/true").status();
                assert!(status.is_ok_and(|status| status.success()));
                board[1].fetch_add(1, Ordering::SeqCst);
            }
        });
        loop {
            // SAFETY: the child does nothing but end; the parent waits for it.
            unsafe {
                let child = libc::fork();
                if child == 0 {
                    libc::_exit(7);
                }
                let mut status = 0;
                assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
                assert_eq!(libc::WEXITSTATUS(status), 7);
            }
            board[0].fetch_add(1, Ordering::SeqCst);
        }
    });
    assert!(target.moves(1));
    let before = (target.get(0), target.get(1));
    for round in 0..300 {
        let frozen = target.freeze(|| (target.get(0), target.get(1)));
        assert!(frozen.is_ok(), "round {round}: {frozen:?}");
    }
    assert!(target.get(0) > before.0 && target.get(1) > before.1);
    target.assert_free();
    assert!(target.moves(1));
}

extern "C" fn count_forever(counter: *mut libc::c_void) -> i32 {
    // SAFETY: the argument is a counter of a board, which is never unmapped.
    count(unsafe { &*counter.cast() })
}

extern "C" fn end_soon(_: *mut libc::c_void) -> i32 {
    std::thread::sleep(Duration::from_millis(3));
    0
}

/// Check that a process that shares the memory is held, also where the plan knows its parent alone.
#[test]
fn a_process_shares_the_memory() {
    let _alone = alone();
    let target = Target::start(|board| {
        let pid = clone_vm(0, count_forever, (&raw const board[1]).cast_mut().cast());
        board[2].store(pid.try_into().unwrap(), Ordering::SeqCst);
        count(&board[0])
    });
    assert!(target.moves(1));
    let sibling = Pid(target.get(2).try_into().unwrap());
    let pids = vec![target.pid, sibling];
    for plan in [&pids[..], &pids[..1]] {
        let plan = FreezePlan::new(plan).unwrap();
        let inside = || {
            let before = (target.get(0), target.get(1));
            spin(Duration::from_micros(500));
            before == (target.get(0), target.get(1))
        };
        let (still, report) = freeze_and(&plan, Duration::from_secs(5), inside).unwrap();
        assert!(still);
        assert_eq!(report.tids, [Tid(target.pid.0), Tid(sibling.0)]);
    }
    target.assert_free();
    assert!(target.moves(1));
    // SAFETY: kills the process that our own target made.
    unsafe { libc::kill(sibling.0.try_into().unwrap(), libc::SIGKILL) };
}

/// Check that a process whose leader has exited is held by its other threads.
#[test]
fn the_leader_is_dead() {
    let _alone = alone();
    let target = Target::start(|board| {
        std::thread::spawn(|| count(&board[0]));
        // SAFETY: ends the calling thread alone; nothing on its stack is used by others.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    });
    assert!(within(|| target.state() == 'Z'));
    for _ in 0..50 {
        let (still, report) = target
            .freeze(|| {
                let before = target.get(0);
                spin(Duration::from_micros(100));
                before == target.get(0)
            })
            .unwrap();
        assert!(still);
        assert_eq!(report.tids.len(), 1);
        assert_ne!(report.tids[0].0, target.pid.0);
    }
    assert!(target.moves(0));
}

/// Check that a thread that never stops ends in a timeout that names it, with everybody free, and without a pause.
#[test]
fn uninterruptible_sleep() {
    let _alone = alone();
    let target = Target::start(|board| {
        std::thread::spawn(|| count(&board[0]));
        clone_vm(libc::CLONE_VFORK, count_forever, (&raw const board[1]).cast_mut().cast());
    });
    assert!(target.moves(1));
    assert!(within(|| target.state() == 'D'));
    let pids = [target.pid, target.child()];
    for plan in [&pids[..1], &pids[..]] {
        let start = Instant::now();
        let plan = FreezePlan::new(plan).unwrap();
        let error = freeze_and(&plan, Duration::from_millis(300), || ()).unwrap_err();
        let FreezeError::TimedOut { pid, tid, state: 'D', wchan } = error else { panic!("{error}") };
        assert_eq!((pid, tid), (target.pid, Tid(target.pid.0)));
        println!("it waits in {wchan:?}");
        assert!((Duration::from_millis(300)..Duration::from_secs(2)).contains(&start.elapsed()));
        target.assert_free();
        assert!(target.moves(1));
    }
    // SAFETY: kills the process that our own target made.
    unsafe { libc::kill(pids[1].0.try_into().unwrap(), libc::SIGKILL) };
}

/// Check that a thread that keeps falling into uninterruptible sleep for a while is caught awake.
#[test]
fn uninterruptible_naps() {
    let _alone = alone();
    let target = Target::start(|board| {
        loop {
            let child = clone_vm(libc::CLONE_VFORK, end_soon, std::ptr::null_mut());
            // SAFETY: waits for the child of this process.
            unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
            board[0].fetch_add(1, Ordering::SeqCst);
        }
    });
    let mut again = 0;
    for round in 0..100 {
        let frozen = target.freeze(|| {
            let before = target.get(0);
            spin(Duration::from_millis(4));
            before == target.get(0)
        });
        let (still, report) = frozen.unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert!(still);
        again += report.earlier_attempts;
    }
    println!("attempts given up: {again}");
    assert!(target.moves(0));
}
