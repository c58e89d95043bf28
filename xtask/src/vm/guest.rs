//! What the program vm-init says on a machine's second serial line.

use crate::command::Ended;
use crate::count::Suite;

/// What the guest said, sorted into its suites.
#[derive(Debug)]
pub(crate) struct Guest {
    suites: Vec<(String, Suite, bool)>,
    running: Option<usize>,
    /// Whether the machine came up: the program vm-init has said something.
    pub started: bool,
    trouble: Option<String>,
}

impl Guest {
    /// Nothing was said yet; `kernel`: the machine's name, `names`: the suites that it is to run.
    pub(crate) fn new(kernel: &str, names: &[String]) -> Self {
        let suites =
            names.iter().map(|name| (name.clone(), Suite::new(format!("{kernel} {name}")), false)).collect();
        Self { suites, running: None, started: false, trouble: None }
    }

    /// Takes one line.
    pub(crate) fn line(&mut self, line: &str) {
        let line = line.trim_end_matches('\r');
        self.started |= line.starts_with("VM-");
        if let Some(name) = line.strip_prefix("VM-SUITE ") {
            self.running = self.suites.iter().position(|(known, ..)| known == name);
        } else if let Some(trouble) = line.strip_prefix("VM-ERROR ") {
            self.trouble = Some(trouble.to_owned());
        } else if let Some((name, code)) =
            line.strip_prefix("VM-RESULT ").and_then(|rest| rest.split_once(' '))
        {
            for (known, suite, ended) in &mut self.suites {
                if known == name {
                    suite.end(code.parse().unwrap_or(1));
                    *ended = true;
                }
            }
            self.running = None;
        } else if let Some((_, suite, _)) = self.running.and_then(|at| self.suites.get_mut(at)) {
            suite.line(line);
        }
    }

    /// What became of the suites.
    pub(crate) fn end(self, ended: Ended) -> Vec<Suite> {
        let how = match ended {
            Ended::Code(code) => format!("the machine ended (qemu's exit code: {code})"),
            Ended::Deadline(limit) => format!("the machine did not end within {} s", limit.as_secs()),
        };
        let mut suites = Vec::new();
        for (_, mut suite, has_ended) in self.suites {
            if !has_ended {
                let trouble = self.trouble.as_deref().unwrap_or("the suite gave no result");
                suite.broken = Some(format!("{how}: {trouble}"));
            }
            suites.push(suite);
        }
        suites
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that each line counts for the suite that runs, and that one without a result is broken.
    #[test]
    fn sorts_the_guests_lines() {
        let mut guest = Guest::new("6.1", &["live".into(), "random".into()]);
        let said = "VM-SUITE live\r\ntest result: ok. 3 passed; 0 failed; 0 ignored\r\nVM-RESULT live 0\r\nVM-SUITE random\r\n\
            test result: ok. 5 passed; 0 failed; 0 ignored\r\nVM-ERROR out of memory";
        said.split('\n').for_each(|line| guest.line(line));
        let suites = guest.end(Ended::Code(0));
        assert_eq!((suites[0].name.as_str(), suites[0].passed, suites[0].is_good()), ("6.1 live", 3, true));
        assert!(suites[1].broken.as_ref().unwrap().ends_with("out of memory"));
    }
}
