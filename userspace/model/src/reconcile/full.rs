//! Where io_submit finds no credit for another request.
//!
//! A submission on CPU c takes a credit of c. If c has none, it moves a batch of those that belong to no CPU to c, if there are as many
//! (fs/aio.c:__get_reqs_available). Otherwise the credits of ring entries that were reaped meanwhile are given back, to c
//! (fs/aio.c:user_refill_reqs_available, put_reqs_available), and one of these is taken. So io_submit fails with EAGAIN on c if and only if c has no
//! credit, fewer than a batch belong to no CPU, and no entry was reaped whose credit was not given back: the last two are the same for all CPUs.

use crate::cpus::CpuSet;
use crate::header;
use crate::kioctx::{CpuCredits, Kioctx};
use crate::picture::{Outlook, Stranded};

/// What io_submit would find now, and the sentences of the findings that follow.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Credits {
    /// Where it would fail, and what is out of reach there.
    pub outlook: Outlook,
    /// Why it fails on every CPU.
    pub full: Option<String>,
    /// Which CPUs have the credits that others lack.
    pub stranded: Option<String>,
}

/// What io_submit would find now; `None` where that cannot be known. `online`: empty where it is not known which CPUs are.
pub(super) fn credits(
    context: &Kioctx,
    possible_cpus: u32,
    online: &CpuSet,
    head: Option<u32>,
) -> Option<Credits> {
    let in_flight = context.in_flight_by_credits().number()?;
    let (nr_events, reqs_available) = (context.nr_events?, context.reqs_available?);
    if nr_events == 0 || context.in_flight_by_refs().number().is_some_and(|by_refs| by_refs != in_flight) {
        return None;
    }
    let batch =
        context.req_batch.filter(|batch| *batch > 0).unwrap_or_else(|| batch(nr_events, possible_cpus));
    let left = u32::try_from(reqs_available).ok()?;
    if left >= batch {
        return Some(Credits::default());
    }
    let waiting = match (context.completed_events?, head) {
        (0, _) => 0,
        // fs/aio.c:refill_reqs_available clamps the same way: what it would give back is what `io_submit` gets.
        (completed, Some(head)) => {
            let head = head.checked_rem(nr_events)?;
            let waiting = header::unreaped(head, context.tail?, nr_events)?;
            if waiting < completed {
                return Some(Credits::default());
            }
            completed
        }
        (_, None) => return None,
    };
    let by_cpu = match context.percpu_available? {
        0 => &[],
        _ => context.credits_by_cpu()?,
    };
    let submitters = if online.is_empty() { &CpuSet::first(possible_cpus) } else { online };
    let fails_on = submitters.without(by_cpu.iter().map(|of| of.cpu));
    let clears = match (in_flight, waiting) {
        (0, 0) => return None,
        (_, 0) => format!("none is free until one of {in_flight} in flight completes and is reaped"),
        (_, waiting) => format!("reaping the {waiting} completions that wait frees their ring entries"),
    };
    let remainder = match left {
        0 => String::new(),
        credits => format!("; {credits} left, fewer than a batch of {batch}"),
    };
    if !by_cpu.is_empty() && fails_on.is_empty() {
        return Some(Credits::default());
    }
    let everywhere = by_cpu.is_empty() || fails_on == *submitters;
    let stranded: Vec<Stranded> = by_cpu.iter().map(|of| stranded(*of, online)).collect();
    Some(Credits {
        full: everywhere.then(|| format!("{clears}{remainder}")),
        stranded: (!by_cpu.is_empty()).then(|| told(&stranded, &fails_on, &remainder)),
        outlook: Outlook { fails_on, stranded },
    })
}

fn stranded(CpuCredits { cpu, credits }: CpuCredits, online: &CpuSet) -> Stranded {
    Stranded { cpu, credits, online: (!online.is_empty()).then(|| online.contains(cpu)) }
}

/// How many CPUs a sentence names, of those that have most.
const NAMED: usize = 8;

/// Such as `58 credits are on CPU 1; io_submit fails now on CPU 0`.
fn told(stranded: &[Stranded], fails_on: &CpuSet, remainder: &str) -> String {
    let sum = |of: &[Stranded]| of.iter().fold(0_u64, |sum, of| sum.saturating_add(of.credits.into()));
    let mut most = stranded.to_vec();
    most.sort_by_key(|of| (std::cmp::Reverse(of.credits), of.cpu));
    let rest = most.split_off(most.len().min(NAMED));
    most.sort_by_key(|of| of.cpu);
    let place = |of: &Stranded| match of.online {
        Some(false) => format!("CPU {} (offline)", of.cpu),
        Some(true) | None => format!("CPU {}", of.cpu),
    };
    let total = match sum(stranded) {
        1 => "1 credit is".to_owned(),
        credits => format!("{credits} credits are"),
    };
    let places = match most.as_slice() {
        [one] => place(one),
        several => {
            let mut places: Vec<String> =
                several.iter().map(|of| format!("{} ({})", place(of), of.credits)).collect();
            if !rest.is_empty() {
                places.push(format!("{} other CPUs ({})", rest.len(), sum(&rest)));
            }
            places.join(", ")
        }
    };
    let cpus = if fails_on.count() == 1 { "CPU" } else { "CPUs" };
    format!("{total} on {places}; io_submit fails now on {cpus} {fails_on}{remainder}")
}

/// `kioctx.req_batch` where the kernel does not tell it (fs/aio.c:ioctx_alloc).
fn batch(nr_events: u32, possible_cpus: u32) -> u32 {
    let quarter = possible_cpus.saturating_mul(4);
    nr_events.saturating_sub(1).checked_div(quarter).unwrap_or(1).max(1)
}

#[cfg(test)]
mod tests;
