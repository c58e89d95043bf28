//! Holding every thread of an address space still, for as short as can be.
//!
//! ptrace belongs to a thread. A thread of its own seizes all others, so that however it ends, by return, by panic or
//! by SIGKILL of the whole program, the kernel lets them go (kernel/ptrace.c:exit_ptrace), with their signals.
//!
//! The order: `wait` looks for threads that cannot stop; `attach` seizes all, which stops none;
//! `catch` first stops the one thread that an attempt failed on, if any; `hold` starts the clock, interrupts all, waits, runs the caller's closure, detaches all.

mod attach;
mod catch;
pub mod error;
mod handshake;
mod hold;
mod plan;
mod report;
mod seize;
mod snag;
pub mod tracee;
mod wait;

pub use plan::FreezePlan;
pub use report::FreezeReport;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::freeze::attach::{Attaching, attach};
use crate::freeze::catch::catch;
use crate::freeze::error::FreezeError;
use crate::freeze::handshake::{Finish, Handshake};
use crate::freeze::hold::{Ended, Hold, nanoseconds};
use crate::freeze::snag::Snag;
use crate::freeze::wait::{Deadline, until_all_can_stop, until_gone};
use crate::host::realtime::before_all_others;
use crate::host::signals::SignalBlock;
use crate::proc::files::ProcDir;

/// How often the caller's thread looks whether the tracer hangs: far longer than any freeze that goes well.
const WATCH: Duration = Duration::from_millis(20);

/// Runs `inside` while every thread of the plan is stopped, on the tracer's thread.
///
/// `inside` must neither allocate nor wait for the target. Gives up after `timeout`, or when a signal to end us is
/// pending; in every case all are let go before this returns. Signals that would end or stop us are held back meanwhile
/// in the calling thread and the tracer's; other threads of the program must not be open to them either.
pub fn freeze_and<R: Send>(
    plan: &FreezePlan,
    timeout: Duration,
    inside: impl FnOnce() -> R + Send,
) -> Result<(R, FreezeReport), FreezeError> {
    let _held_back = SignalBlock::new().map_err(|error| FreezeError::System("block signals", error))?;
    let deadline = Deadline(Instant::now().checked_add(timeout));
    let mut inside = Some(inside);
    let (mut attempts, mut spent, mut last_snag) = (0_u32, 0_u64, None);
    let explained = |error| explained(error, &plan.processes);
    loop {
        match attempt(plan, last_snag, deadline, &mut inside).map_err(explained)? {
            Ended::Done(result, report) => {
                let report = FreezeReport { earlier_attempts: attempts, earlier_pause_ns: spent, ..report };
                return Ok((result, report));
            }
            Ended::Stuck { snag, .. } if deadline.is_past() => {
                return Err(explained(FreezeError::timed_out(snag.pid, snag.tid)));
            }
            Ended::Stuck { snag, pause_ns } => {
                attempts = attempts.saturating_add(1);
                spent = spent.saturating_add(pause_ns);
                last_snag = Some(snag);
            }
        }
    }
}

fn attempt<R: Send, F: FnOnce() -> R + Send>(
    plan: &FreezePlan,
    snag: Option<Snag>,
    deadline: Deadline,
    inside: &mut Option<F>,
) -> Result<Ended<R>, FreezeError> {
    let shared = Handshake::new();
    let tracer_tid = Mutex::new(0);
    let outcome = std::thread::scope(|scope| {
        let tracer = || {
            let _finish = Finish(&shared);
            let own = rustix::thread::gettid().as_raw_nonzero().get();
            if let Ok(mut tid) = tracer_tid.lock() {
                *tid = own;
            }
            // A busy target must not keep us from seeing that it is, nor a seized thread wait for us with its signal.
            let urgent = before_all_others();
            let caught = if let Some(snag) = snag {
                catch(snag, own, deadline, &shared)?
            } else {
                until_all_can_stop(&plan.processes, deadline)?;
                None
            };
            let caught_at = caught.as_ref().map(|caught| caught.at.1);
            match attach(&plan.processes, caught, own, deadline, &shared)? {
                Attaching::All(attached) => {
                    Hold::new(attached, plan.processes.len(), deadline, urgent).run(inside)
                }
                Attaching::Snagged(snag) => {
                    let pause_ns = caught_at.map_or(0, |at| nanoseconds(at.elapsed()));
                    Ok(Ended::Stuck { snag, pause_ns })
                }
            }
        };
        let thread = std::thread::Builder::new().name("aio-freeze".to_owned());
        let thread = thread.spawn_scoped(scope, tracer).map_err(|error| {
            FreezeError::System("start a thread", Errno::from_io_error(&error).unwrap_or(Errno::AGAIN))
        })?;
        while !shared.finished() {
            std::thread::park_timeout(WATCH);
            if !shared.finished() {
                shared.reap_the_dead();
            }
        }
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    // A joined thread may still be about to die, and only its death releases what could not be detached.
    until_gone(*tracer_tid.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    outcome
}

/// The error to report: what `/proc` says of a thread in it, and whether who seems gone is.
///
/// When each thread we knew is gone and yet the process lives, it was by an exec. That takes a moment to show: a thread
/// that executes a program takes over its leader's number, and in between that may be nobody's.
fn explained(error: FreezeError, processes: &[ProcDir]) -> FreezeError {
    let FreezeError::Gone(pid) = error else { return error.with_witness(processes) };
    let mut alive = false;
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(2));
        alive = processes.iter().any(|one| one.live_thread().is_ok());
    }
    if alive { FreezeError::Exec(pid) } else { FreezeError::Gone(pid) }
}
