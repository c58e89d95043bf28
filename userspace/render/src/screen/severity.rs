//! Which findings matter most: the worst comes first where not all can be shown.

use aioinspect_model::finding::Finding;

use crate::screen::look::Tone;

/// How bad a finding is; more is worse.
pub(crate) fn severity(finding: Finding) -> u8 {
    finding.severity().rank()
}

/// The worst of them.
pub(crate) fn worst(findings: impl IntoIterator<Item = Finding>) -> Option<Finding> {
    findings.into_iter().max_by_key(|finding| severity(*finding))
}

/// All of them, the worst first.
pub(crate) fn worst_first(findings: &[Finding]) -> Vec<Finding> {
    let mut sorted = findings.to_vec();
    sorted.sort_by_key(|finding| std::cmp::Reverse(severity(*finding)));
    sorted
}

/// How it is shown.
pub(crate) fn tone(finding: Option<Finding>) -> Tone {
    match finding {
        None => Tone::Plain,
        Some(finding) if finding.is_wrong() => Tone::Bad,
        Some(_) => Tone::Pending,
    }
}
