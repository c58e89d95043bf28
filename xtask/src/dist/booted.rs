//! The package in a machine of its own: a Debian with it installed and its units enabled, booted in a virtual machine by systemd. The suites
//! look at the service from inside.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::root::{self, Root};
use crate::build::Built;
use crate::catalogue::{self, Catalogue};
use crate::count::Suite;
use crate::initramfs::Initramfs;
use crate::kernel;
use crate::kernel::list::{self, Terms};
use crate::vm::{self, Machine};

/// What it is called in results.
const NAME: &str = "systemd";
/// A machine that runs longer than this hangs.
const LIMIT: Duration = Duration::from_secs(15 * 60);
/// What nobody reads in there.
const LEFT_OUT: [&str; 6] = [
    "usr/share/doc",
    "usr/share/locale",
    "usr/share/man",
    "var/lib/apt/lists",
    "var/cache",
    "tmp/aioinspect.deb",
];
/// The suites, run once the service is up; the machine ends with them, however they end.
const UNIT: &str = "[Unit]\n\
    After=aioinspect.service multi-user.target\n\
    SuccessAction=poweroff-force\n\
    FailureAction=poweroff-force\n\
    [Service]\n\
    Type=oneshot\n\
    ExecStart=/usr/bin/vm-init plan\n";

/// Boots the machine and runs them.
pub(super) fn suites(
    deb: &Path,
    built: &Built,
    catalogue: &Catalogue,
    out: &mut dyn FnMut(&str),
) -> Vec<Suite> {
    match run(deb, built, catalogue, out) {
        Ok(suites) => suites,
        Err(error) => {
            let broken = |suite| Suite::broken(format!("{NAME} {suite}"), format!("{error:#}"));
            catalogue.systemd_suites.iter().map(broken).collect()
        }
    }
}

fn run(deb: &Path, built: &Built, catalogue: &Catalogue, out: &mut dyn FnMut(&str)) -> Result<Vec<Suite>> {
    let listed = list::find(&list::read()?, &catalogue.systemd_kernel)?;
    let source = listed.source.context("systemd-kernel of tests/Cargo.toml has no package to boot")?;
    let kernel = kernel::fetch(&source)?;
    let dir = super::dir().join("booted");
    let root = root::fresh(&dir.join("root"))?;
    fs::copy(deb, root.path("tmp/aioinspect.deb")).context("cannot copy the package into the root")?;
    root.command(&["dpkg", "-i", "/tmp/aioinspect.deb"]).run()?;
    root.command(&["systemctl", "enable", "aioinspect.socket", "aioinspect.service"]).run()?;
    add_suites(&root, built, catalogue)?;
    let leave_out = |path: &str| LEFT_OUT.contains(&path);
    let archive = Initramfs::of_root(&root.path(""), leave_out)?.finish()?;
    let machine = Machine {
        name: NAME,
        architecture: source.architecture,
        image: &kernel.image,
        terms: &Terms::default(),
        dir: &dir,
        limit: LIMIT,
    };
    vm::suites_of(&machine, &archive, &catalogue.systemd_suites, out)
}

/// Puts the suites into the root, and the unit that runs them.
fn add_suites(root: &Root, built: &Built, catalogue: &Catalogue) -> Result<()> {
    let mut plan =
        "env PATH=/usr/sbin:/usr/bin:/sbin:/bin\nenv AIOINSPECT_BIN_DIR=/usr/bin\nenv LC_ALL=C\n".to_owned();
    fs::create_dir_all(root.path("suites"))?;
    for suite in &catalogue.systemd_suites {
        copy(built.suite(suite)?, &root.path("suites").join(suite))?;
        writeln!(plan, "suite {suite} {}", catalogue::libtest_args().join(" "))?;
    }
    for tool in ["aio-fixture", "vm-init"] {
        copy(&built.bins.join(tool), &root.path("usr/bin").join(tool))?;
    }
    fs::write(root.path("plan"), plan)?;
    fs::write(root.path("etc/systemd/system/suites.service"), UNIT)?;
    let wanted = root.path("etc/systemd/system/multi-user.target.wants");
    fs::create_dir_all(&wanted)?;
    symlink("../suites.service", wanted.join("suites.service"))?;
    Ok(symlink("/usr/lib/systemd/systemd", root.path("init"))?)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}
