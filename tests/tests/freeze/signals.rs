//! No signal of a target is lost, doubled or changed by a freeze, and job control stays as it was.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::target::{Board, Target, alone, board, count, within};

static BOARD: AtomicPtr<Board> = AtomicPtr::new(std::ptr::null_mut());

extern "C" fn on_signal(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel hands a valid siginfo of a queued signal; the board is never unmapped.
    unsafe {
        let value = (*info).si_value().sival_ptr as usize as u64;
        let board = &*BOARD.load(Ordering::SeqCst);
        board[1].fetch_add(1, Ordering::SeqCst);
        board[2].fetch_add(value, Ordering::SeqCst);
    }
}

fn queue(pid: i32, signal: i32, value: u64) {
    let value = libc::sigval { sival_ptr: std::ptr::without_provenance_mut(usize::try_from(value).unwrap()) };
    // SAFETY: queues a signal to our own child.
    while unsafe { libc::sigqueue(pid, signal, value) } != 0 {
        std::thread::yield_now();
    }
}

/// Check that of 20,000 queued signals, sent during 1,000 freezes, each arrives once with its value.
#[test]
fn a_storm_of_signals() {
    const SIGNALS: u64 = 20_000;
    let _alone = alone();
    let target = Target::start(|board| {
        BOARD.store(std::ptr::from_ref(board).cast_mut(), Ordering::SeqCst);
        // SAFETY: installs a handler that only touches atomics.
        unsafe {
            let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
            action.sa_sigaction = on_signal as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
            assert_eq!(libc::sigaction(libc::SIGRTMIN(), &raw const action, std::ptr::null_mut()), 0);
        }
        for counter in board.iter().skip(3).take(3) {
            std::thread::spawn(|| count(counter));
        }
        count(&board[0])
    });
    let sent = AtomicU64::new(0);
    let pid = target.raw;
    let mut in_delivery = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for value in 1..=SIGNALS {
                queue(pid, libc::SIGRTMIN(), value);
                sent.store(value, Ordering::SeqCst);
                if value % 20 == 0 {
                    std::thread::sleep(Duration::from_micros(300));
                }
            }
        });
        for round in 0..1000 {
            let (before, _) = target.freeze(|| (sent.load(Ordering::SeqCst), target.get(1))).unwrap();
            in_delivery += u64::from(before.0 > before.1);
            assert!(before.1 <= before.0 + 1, "round {round}");
        }
    });
    println!("freezes with signals on their way: {in_delivery}");
    assert!(within(|| target.get(1) == SIGNALS), "{} of {SIGNALS}", target.get(1));
    assert_eq!(target.get(2), SIGNALS * (SIGNALS + 1) / 2);
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(target.get(1), SIGNALS);
    target.assert_free();
}

/// Check that a stopped target is stopped afterwards, and that SIGCONT is still what wakes it.
#[test]
fn stopped_stays_stopped() {
    let _alone = alone();
    let target = Target::start(|board| {
        std::thread::spawn(|| count(&board[1]));
        count(&board[0])
    });
    target.send(libc::SIGSTOP);
    assert!(within(|| target.state() == 'T'));
    for _ in 0..50 {
        let before = target.get(0);
        let ((), report) = target.freeze(|| ()).unwrap();
        assert_eq!(report.tids.len(), 2);
        assert!(within(|| target.state() == 'T'), "{}", target.state());
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!((target.state(), target.get(0)), ('T', before));
    }
    target.send(libc::SIGCONT);
    target.assert_free();
    assert!(target.moves(1));
}

/// Check SIGSTOP and SIGCONT that arrive at any time around a freeze.
#[test]
fn job_control_meanwhile() {
    let _alone = alone();
    let target = Target::start(|board| count(&board[0]));
    for round in 0..200_u64 {
        let send_at = Instant::now() + Duration::from_micros(round * 7 % 600);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while Instant::now() < send_at {}
                target.send(libc::SIGSTOP);
            });
            target.freeze(|| ()).unwrap();
        });
        assert!(within(|| target.state() == 'T'), "round {round}: {}", target.state());
        target.send(libc::SIGCONT);
        assert!(target.moves(0), "round {round}");
    }
    target.freeze(|| target.send(libc::SIGSTOP)).unwrap();
    assert!(within(|| target.state() == 'T'));
    target.freeze(|| target.send(libc::SIGCONT)).unwrap();
    target.assert_free();
}

