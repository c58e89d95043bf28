//! Below the table of `list`: the host's sums, and the rings that have no context.

use std::fmt::Write as _;

use aioinspect_model::evidence::CensusSource;
use aioinspect_model::finding::Finding;

use crate::escape::escaped;
use crate::listing::List;

/// Appends the footer, after an empty line.
pub(crate) fn write(list: &List<'_>, text: &mut String) {
    let system = list.system;
    let attributed = known(system.attributed);
    let unattributed = known(system.unattributed);
    let source = match system.source {
        CensusSource::Bpf => "bpf",
        CensusSource::Proc => {
            "proc (in flight is not known, and a ring inherited by fork looks like a context)"
        }
    };
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "\naio-nr {} of {}, attributed {attributed}, unattributed {unattributed}, source {source}",
        system.aio_nr, system.aio_max_nr
    );
    for rings in list.ghosts.chunk_by(|a, b| a.pid == b.pid) {
        let Some(first) = rings.first() else { continue };
        let bytes = rings.iter().fold(0_u64, |sum, ring| sum.saturating_add(ring.ring_len));
        let (count, plural, at) = match rings.len() {
            1 => (1, "", "at"),
            several => (several, "s", "the first at"),
        };
        let _ = writeln!(
            text,
            "{}: pid {} ({}) maps {count} ring{plural} without a context, {bytes} bytes, {at} {}",
            Finding::GhostRing,
            first.pid,
            escaped(&first.comm),
            first.address
        );
    }
}

fn known<N: std::fmt::Display>(number: Option<N>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}
