//! Numbers with their nouns.

/// `1 context`, `2 contexts`, `3 processes`.
pub fn count(n: usize, one: &str) -> String {
    let ending = match (n, one.ends_with('s')) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{n} {one}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check none, one and several, of nouns with both endings.
    #[test]
    fn plurals() {
        assert_eq!([0, 1, 2].map(|n| count(n, "context")), ["0 contexts", "1 context", "2 contexts"]);
        assert_eq!([1, 2].map(|n| count(n, "process")), ["1 process", "2 processes"]);
    }
}