/// Check that SIGKILL of whoever freezes leaves the target running, 100 times at any instant, with its signals.
#[test]
fn the_tracer_is_killed() {
    let _alone = alone();
    let target = Target::start(|board| {
        BOARD.store(std::ptr::from_ref(board).cast_mut(), Ordering::SeqCst);
        // SAFETY: installs a handler that only touches atomics.
        unsafe {
            let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
            action.sa_sigaction = on_signal as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
            assert_eq!(libc::sigaction(libc::SIGRTMIN(), &raw const action, std::ptr::null_mut()), 0);
        }
        for counter in board.iter().skip(3).take(3) {
            std::thread::spawn(|| count(counter));
        }
        count(&board[0])
    });
    let mut killed_inside = 0;
    let mut signals = 0;
    for round in 0..100_u64 {
        let inside = board();
        let tracer = Target::start(|own| {
            own[0].store(1, Ordering::SeqCst);
            loop {
                let frozen = target.freeze(|| {
                    inside[0].store(1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_micros(500));
                    inside[0].store(0, Ordering::SeqCst);
                });
                frozen.unwrap();
            }
        });
        let kill_at = Instant::now() + Duration::from_micros(round * 37 % 3000);
        while Instant::now() < kill_at {
            queue(target.raw, libc::SIGRTMIN(), 1);
            signals += 1;
            std::thread::sleep(Duration::from_micros(50));
        }
        if round % 2 == 0 {
            assert!(within(|| inside[0].load(Ordering::SeqCst) == 1));
        }
        tracer.send(libc::SIGKILL);
        assert!(libc::WIFSIGNALED(tracer.wait()));
        killed_inside += inside[0].load(Ordering::SeqCst);
        target.assert_free();
        assert!((3..6).all(|index| target.moves(index)), "round {round}");
        assert!(within(|| target.get(1) == signals), "round {round}: {} of {signals}", target.get(1));
    }
    println!("killed inside the freeze: {killed_inside} of 100; signals: {signals}");
    assert!(killed_inside > 10);
}

fn interrupted(work: impl FnOnce(&'static Board), ready: impl Fn(&Target) -> bool) -> (Target, Duration) {
    let freezer = Target::fork(work);
    assert!(within(|| ready(&freezer)));
    let start = Instant::now();
    freezer.send(libc::SIGINT);
    let status = freezer.wait();
    assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGINT, "{status:#x}");
    (freezer, start.elapsed())
}

/// Check that Ctrl-C inside the freeze lets it come to its end, thaws, and then takes effect.
#[test]
fn interrupted_inside() {
    let _alone = alone();
    let target = Target::start(|board| count(&board[0]));
    let freeze = |own: &'static Board| {
        let frozen = target.freeze(|| {
            own[0].store(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(100));
            own[1].store(1, Ordering::SeqCst);
        });
        frozen.unwrap();
        own[2].store(1, Ordering::SeqCst);
    };
    let (freezer, _) = interrupted(freeze, |freezer| freezer.get(0) == 1);
    assert_eq!((freezer.get(1), freezer.get(2)), (1, 0));
    target.assert_free();
}

/// Check that Ctrl-C does not wait for a thread that never stops.
#[test]
fn interrupted_waiting() {
    let _alone = alone();
    let target = Target::start(|board| {
        board[0].store(1, Ordering::SeqCst);
        super::clone_vm(libc::CLONE_VFORK, super::count_forever, (&raw const board[0]).cast_mut().cast());
    });
    assert!(within(|| target.state() == 'D'));
    let child = target.child();
    let freeze = |own: &'static Board| {
        own[0].store(1, Ordering::SeqCst);
        target.freeze(|| ()).unwrap_err();
    };
    let (_, took) = interrupted(freeze, |freezer| freezer.get(0) == 1);
    assert!(took < Duration::from_secs(2), "{took:?}");
    // SAFETY: kills the process that our own target made.
    unsafe { libc::kill(child.0.try_into().unwrap(), libc::SIGKILL) };
}
