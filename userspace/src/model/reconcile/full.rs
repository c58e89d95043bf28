//! When a ring has no slot for another request.

use super::super::kioctx::Kioctx;

/// Why io_submit answers EAGAIN now, on whichever CPU it runs; `None` if it does not, or that cannot be known.
///
/// A submission takes a credit of its CPU, or moves a batch of credits there (fs/aio.c:__get_reqs_available), or takes
/// back the credits of slots that were reaped meanwhile (fs/aio.c:user_refill_reqs_available). Credits on other CPUs are
/// out of reach, and a remainder smaller than a batch is out of reach of all. Where some CPU holds credits it depends on
/// the CPU, so nothing is said then.
pub fn why(context: &Kioctx, possible_cpus: u32, head: Option<u32>) -> Option<String> {
    let in_flight = context.in_flight_by_credits().number()?;
    let (nr_events, reqs_available) = (context.nr_events?, context.reqs_available?);
    if nr_events == 0 || context.in_flight_by_refs().number().is_some_and(|by_refs| by_refs != in_flight) {
        return None;
    }
    let batch = batch(nr_events, possible_cpus);
    if context.percpu_available? != 0 || !(0..i64::from(batch)).contains(&reqs_available) {
        return None;
    }
    let waiting = match (context.completed_events?, head) {
        (0, _) => 0,
        // fs/aio.c:refill_reqs_available clamps the same way: what it would give back is what `io_submit` gets.
        (completed, Some(head)) => {
            let head = head.checked_rem(nr_events)?;
            let waiting = super::super::header::unreaped(head, context.tail?, nr_events)?;
            if waiting < completed {
                return None;
            }
            completed
        }
        (_, None) => return None,
    };
    let remainder = match reqs_available {
        0 => String::new(),
        credits => format!("; {credits} left, fewer than a batch of {batch}"),
    };
    let clears = match (in_flight, waiting) {
        (0, 0) => return None,
        (_, 0) => format!("none is free until one of {in_flight} in flight completes and is reaped"),
        (_, waiting) => format!("reaping the {waiting} completions that wait frees their slots"),
    };
    Some(format!("{clears}{remainder}"))
}

/// `kioctx.req_batch` (fs/aio.c:ioctx_alloc): credits that move to a CPU at a time.
fn batch(nr_events: u32, possible_cpus: u32) -> u32 {
    let quarter = possible_cpus.saturating_mul(4);
    nr_events.saturating_sub(1).checked_div(quarter).unwrap_or(1).max(1)
}
