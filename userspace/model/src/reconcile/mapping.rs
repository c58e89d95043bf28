//! Whether a ring is still mapped as io_setup mapped it.

use crate::evidence::{Perms, RingMapping};
use crate::finding::Finding;
use crate::reconcile::notes::Notes;
use crate::reconcile::rings::bytes;

/// `PROT_READ | PROT_WRITE`, `MAP_SHARED` (fs/aio.c:aio_setup_ring).
const AS_MADE: Perms = Perms { read: true, write: true, exec: false, shared: true };

/// Looks at the parts of one ring: whole, in one piece at `base`, and `rw-s`. Without `size` only pieces are counted.
pub(super) fn check(parts: &[&RingMapping], base: u64, size: Option<u64>, notes: &mut Notes) {
    if let Some(part) = parts.iter().find(|part| part.perms != AS_MADE) {
        notes.say(Finding::ProtectionChanged, format!("{} at {:#x}", letters(part.perms), part.start));
    }
    let whole = match parts {
        [only] => only.offset == 0 && only.start == base && size.is_none_or(|size| bytes(only) == size),
        _ => false,
    };
    if whole {
        return;
    }
    let in_place = parts
        .iter()
        .filter(|part| part.start.checked_sub(part.offset) == Some(base))
        .fold(0_u64, |sum, part| sum.saturating_add(bytes(part)));
    let of = size.map(|size| format!(" of {size}")).unwrap_or_default();
    let pieces = match parts.len() {
        1 => "1 mapping".to_owned(),
        several => format!("{several} mappings"),
    };
    notes.say(Finding::SplitMapping, format!("{pieces}, {in_place}{of} bytes in place at {base:#x}"));
}

fn letters(perms: Perms) -> String {
    [(perms.read, 'r', '-'), (perms.write, 'w', '-'), (perms.exec, 'x', '-'), (perms.shared, 's', 'p')]
        .map(|(set, yes, no)| if set { yes } else { no })
        .iter()
        .collect()
}
