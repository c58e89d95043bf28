//! Counting tests: from what libtest prints, of every suite, wherever it ran.
//!
//! There is one way to skip: a test that cannot run here writes `SKIPPED name: reason` to standard error itself (libtest
//! would keep what print macros write), and returns. `#[ignore]` makes a suite broken.

use std::fmt::Write;

use crate::failures::Failures;

/// What became of one suite.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Suite {
    /// Its name in the table, as `6.12 live`.
    pub name: String,
    /// Tests that passed; those that said they could not run are not among them.
    pub passed: u64,
    /// Tests that failed.
    pub failed: u64,
    /// Tests that could not run here, and why: `SKIPPED name: reason`, one line each.
    pub skipped: Vec<String>,
    /// What went wrong with the suite as a whole: it did not start, end in time, or run anything.
    pub broken: Option<String>,
    /// What the tests that failed printed.
    pub failures: Failures,
    results: u64,
    passed_raw: u64,
    ignored: u64,
}

impl Suite {
    /// A suite that has not run yet.
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// A suite that could not be run at all.
    pub(crate) fn broken(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self { broken: Some(why.into()), ..Self::new(name) }
    }

    /// A suite that cannot run here.
    pub(crate) fn skipped(name: &str, why: &str) -> Self {
        Self { skipped: vec![format!("{name}: {}", why.replace('\n', " "))], ..Self::new(name) }
    }

    /// Takes one line of output.
    pub(crate) fn line(&mut self, line: &str) {
        let line = line.trim_end_matches('\r');
        self.failures.line(line);
        if let Some(skip) = skip_in(line) {
            if !self.skipped.iter().any(|known| known == skip) {
                self.skipped.push(skip.to_owned());
            }
        } else if let Some(rest) = line.trim_start().strip_prefix("test result: ") {
            self.results += 1;
            self.passed_raw += number_before(rest, " passed");
            self.failed += number_before(rest, " failed");
            self.ignored += number_before(rest, " ignored");
        }
        self.passed = self.passed_raw.saturating_sub(self.skips());
    }

    /// Says how the suite's process ended.
    pub(crate) fn end(&mut self, code: i32) {
        if self.results == 0 {
            self.broken = Some(format!("it ended with exit code {code} before it gave a result"));
        } else if code != 0 && self.failed == 0 {
            self.broken = Some(format!("it ended with exit code {code}, though no test failed"));
        } else if self.passed + self.failed + self.skips() == 0 {
            self.broken = Some("it ran nothing".to_owned());
        } else if self.ignored > 0 {
            let count = self.ignored;
            self.broken =
                Some(format!("{count} tests marked #[ignore], which gives no reason: print SKIPPED instead"));
        }
    }

    /// How many tests were skipped.
    pub(crate) fn skips(&self) -> u64 {
        u64::try_from(self.skipped.len()).unwrap_or(u64::MAX)
    }

    /// Whether nothing failed and the suite ran as a whole.
    pub(crate) fn is_good(&self) -> bool {
        self.failed == 0 && self.broken.is_none()
    }
}

/// What failed tests printed, by suite; empty if none failed.
fn failures(suites: &[Suite]) -> String {
    let mut text = String::new();
    for suite in suites.iter().filter(|suite| suite.failed > 0) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "FAILED in {}:", suite.name);
        for line in suite.failures.lines() {
            let _ = writeln!(text, "  {line}");
        }
    }
    text
}

/// The table of all suites, each skipped test with its reason, what failed tests printed, and as the last line the sums.
///
/// Failures stand at the end: of a long log the middle is what gets cut.
pub(crate) fn report(suites: &[Suite]) -> String {
    format!("{}{}{}", table(suites), failures(suites), sums(suites))
}

/// A line for each suite and each skipped test.
fn table(suites: &[Suite]) -> String {
    let mut text = String::new();
    let width = suites.iter().map(|suite| suite.name.len()).max().unwrap_or(0).max("suite".len());
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{:width$}  passed  failed  skipped", "suite");
    for suite in suites {
        let Suite { name, passed, failed, .. } = suite;
        let _ = writeln!(text, "{name:width$}  {passed:>6}  {failed:>6}  {:>7}", suite.skips());
        if let Some(why) = &suite.broken {
            let _ = writeln!(text, "  broken: {why}");
        }
        for skip in &suite.skipped {
            let _ = writeln!(text, "  skipped {skip}");
        }
    }
    text
}

