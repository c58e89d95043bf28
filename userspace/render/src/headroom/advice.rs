//! What to do about `--need`: to what the limit must go, who could free as much, what fits and what it costs.
//!
//! ```text
//! short by 3464: set fs.aio-max-nr to at least 69000: sysctl -w fs.aio-max-nr=69000
//! or free 3464: nginx.service reserves 64000 (64 processes)
//! 0 more of the size of nginx.service (64000) fit, 12 of mariadb.service (128)
//! one context of 5000 takes 316 KiB of memory for its ring
//! ```

use aioinspect_model::event::Holder;
use aioinspect_model::headroom::{Freeing, Headroom};

use crate::holder;

/// Owners that are named at most.
const NAMED: usize = 3;

/// The lines, in the order in which they help. None where no number is needed.
pub(super) fn lines(of: &Headroom<'_>) -> Vec<String> {
    let (Some((need, _)), Some(short), Some(limit)) = (of.need, of.short_by(), of.least_limit()) else {
        return Vec::new();
    };
    let mut lines = Vec::new();
    if short > 0 {
        lines.push(format!(
            "short by {short}: set fs.aio-max-nr to at least {limit}: sysctl -w fs.aio-max-nr={limit}"
        ));
    }
    lines.extend(of.freeing().map(|freeing| free(of, short, freeing)));
    lines.extend(fitting(of));
    lines.extend(
        of.ring_bytes()
            .map(|bytes| format!("one context of {need} takes {} of memory for its ring", memory(bytes))),
    );
    lines
}

fn free(of: &Headroom<'_>, short: u64, freeing: Freeing<'_>) -> String {
    let named = |owners: &[Holder]| {
        let said: Vec<String> = owners
            .iter()
            .take(NAMED)
            .map(|owner| holder::reserves(owner, of.reserved(owner).unwrap_or(0)))
            .collect();
        let more = match owners.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        format!("{}{more}", said.join(", "))
    };
    match freeing {
        Freeing::AnyOf(owners @ [_]) => format!("or free {short}: {}", named(owners)),
        Freeing::AnyOf(owners) => format!("or free {short}, each has enough: {}", named(owners)),
        Freeing::Together(owners) => format!("or free {short}, only together enough: {}", named(owners)),
    }
}

/// How many more of the largest owners fit; of those of one size the first is named.
fn fitting(of: &Headroom<'_>) -> Option<String> {
    let mut said: Vec<String> = Vec::new();
    let mut before = None;
    for owner in &of.owners {
        let (slots, fit) = (of.reserved(owner)?, of.more_fit(owner)?);
        if before == Some(slots) {
            continue;
        }
        before = Some(slots);
        let name = holder::name(owner);
        said.push(match said.len() {
            0 if fit == 1 => format!("1 more of the size of {name} ({slots}) fits"),
            0 => format!("{fit} more of the size of {name} ({slots}) fit"),
            _ => format!("{fit} of {name} ({slots})"),
        });
        if said.len() == NAMED {
            break;
        }
    }
    (!said.is_empty()).then(|| said.join(", "))
}

/// `316 KiB`, `5.9 MiB`; a ring is whole pages. Cut off, not rounded.
fn memory(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    if bytes < MIB {
        return format!("{} KiB", bytes >> 10);
    }
    format!("{}.{} MiB", bytes / MIB, bytes % MIB * 10 / MIB)
}
