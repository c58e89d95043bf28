//! `cargo xtask test`: which suites there are, running them, and the count at the end.

mod builds;
mod commands;
mod jobs;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::command::say;
use crate::count::{self, Suite};
use crate::kernel::list::{self, Listed};
use crate::{catalogue, paths, setup};
use builds::Builds;
use jobs::Shared;

/// What to test.
#[derive(Debug)]
pub(crate) enum What {
    /// The unprivileged tests, the live suites here and in machines, and the package.
    All,
    /// What runs on this machine's own kernel.
    Local,
    /// Virtual machines of these names; none given: all of the list.
    Vm(Vec<String>),
    /// The package, and no kernel's suites.
    Package,
}

impl What {
    /// Whether the package is made and tried.
    fn has_package(&self) -> bool {
        !matches!(self, Self::Vm(_))
    }
}

/// What is wanted of the verb.
#[derive(Debug)]
pub(crate) struct Wish {
    /// What to test.
    pub what: What,
    /// Whether each kernel runs its suites whole, and more random sequences.
    pub long: bool,
    /// When the verb began.
    pub begun: Instant,
    /// For how long from then on machines are started; those that come later are skipped, and named. `None`: for as long as it takes.
    pub start_within: Option<Duration>,
}

/// The verb: runs, counts, and ends with the line of sums. Whatever goes wrong is in the table, so that the sums are last.
pub(crate) fn test(wish: &Wish) -> Result<ExitCode> {
    if !matches!(wish.what, What::Vm(_)) && !paths::is_root() {
        bail!(
            "the live suites inspect processes through BPF and ptrace, and need root:\n  \
             sudo -E env \"PATH=$PATH\" cargo xtask test\nwithout root: `cargo test`, or `cargo xtask test vm`"
        );
    }
    let mut suites = Vec::new();
    if let Err(error) = run_all(wish, &mut suites) {
        suites.push(Suite::broken("set-up", format!("{error:#}")));
    }
    say("");
    say(&count::report(&suites));
    let good = !suites.is_empty() && suites.iter().all(Suite::is_good);
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_all(wish: &Wish, suites: &mut Vec<Suite>) -> Result<()> {
    let chosen = choose(&wish.what, list::read()?)?;
    let catalogue = catalogue::read()?;
    let objects = setup::for_tests()?;
    if matches!(wish.what, What::All | What::Local) {
        suites.push(commands::unprivileged()?);
        suites.push(commands::interpreted()?);
    }
    if catalogue.suites.is_empty() {
        bail!("package aioinspect-tests has no live suites");
    }
    let builds = Builds::begin(&objects, &chosen, &catalogue, wish.long)?;
    suites.extend(jobs::run(&chosen, Shared { wish, catalogue: &catalogue, builds: &builds }));
    Ok(())
}

/// The kernels to run on, of those listed.
fn choose(what: &What, listed: Vec<Listed>) -> Result<Vec<Listed>> {
    match what {
        What::All => Ok(listed.into_iter().filter(|kernel| !kernel.terms.by_name).collect()),
        What::Package => Ok(Vec::new()),
        What::Local => Ok(listed.into_iter().filter(|kernel| kernel.source.is_none()).collect()),
        What::Vm(names) if names.is_empty() => {
            Ok(listed.into_iter().filter(|kernel| kernel.source.is_some() && !kernel.terms.by_name).collect())
        }
        What::Vm(names) => names.iter().map(|name| list::find(&listed, name)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check which kernels each form of the verb runs on, and that an unknown one is named.
    #[test]
    fn chooses_kernels() {
        let listed = || list::parse("6.1 bookworm p-amd64\nnative\nlocked on 6.1\n").unwrap();
        let names = |what: &What| {
            choose(what, listed()).map(|all| all.into_iter().map(|k| k.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&What::All).unwrap(), ["6.1", "native", "locked"]);
        assert_eq!(names(&What::Local).unwrap(), ["native"]);
        assert!(names(&What::Package).unwrap().is_empty());
        assert_eq!(names(&What::Vm(vec![])).unwrap(), ["6.1", "locked"]);
        assert_eq!(names(&What::Vm(vec!["locked".into()])).unwrap(), ["locked"]);
        assert!(names(&What::Vm(vec!["5.4".into()])).unwrap_err().to_string().contains("5.4"));
    }
}