/// How many tests passed, failed and were skipped.
fn sums(suites: &[Suite]) -> String {
    let sum = |of: fn(&Suite) -> u64| suites.iter().map(of).sum::<u64>();
    // A suite that broke is a failure even where no single test is.
    let failed = sum(|suite| suite.failed + u64::from(suite.broken.is_some()));
    let (passed, skipped) = (sum(|suite| suite.passed), sum(Suite::skips));
    format!("{passed} passed, {failed} failed, {skipped} skipped")
}

/// `name: reason` of a skip line. Without capture libtest prints `test x ... ` before what the test prints.
fn skip_in(line: &str) -> Option<&str> {
    let said = line.trim_start().strip_prefix("SKIPPED ");
    let said =
        said.or_else(|| line.strip_prefix("test ")?.split_once(" ... SKIPPED ").map(|(_, said)| said))?;
    said.contains(": ").then_some(said)
}

fn number_before(text: &str, word: &str) -> u64 {
    let before = text.split_once(word).map_or("", |(before, _)| before);
    before.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite(text: &str, code: i32) -> Suite {
        let mut suite = Suite::new("s");
        text.split('\n').for_each(|line| suite.line(line));
        suite.end(code);
        suite
    }

    /// Check that all result lines are summed, with a console's carriage returns too.
    #[test]
    fn sums_results() {
        let text = "test a ... ok\r\ntest result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s\r\n\
            test result: FAILED. 12 passed; 2 failed; 0 ignored; 0 measured; 5 filtered out; finished in 1s\n";
        let suite = suite(text, 101);
        assert_eq!((suite.passed, suite.failed, suite.skips(), suite.is_good()), (15, 2, 0, false));
        assert_eq!(suite.broken, None);
    }

    /// Check that what a failed test printed is told with its suite, and nothing of a suite without failures.
    #[test]
    fn repeats_failures() {
        let result = |word| format!("test result: {word}. 1 passed; 1 failed; 0 ignored");
        let bad = format!("failures:\r\n\r\n---- bad stdout ----\r\npanicked\r\n{}", result("FAILED"));
        let good = "successes:\n---- good stdout ----\nfine\ntest result: ok. 1 passed; 0 failed; 0 ignored";
        let told = failures(&[suite(&bad, 101), suite(good, 0)]);
        assert_eq!(told, "FAILED in s:\n  ---- bad stdout ----\n  panicked\n");
    }

    /// Check that a test that says it could not run is counted as skipped, once, and not as passed.
    #[test]
    fn skipped_is_not_passed() {
        let text = "SKIPPED crit: not installed\nSKIPPED crit: not installed\ntest x ... SKIPPED x: no fuse\n\
            test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s";
        let suite = suite(text, 0);
        assert_eq!((suite.passed, suite.skips(), suite.is_good()), (1, 2, true));
    }

    /// Check that no result, an exit code without a failed test, an empty suite, and tests that are left out without a
    /// reason are each told apart from success.
    #[test]
    fn silence_is_not_success() {
        assert!(suite("", 0).broken.is_some());
        assert!(suite("test result: ok. 0 passed; 0 failed; 0 ignored", 0).broken.is_some());
        assert!(suite("test result: ok. 1 passed; 0 failed; 0 ignored", 134).broken.is_some());
        assert!(
            suite("test result: ok. 1 passed; 0 failed; 2 ignored", 0).broken.unwrap().starts_with("2 tests")
        );
        assert!(suite("test result: ok. 1 passed; 0 failed; 0 ignored", 0).is_good());
    }

    /// Check the table, skips with reasons, and that the last line stands alone and counts a broken suite as failed.
    #[test]
    fn ends_with_the_sums() {
        let suites = [
            suite("SKIPPED crit: not installed\ntest result: ok. 3 passed; 0 failed; 0 ignored", 0),
            Suite::broken("6.1 live", "no boot"),
            suite(
                "failures:\n---- bad stdout ----\npanicked\ntest result: FAILED. 1 passed; 1 failed; 0 ignored",
                101,
            ),
        ];
        let expected = "\
suite     passed  failed  skipped
s              2       0        1
  skipped crit: not installed
6.1 live       0       0        0
  broken: no boot
s              1       1        0
FAILED in s:
  ---- bad stdout ----
  panicked
3 passed, 2 failed, 1 skipped";
        assert_eq!(report(&suites), expected);
    }
}
