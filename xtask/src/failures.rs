//! What failed tests printed, kept to be repeated at the end: between a failure and the sums there may be an hour of other suites.

use std::collections::VecDeque;

/// Lines that are kept of one test's output: the first ones, where the panic is told, and the last ones.
const HEAD: usize = 30;
const TAIL: usize = 15;
/// Characters that are kept of a line.
const WIDTH: usize = 300;
/// Tests that are kept: where more fail, they fail for the same reason.
const TESTS: usize = 10;

/// The `failures:` parts of what libtest prints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Failures {
    inside: bool,
    tests: Vec<Output>,
    more: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Output {
    head: Vec<String>,
    left_out: usize,
    tail: VecDeque<String>,
}

impl Failures {
    /// Takes one line of a suite's output.
    pub(crate) fn line(&mut self, line: &str) {
        if line == "failures:" || line == "successes:" {
            // The second one heads the list of names.
            self.inside = line == "failures:" && !self.inside;
        } else if line.starts_with("test result: ") {
            self.inside = false;
        } else if self.inside && line.starts_with("---- ") {
            if self.tests.len() < TESTS {
                self.tests.push(Output { head: vec![line.to_owned()], ..Output::default() });
            } else {
                self.more += 1;
            }
        } else if self.inside
            && self.more == 0
            && !line.is_empty()
            && let Some(test) = self.tests.last_mut()
        {
            test.line(line.chars().take(WIDTH).collect());
        }
    }

    /// What was kept, a line each.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.tests.iter().flat_map(Output::lines).collect();
        if self.more > 0 {
            lines.push(format!("and {} more", self.more));
        }
        lines
    }
}

impl Output {
    fn line(&mut self, line: String) {
        if self.head.len() <= HEAD {
            self.head.push(line);
            return;
        }
        self.tail.push_back(line);
        if self.tail.len() > TAIL {
            self.tail.pop_front();
            self.left_out += 1;
        }
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = self.head.clone();
        if self.left_out > 0 {
            lines.push(format!("[{} lines]", self.left_out));
        }
        lines.extend(self.tail.iter().cloned());
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<String> {
        let mut failures = Failures::default();
        text.lines().for_each(|line| failures.line(line));
        failures.lines()
    }

    /// Check that the output of tests that failed is kept, and nothing else: not of those that passed, nor the list of names.
    #[test]
    fn keeps_failures_alone() {
        let text = "successes:\n\n---- good stdout ----\nfine\n\nsuccesses:\n    good\n\nfailures:\n\n---- bad stdout ----\n\
            panicked\n\nfailures:\n    bad\n\ntest result: FAILED. 1 passed; 1 failed\nafter\n---- x stdout ----";
        assert_eq!(of(text), ["---- bad stdout ----", "panicked"]);
    }

    /// Check that long outputs are kept by their ends, and that of many tests the rest is counted.
    #[test]
    fn is_bounded() {
        let lines: Vec<String> = (0..1000).map(|n| format!("line {n}")).collect();
        let kept = of(&format!("failures:\n---- a stdout ----\n{}\n{}", "w".repeat(9999), lines.join("\n")));
        assert_eq!(kept.len(), 1 + HEAD + 1 + TAIL);
        assert_eq!((kept[1].len(), kept[2].as_str()), (WIDTH, "line 0"));
        assert_eq!(kept[1 + HEAD], format!("[{} lines]", 1001 - HEAD - TAIL));
        assert_eq!(kept.last().unwrap(), "line 999");
        let many = (0..TESTS + 3).map(|n| format!("---- {n} stdout ----\nno\n")).collect::<Vec<_>>().concat();
        let kept = of(&format!("failures:\n{many}"));
        assert_eq!((kept.len(), kept.last().unwrap().as_str()), (2 * TESTS + 1, "and 3 more"));
    }
}
