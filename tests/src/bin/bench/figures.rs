//! Repeated measurements of one thing.

/// Values in the order in which they were measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures(Vec<f64>);

impl Figures {
    /// One more.
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// Median, smallest, largest; zeroes if nothing was measured.
    pub(crate) fn summary(&self) -> (f64, f64, f64) {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(0.0);
        let last = sorted.len().saturating_sub(1);
        (f64::midpoint(at(last / 2), at(last.div_ceil(2))), at(0), at(last))
    }

    /// The median: of an even number, the mean of the two in the middle.
    pub(crate) fn median(&self) -> f64 {
        self.summary().0
    }
}
