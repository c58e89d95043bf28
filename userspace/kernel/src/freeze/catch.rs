//! Stopping first the one thread that sleeps where nothing can stop it, as it wakes; the others run on meanwhile.
//!
//! A parent in vfork waits for a child that shares its memory: with that child held it would never stop. And it may go
//! from one such sleep into the next faster than anybody can look.

use std::time::{Duration, Instant};

use crate::freeze::error::FreezeError;
use crate::freeze::handshake::Handshake;
use crate::freeze::seize::{Seized, raw, seize_one};
use crate::freeze::snag::Snag;
use crate::freeze::tracee::{RawTid, Seen, interrupt, peek};
use crate::freeze::wait::Deadline;
use crate::host::clock;
use crate::host::signals::end_is_pending;
use crate::proc::files::ProcDir;
use aioinspect_model::units;

/// Between two looks.
const PAUSE: Duration = Duration::from_micros(100);

/// A thread that is stopped already when the others are seized.
pub(super) struct Caught {
    /// The thread, and its process.
    pub thread: (RawTid, RawTid),
    /// When it was seen to have stopped: here the pause begins.
    pub at: (units::Instant, Instant),
}

/// Waits for a thread to wake, and stops it there and then. `None`: it is gone.
pub(super) fn catch(
    snag: Snag,
    tracer: RawTid,
    deadline: Deadline,
    shared: &Handshake,
) -> Result<Option<Caught>, FreezeError> {
    let Ok(process) = ProcDir::open(snag.pid) else { return Ok(None) };
    let thread = (raw(snag.tid.0)?, raw(snag.pid.0)?);
    match seize_one(&process, snag.tid, thread.0, tracer)? {
        Seized::Yes => shared.note(thread),
        Seized::Dead => return Ok(None),
    }
    // If it is gone, that is what the look says.
    let _ = interrupt(thread.0);
    loop {
        match peek(thread.0) {
            Seen::Stopped(_) => return Ok(Some(Caught { thread, at: (clock::now(), Instant::now()) })),
            Seen::Ended | Seen::Foreign => return Ok(None),
            Seen::Running => {}
        }
        if process.state_of(snag.tid).map_or(true, aioinspect_parse::proc::stat::TaskState::is_dead) {
            return Ok(None);
        }
        if deadline.is_past() {
            return Err(FreezeError::timed_out(snag.pid, snag.tid));
        }
        if end_is_pending() {
            return Err(FreezeError::Interrupted);
        }
        std::thread::sleep(PAUSE);
    }
}
