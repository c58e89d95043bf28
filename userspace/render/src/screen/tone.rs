//! In which tone a finding is shown.

use aioinspect_model::finding::Finding;

use crate::screen::theme::Tone;

/// How it is shown.
pub(crate) fn tone(finding: Option<Finding>) -> Tone {
    match finding {
        None => Tone::Plain,
        Some(finding) if finding.is_wrong() => Tone::Bad,
        Some(_) => Tone::Pending,
    }
}
