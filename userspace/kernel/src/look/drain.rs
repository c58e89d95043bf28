//! Waiting until no request is in flight in processes that are held.
//!
//! Who is held submits nothing. What is in flight goes on all the same, and completions wait in the ring.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::bpf::error::ProbeError;
use crate::census::probe::{CensusScope, MmKey, Probe};
use crate::census::records::by_space;
use crate::census::waiters::waiters;
use crate::host::signals::end_is_pending;

/// Pause between two censuses: short at first, for I/O that is about to end.
const FIRST_PAUSE: Duration = Duration::from_micros(200);
const LONGEST_PAUSE: Duration = Duration::from_millis(5);

/// Waits until no request of any context of `mms` is known to be in flight, at most for `time`, or until we are to end. Whether all
/// is idle then is the judge's to say.
pub(super) fn drain(probe: &mut Probe, mms: &[MmKey], time: Duration) -> Result<(), ProbeError> {
    let deadline = Instant::now().checked_add(time);
    let mut pause = FIRST_PAUSE;
    while in_flight(probe, mms)? {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) || end_is_pending() {
            break;
        }
        sleep(left.map_or(pause, |left| pause.min(left)));
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
    }
    Ok(())
}

/// Whether any request is in flight, as far as this kernel tells: in a context of the tables, or one that is out of them and waited for.
fn in_flight(probe: &mut Probe, mms: &[MmKey]) -> Result<bool, ProbeError> {
    let scope = match mms {
        [mm] => CensusScope::Mm(*mm),
        _ => CensusScope::All,
    };
    let records = probe.census(scope)?;
    let words = by_space(&records, probe.known());
    let contexts = mms.iter().filter_map(|mm| words.get(mm)).flat_map(|space| &space.word.contexts);
    if contexts.into_iter().any(|context| context.in_flight().number().is_some_and(|count| count > 0)) {
        return Ok(true);
    }
    let waiting = waiters(probe)?;
    Ok(waiting.iter().any(|waiter| mms.contains(&waiter.mm) && !waiter.wait.contexts.is_empty()))
}
