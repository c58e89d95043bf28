//! Threads that are never at rest: one that measures its own pauses, one that changes mappings, one that
//! does AIO.
#![expect(unsafe_code, reason = "mappings and io_submit")]

use std::io::Write;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::aio::{self, IoEvent, Iocb};
use crate::completions::eventfd;
use crate::failure::{At, Done, Failure};
use crate::memory::{self, page};
use crate::state::{PATIENCE, State, on_cpu};
use crate::words::Words;

/// The running loads.
#[derive(Debug, Default)]
pub(crate) struct Loads {
    spin: Option<Load>,
    busy: Option<Load>,
    churn: Option<Load>,
}

#[derive(Debug)]
struct Load {
    stop: Arc<AtomicBool>,
    /// Turns of the loop.
    turns: Arc<AtomicU64>,
    gap: Arc<AtomicU64>,
    /// When the last report was given, and after how many turns.
    since: (Instant, u64),
    thread: JoinHandle<()>,
}

impl Load {
    fn start(mut turn: impl FnMut(&AtomicU64) + Send + 'static, cpu: Option<u32>) -> Result<Load, Failure> {
        let (stop, turns) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let gap = Arc::new(AtomicU64::new(0));
        let (stopped, turned, gapped) = (Arc::clone(&stop), Arc::clone(&turns), Arc::clone(&gap));
        let body = move || {
            let run = || {
                while !stopped.load(Ordering::Relaxed) {
                    turn(&gapped);
                    turned.fetch_add(1, Ordering::Relaxed);
                }
            };
            // A CPU that does not exist leaves no turns, which the caller sees.
            let _ = on_cpu(cpu, run);
        };
        let thread = thread::Builder::new().spawn(body).at("thread")?;
        let begun = Instant::now();
        while turns.load(Ordering::Relaxed) == 0 {
            if begun.elapsed() > PATIENCE {
                return Err(Failure::refused("the thread does not run"));
            }
            thread::sleep(Duration::from_micros(100));
        }
        Ok(Load { stop, turns, gap, since: (Instant::now(), 0), thread })
    }

    fn end(self) -> Result<u64, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| Failure::refused("the thread panicked"))?;
        Ok(self.turns.load(Ordering::Relaxed))
    }
}

fn vacant(load: Option<&Load>) -> Result<(), Failure> {
    if load.is_some() { Err(Failure::refused("it runs already")) } else { Ok(()) }
}

fn end(load: &mut Option<Load>) -> Result<u64, Failure> {
    load.take().ok_or_else(|| Failure::refused("it does not run"))?.end()
}

/// `spin [CPU]`: a thread that reads the clock all the time and remembers the largest gap between two readings.
pub(crate) fn spin(state: &mut State, words: &mut Words) -> Done {
    vacant(state.loads.spin.as_ref())?;
    let mut last = None;
    let turn = move |gap: &AtomicU64| {
        let now = Instant::now();
        if let Some(last) = last.replace(now) {
            let ns = u64::try_from(now.duration_since(last).as_nanos()).unwrap_or(u64::MAX);
            gap.fetch_max(ns, Ordering::Relaxed);
        }
    };
    state.loads.spin = Some(Load::start(turn, words.maybe("CPU")?)?);
    Ok(json!({}))
}

/// `spin-report`: the largest gap since the last report, in nanoseconds.
pub(crate) fn spin_report(state: &mut State, _: &mut Words) -> Done {
    let load = state.loads.spin.as_mut().ok_or_else(|| Failure::refused("spin first"))?;
    // A gap is known only when the thread has read the clock again: it may run later than we do.
    let seen = load.turns.load(Ordering::Relaxed);
    let begun = Instant::now();
    let turns = loop {
        let turns = load.turns.load(Ordering::Relaxed);
        if turns >= seen + 2 {
            break turns;
        }
        if begun.elapsed() > PATIENCE {
            return Err(Failure::refused("the thread does not run"));
        }
        thread::yield_now();
    };
    let elapsed = u64::try_from(load.since.0.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let readings = turns - load.since.1;
    load.since = (Instant::now(), turns);
    let gap = load.gap.swap(0, Ordering::Relaxed);
    Ok(json!({"max_gap_ns": gap, "readings": readings, "elapsed_ns": elapsed}))
}

/// `spin-stop`.
pub(crate) fn spin_stop(state: &mut State, _: &mut Words) -> Done {
    Ok(json!({"turns": end(&mut state.loads.spin)?}))
}

/// `busy`: a thread that maps and unmaps memory all the time.
pub(crate) fn busy(state: &mut State, _: &mut Words) -> Done {
    vacant(state.loads.busy.as_ref())?;
    let turn = |_: &AtomicU64| {
        let Ok(address) = memory::map(16 * page(), libc::PROT_READ | libc::PROT_WRITE) else { return };
        // Two VMAs for a moment, so that the number of mappings changes too.
        // SAFETY: a fresh mapping of ours, used by nobody.
        let _ = unsafe { memory::protect(address, page(), libc::PROT_NONE) };
        // SAFETY: as above.
        let _ = unsafe { memory::unmap(address, 16 * page()) };
    };
    state.loads.busy = Some(Load::start(turn, None)?);
    Ok(json!({}))
}

/// `busy-stop`.
pub(crate) fn busy_stop(state: &mut State, _: &mut Words) -> Done {
    Ok(json!({"turns": end(&mut state.loads.busy)?}))
}

/// `churn [CPU]`: a thread that submits to a context of 64 and reaps it all the time.
pub(crate) fn churn(state: &mut State, words: &mut Words) -> Done {
    vacant(state.loads.churn.as_ref())?;
    let cpu = words.maybe("CPU")?;
    let id = aio::io_setup(64).at("io_setup")?;
    let context = state.adopt(id, 64, "churn")?;
    context.moving = true;
    let handle = context.handle;
    let mut event = eventfd()?;
    event.write_all(&1_u64.to_ne_bytes()).at("write to an eventfd")?;
    let turn = move |_: &AtomicU64| {
        let mut iocbs: Vec<_> =
            (0..8).map(|tag| Box::new(Iocb::poll(tag, event.as_raw_fd(), None))).collect();
        let mut pointers: Vec<_> = iocbs.iter_mut().map(|iocb| std::ptr::from_mut(&mut **iocb)).collect();
        // SAFETY: the iocbs live until their events are reaped below: the eventfd is ready.
        let mut due = unsafe { aio::io_submit(id, &mut pointers) }.unwrap_or(0);
        let mut events = [IoEvent::default(); 8];
        while due > 0 {
            match aio::io_getevents(id, 1, &mut events, None) {
                Ok(n) => due = due.saturating_sub(n),
                Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
                Err(_) => return,
            }
        }
    };
    state.loads.churn = Some(Load::start(turn, cpu)?);
    Ok(json!({"id": format!("{id:#x}"), "handle": handle}))
}

/// `churn-stop`: its context stays, idle; how often it went round.
pub(crate) fn churn_stop(state: &mut State, _: &mut Words) -> Done {
    let turns = end(&mut state.loads.churn)?;
    for context in state.contexts.iter_mut().filter(|context| context.moving) {
        context.moving = false;
        let tail = memory::load_u32(context.id + 12).map(u64::from);
        // How many entries were used nobody counted; the ring is at rest, head and tail are equal.
        context.completed = tail.unwrap_or(0);
        context.reaped = context.completed;
    }
    Ok(json!({"turns": turns}))
}
