//! Live suites in a virtual machine: an initramfs with the suites and nothing else, a kernel of the list, qemu.

pub(crate) mod command;
mod debian;
mod guest;
mod machine;
mod modules;

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, Result, bail};

pub(crate) use guest::Guest;
pub(crate) use machine::Machine;

use crate::build::Built;
use crate::catalogue::{self, Catalogue};
use crate::count::Suite;
use crate::initramfs::Initramfs;
use crate::kernel::list::{Listed, Source, Terms};
use crate::kernel::{self, Kernel};
use crate::paths;

/// What to run, and on which kernel.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    /// The kernel or the pass.
    pub listed: &'a Listed,
    /// Where its kernel comes from.
    pub source: &'a Source,
    /// The suites there are.
    pub catalogue: &'a Catalogue,
    /// What was built: the programs, and the suites' executables.
    pub built: &'a Built,
    /// Whether each of vm-suites runs, and all of it, whatever the list says.
    pub whole: bool,
    /// Sequences for the random-state suites, where the list does not say.
    pub sequences: u32,
    /// When the machine is ended.
    pub limit: Duration,
}

impl Run<'_> {
    /// Boots the kernel and runs the suites, what they print to `out`; an error where it could not be booted at all.
    pub(crate) fn suites(&self, out: &mut dyn FnMut(&str)) -> Result<Vec<Suite>> {
        let name = self.listed.name.as_str();
        let runs = runs(self.listed, self.catalogue, self.whole)?;
        let kernel = kernel::fetch(self.source)?;
        let machine = Machine {
            name,
            architecture: self.source.architecture,
            image: &kernel.image,
            terms: &self.listed.terms,
            dir: &paths::target().join("kernels").join(name),
            limit: self.limit,
        };
        let names: Vec<String> = runs.iter().map(|(suite, _)| suite.clone()).collect();
        suites_of(&machine, &self.initramfs(&kernel, &runs)?, &names, out)
    }

    fn initramfs(&self, kernel: &Kernel, runs: &[(String, Vec<String>)]) -> Result<Vec<u8>> {
        let Listed { name, terms, .. } = self.listed;
        let mut archive = Initramfs::new()?;
        archive.copy("init", &self.built.bins.join("vm-init"))?;
        for bin in BINS {
            archive.copy(&format!("bin/{bin}"), &self.built.bins.join(bin))?;
        }
        let needs = || runs.iter().filter_map(|(suite, _)| self.catalogue.suites_by_name.get(suite));
        let modules = needs().flat_map(|needs| &needs.modules).chain(&self.catalogue.vm_modules);
        let mut plan = prelude(terms, kernel, &modules.cloned().collect::<Vec<_>>(), &mut archive)?;
        let packages: Vec<String> = needs().flat_map(|needs| needs.packages.clone()).collect();
        debian::add(self.source, &packages, &mut archive)?;
        let sequences = terms.sequences.map_or(self.sequences, |own| own.min(self.sequences));
        writeln!(plan, "env AIOINSPECT_VM={name}\nenv AIOINSPECT_RANDOM_SEQUENCES={sequences}")?;
        for (suite, words) in runs {
            archive.copy(&format!("suites/{suite}"), self.built.suite(suite)?)?;
            if self.catalogue.suites_by_name.contains_key(suite) {
                writeln!(plan, "env PATH={}", debian::PATH)?;
            }
            let words = catalogue::libtest_args().into_iter().chain(words.iter().map(String::as_str));
            writeln!(plan, "suite {suite} {}", words.collect::<Vec<_>>().join(" "))?;
        }
        archive.file("plan", plan.as_bytes())?;
        archive.finish()
    }
}

