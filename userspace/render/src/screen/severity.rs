//! Which findings matter most: the worst comes first where not all can be shown.

use crate::table::is_wrong;
use aioinspect_model::finding::Finding;

use crate::screen::look::Tone;

/// How bad a finding is; more is worse.
pub fn severity(finding: Finding) -> u8 {
    match finding {
        Finding::TracedOtherwise => 0,
        Finding::Unsettled => 1,
        Finding::InFlight => 2,
        Finding::Unreaped => 3,
        Finding::GhostRing => 4,
        Finding::SharedRing => 5,
        Finding::SplitMapping => 6,
        Finding::ProtectionChanged => 7,
        Finding::UnreadableRing => 8,
        Finding::ForgedHeader => 9,
        Finding::UnmappedRing => 10,
        Finding::IdleLeak => 11,
        Finding::Stuck => 12,
        Finding::StrandedCredits => 13,
        Finding::RingFull => 14,
        Finding::Dying => 15,
        Finding::Exiting => 16,
    }
}

/// The worst of them.
pub fn worst(findings: impl IntoIterator<Item = Finding>) -> Option<Finding> {
    findings.into_iter().max_by_key(|finding| severity(*finding))
}

/// All of them, the worst first.
pub fn worst_first(findings: &[Finding]) -> Vec<Finding> {
    let mut sorted = findings.to_vec();
    sorted.sort_by_key(|finding| std::cmp::Reverse(severity(*finding)));
    sorted
}

/// How it is shown.
pub fn tone(finding: Option<Finding>) -> Tone {
    match finding {
        None => Tone::Plain,
        Some(finding) if is_wrong(finding) => Tone::Bad,
        Some(_) => Tone::Pending,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that no two are equally bad, and that all that is wrong is worse than all that is merely pending.
    #[test]
    fn in_order() {
        let sorted = worst_first(Finding::ALL);
        assert!(sorted.windows(2).all(|pair| severity(pair[0]) > severity(pair[1])));
        assert!(sorted.is_sorted_by_key(|finding| !is_wrong(*finding)));
        assert_eq!(worst(sorted), Some(Finding::Exiting));
    }
}
