//! The findings of one context while they are being collected.

use crate::finding::Finding;

/// Findings, each once, and the sentences that go with them.
#[derive(Debug, Default)]
pub(super) struct Notes {
    findings: Vec<Finding>,
    details: Vec<(Finding, String)>,
}

impl Notes {
    /// Adds a finding that its own numbers explain.
    pub(super) fn add(&mut self, finding: Finding) {
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    /// Adds a finding and says which number, which field, which other process.
    pub(super) fn say(&mut self, finding: Finding, detail: impl Into<String>) {
        self.add(finding);
        self.details.push((finding, detail.into()));
    }

    /// The findings and their details, both in the order of [`Finding::ALL`].
    pub(super) fn finish(mut self) -> (Vec<Finding>, Vec<(Finding, String)>) {
        self.findings.sort_unstable();
        self.details.sort_by_key(|(finding, _)| *finding);
        (self.findings, self.details)
    }
}
