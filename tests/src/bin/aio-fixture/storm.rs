//! Many calls at once: races over one context, over one address, and a storm of everything.
#![expect(unsafe_code, reason = "fork, exec and raw system calls")]

use std::io;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::aio;
use crate::children;
use crate::failure::{Done, Failure};
use crate::state::State;
use crate::words::Words;

/// Contexts that one thread of the storm holds at most.
const HELD: usize = 8;

/// `race-destroy THREADS`: all of them destroy the same context at once. Answers how many succeeded.
pub(crate) fn race_destroy(_: &mut State, words: &mut Words) -> Done {
    let threads = words.number::<usize>("THREADS")?;
    let id = aio::io_setup(7).map_err(|error| Failure::os("io_setup", &error))?;
    let (start, ok) = (Barrier::new(threads), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                start.wait();
                if aio::io_destroy(id).is_ok() {
                    ok.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    Ok(json!({"id": format!("{id:#x}"), "ok": ok.into_inner()}))
}

/// `race-reuse ROUNDS`: one thread destroys a context while another makes one, which takes its address. All are destroyed
/// in the end. Answers how often an address was used again before its io_destroy had returned.
pub(crate) fn race_reuse(_: &mut State, words: &mut Words) -> Done {
    let rounds = words.number::<u32>("ROUNDS")?;
    let failed = |error: io::Error| Failure::os("a call of the race", &error);
    let (mut reused, mut setups, mut destroys) = (0_u32, 0_u32, 0_u32);
    let mut last = aio::io_setup(5).map_err(failed)?;
    setups += 1;
    for _ in 0..rounds {
        let returned = AtomicBool::new(false);
        let made = thread::scope(|scope| {
            let returned = &returned;
            let destroyer = scope.spawn(move || {
                let done = aio::io_destroy(last);
                returned.store(true, Ordering::SeqCst);
                done
            });
            // The context is gone long before the call is over.
            thread::sleep(Duration::from_millis(2));
            let made = aio::io_setup(6);
            let early = !returned.load(Ordering::SeqCst);
            (made, early, destroyer.join())
        });
        let (made, early, destroyed) = made;
        let made = made.map_err(failed)?;
        destroyed.map_err(|_| Failure::refused("the thread panicked"))?.map_err(failed)?;
        (setups, destroys) = (setups + 1, destroys + 1);
        reused += u32::from(early && made == last);
        last = made;
    }
    aio::io_destroy(last).map_err(failed)?;
    Ok(json!({"reused": reused, "setups": setups, "destroys": destroys + 1}))
}

/// What the storm did.
#[derive(Debug, Default)]
struct Counts {
    setups: AtomicU64,
    failures: AtomicU64,
    destroys: AtomicU64,
}

/// `storm MILLISECONDS THREADS CHILDREN SEED`: threads make and destroy contexts, and fail to, as fast as they can; beside them
/// child processes are made, so many at a time, that make two contexts each and exit, exec, are killed, or share our memory.
/// What lives in the end stays until this process ends.
pub(crate) fn storm(_: &mut State, words: &mut Words) -> Done {
    let time = Duration::from_millis(words.number::<u64>("MILLISECONDS")?);
    let (threads, children) = (words.number::<u64>("THREADS")?, words.number::<u32>("CHILDREN")?);
    let seed = words.number::<u64>("SEED")?;
    let (counts, over) = (Counts::default(), AtomicBool::new(false));
    let mut made = 0;
    thread::scope(|scope| {
        for thread in 0..threads {
            let (counts, over) = (&counts, &over);
            scope.spawn(move || one(counts, over, seed.wrapping_add(thread.wrapping_mul(0x9e37_79b9))));
        }
        let begun = Instant::now();
        while begun.elapsed() < time {
            if children == 0 {
                thread::sleep(Duration::from_millis(10));
            } else {
                made += generation(children);
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
    Ok(json!({
        "setups": read(&counts.setups),
        "failures": read(&counts.failures),
        "destroys": read(&counts.destroys),
        "live": read(&counts.setups).saturating_sub(read(&counts.destroys)),
        "children": made,
    }))
}

fn one(counts: &Counts, over: &AtomicBool, seed: u64) {
    let add = |count: &AtomicU64| {
        count.fetch_add(1, Ordering::Relaxed);
    };
    let mut dice = seed | 1;
    let mut roll = |sides: u64| {
        // Marsaglia's xorshift: enough to be different each time.
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        dice.checked_rem(sides).unwrap_or(0)
    };
    let mut held: [Option<u64>; HELD] = [None; HELD];
    while !over.load(Ordering::Relaxed) {
        let place = usize::try_from(roll(8)).unwrap_or(0);
        let Some(slot) = held.get_mut(place) else { return };
        if let Some(id) = slot.take() {
            if aio::io_destroy(id).is_ok() {
                add(&counts.destroys);
            }
            continue;
        }
        // One in six asks for nothing, which fails.
        let n = if roll(6) == 0 { 0 } else { u32::try_from(roll(200)).unwrap_or(0) + 1 };
        if let Ok(id) = aio::io_setup(n) {
            add(&counts.setups);
            *slot = Some(id);
        } else {
            add(&counts.failures);
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// One generation of children, ended before this returns.
fn generation(count: u32) -> u32 {
    let mut pids = Vec::new();
    let parent = std::process::id();
    for nth in 0..count {
        // SAFETY: the child makes system calls only.
        match unsafe { libc::fork() } {
            0 => child(nth, parent),
            pid if pid > 0 => pids.push(pid),
            _ => {}
        }
    }
    thread::sleep(Duration::from_millis(3));
    for pid in &pids {
        // SAFETY: a child of ours that nobody has waited for.
        unsafe { libc::kill(*pid, libc::SIGKILL) };
        // One that has ended is waited for as well.
        let _ = children::wait_for(pid.cast_unsigned());
    }
    u32::try_from(pids.len()).unwrap_or(0)
}

fn child(nth: u32, parent: u32) -> ! {
    children::die_with_parent(parent);
    let first = aio::io_setup(3 + nth);
    let _second = aio::io_setup(1);
    match nth % 4 {
        0 => {
            let arguments = [c"aio-fixture".as_ptr(), c"quit".as_ptr(), std::ptr::null()];
            // SAFETY: a path and a list of arguments ended by a null pointer.
            unsafe { libc::execv(c"/proc/self/exe".as_ptr(), arguments.as_ptr()) };
        }
        // Until it is killed.
        1 => thread::sleep(Duration::from_secs(60)),
        2 => drop(first.map(aio::io_destroy)),
        _ => {}
    }
    // SAFETY: ends the child without running what belongs to its parent.
    unsafe { libc::_exit(0) }
}