/// The suites that run in a machine, each with its words for libtest: those of the list, or else all of the catalogue; with `whole` all of
/// them, and of the list only what runs by name.
pub(crate) fn runs(
    listed: &Listed,
    catalogue: &Catalogue,
    whole: bool,
) -> Result<Vec<(String, Vec<String>)>> {
    let (named, all, by_name) = (&listed.terms.runs, &catalogue.vm_suites, &catalogue.suites_by_name);
    if all.is_empty() {
        bail!("[package.metadata.aioinspect] vm-suites of tests/Cargo.toml names no suite");
    }
    let is_unknown = |suite: &String| !all.contains(suite) && !by_name.contains_key(suite);
    if let Some((unknown, _)) = named.iter().find(|(suite, _)| is_unknown(suite)) {
        bail!(
            "neither vm-suites nor suites-by-name of tests/Cargo.toml names {unknown}, which {} is to run",
            listed.name
        );
    }
    let every = all.iter().map(|suite| (suite.clone(), Vec::new()));
    if whole {
        let named = named.iter().filter(|(suite, _)| by_name.contains_key(suite));
        return Ok(every.chain(named.cloned()).collect());
    }
    Ok(if named.is_empty() { every.collect() } else { named.clone() })
}

/// What every guest has in /bin.
const BINS: [&str; 2] = ["aioinspect", "aio-fixture"];

/// Boots a machine that runs these suites, what they print to `out`.
pub(crate) fn suites_of(
    machine: &Machine<'_>,
    archive: &[u8],
    suites: &[String],
    out: &mut dyn FnMut(&str),
) -> Result<Vec<Suite>> {
    let mut guest = Guest::new(machine.name, suites);
    let ended = machine.boot(archive, &mut |line| {
        out(line);
        guest.line(line);
        guest.started
    })?;
    let ran = guest.end(ended);
    if !ran.iter().all(Suite::is_good) {
        machine.show_console();
    }
    Ok(ran)
}

/// The lines of a plan that come before what it runs: the environment, the modules, which are added to the archive, and the conditions.
fn prelude(terms: &Terms, kernel: &Kernel, wanted: &[String], archive: &mut Initramfs) -> Result<String> {
    let mut plan = "env PATH=/bin\nenv AIOINSPECT_BIN_DIR=/bin\n".to_owned();
    let images = modules::in_order(&kernel.modules, wanted).context("cannot take the kernel's modules")?;
    for (nth, module) in images.iter().enumerate() {
        let path = format!("modules/{nth}.ko");
        archive.file(&path, module)?;
        writeln!(plan, "module /{path}")?;
    }
    for line in &terms.plan {
        writeln!(plan, "{line}")?;
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::list;

    /// Check that a machine runs what the list says, or all; whole means all beside what runs by name; an unknown suite is named.
    #[test]
    fn which_suites_run() {
        let listed =
            |lines: &str| list::parse(&format!("6.1 bookworm p-amd64\n{lines}native\n")).unwrap().remove(0);
        let needs = catalogue::Needs { modules: Vec::new(), packages: Vec::new() };
        let catalogue = Catalogue {
            suites: Vec::new(),
            vm_suites: vec!["live".into(), "watch".into()],
            vm_modules: Vec::new(),
            suites_by_name: [("criu".to_owned(), needs)].into(),
            systemd_suites: Vec::new(),
            systemd_kernel: String::new(),
        };
        let names = |lines: &str, whole| {
            let runs = runs(&listed(lines), &catalogue, whole)?;
            Ok::<_, anyhow::Error>(
                runs.iter().map(|(suite, words)| format!("{suite} {}", words.join(" "))).collect::<Vec<_>>(),
            )
        };
        let some = "    run watch ends::\n    run criu --skip faults::\n";
        assert_eq!(names("", false).unwrap(), ["live ", "watch "]);
        assert_eq!(names(some, false).unwrap(), ["watch ends::", "criu --skip faults::"]);
        assert_eq!(names(some, true).unwrap(), ["live ", "watch ", "criu --skip faults::"]);
        assert!(names("    run screen\n", false).unwrap_err().to_string().contains("screen"));
    }
}
