//! Which live suites there are, and where they run: `tests/Cargo.toml` says it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use cargo_metadata::{Metadata, MetadataCommand};
use serde::Deserialize;

use crate::build;

/// The live suites of package aioinspect-tests, as its Cargo.toml names them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Catalogue {
    /// Every test target with `test = false`: those that `cargo test` leaves alone.
    #[serde(skip)]
    pub suites: Vec<String>,
    /// Those of them that run in virtual machines: `[package.metadata.aioinspect] vm-suites`.
    pub vm_suites: Vec<String>,
    /// Kernel modules that they need: `vm-modules` there.
    pub vm_modules: Vec<String>,
    /// Those that run in a virtual machine only where the list of kernels names them: `suites-by-name` there.
    #[serde(default)]
    pub suites_by_name: BTreeMap<String, Needs>,
    /// Those that run under systemd in a virtual machine where the package is installed, and nowhere else: `systemd-suites` there.
    pub systemd_suites: Vec<String>,
    /// The name of the kernel there: `systemd-kernel`.
    pub systemd_kernel: String,
}

/// What a suite needs in a machine, beside what every machine has.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Needs {
    /// Kernel modules.
    pub modules: Vec<String>,
    /// Packages of the kernel's own Debian.
    pub packages: Vec<String>,
}

/// Live tests share the machine's fs.aio-nr, so they run one after the other; what they print shows what they skipped.
pub(crate) fn libtest_args() -> [&'static str; 2] {
    ["--test-threads=1", "--show-output"]
}

/// The suites of this checkout.
pub(crate) fn read() -> Result<Catalogue> {
    let metadata = build::cargo().arguments(["metadata", "--no-deps", "--format-version", "1"]).ask();
    catalogue_of(&MetadataCommand::parse(metadata.context("`cargo metadata` failed")?)?)
}

fn catalogue_of(metadata: &Metadata) -> Result<Catalogue> {
    let package = metadata.packages.iter().find(|package| *package.name == "aioinspect-tests");
    let package = package.context("no package aioinspect-tests")?;
    let own = package.metadata.get("aioinspect").context("aioinspect-tests has no metadata of ours")?;
    let live = package.targets.iter().filter(|target| target.is_test() && !target.test);
    let suites = live.map(|target| target.name.clone()).collect();
    let catalogue = Catalogue { suites, ..Catalogue::deserialize(own)? };
    for suite in
        catalogue.vm_suites.iter().chain(&catalogue.systemd_suites).chain(catalogue.suites_by_name.keys())
    {
        if !catalogue.suites.contains(suite) {
            bail!("tests/Cargo.toml names the suite {suite}, which is no test target with `test = false`");
        }
    }
    Ok(catalogue)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that the live suites are the test targets that cargo leaves alone, and that the list for VMs is checked.
    #[test]
    fn discovers_the_suites() {
        let ask =
            || build::cargo().arguments(["metadata", "--no-deps", "--format-version", "1"]).ask().unwrap();
        let catalogue = catalogue_of(&MetadataCommand::parse(ask()).unwrap()).unwrap();
        assert!(catalogue.suites.iter().any(|suite| suite == "live"));
        assert!(catalogue.suites.iter().all(|suite| suite != "golden"));
        assert_eq!(
            (catalogue.vm_modules, catalogue.systemd_suites),
            (vec!["fuse".into()], vec!["service".into()])
        );
        assert!(catalogue.suites_by_name["criu"].packages.contains(&"criu".to_owned()));
        let wrong = ask().replace(r#""vm-suites":["#, r#""vm-suites":["golden","#);
        let error = catalogue_of(&MetadataCommand::parse(wrong).unwrap()).unwrap_err();
        assert!(error.to_string().contains("golden"), "{error}");
    }
}
