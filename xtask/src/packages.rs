//! Debian packages: which are there, and installing what is not. A machine without apt is told what to install.

use std::sync::Once;

use anyhow::{Context, Result, bail};

use crate::command::{Cmd, note};
use crate::paths;

/// A program that xtask or the tests call, and the Debian package that brings it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tool {
    /// The program's name.
    pub program: &'static str,
    /// The Debian package; other distributions name theirs alike.
    pub package: &'static str,
}

/// Whether packages can be installed without asking anyone.
pub(crate) fn can_install() -> bool {
    paths::is_root() && paths::program("apt-get").is_some()
}

/// The line a person would type.
pub(crate) fn line(packages: &[&str]) -> String {
    format!("sudo apt-get install --no-install-recommends {}", packages.join(" "))
}

/// Installs packages; without root or apt, an error that says what to install.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    if !can_install() {
        bail!("{}", cannot(packages, paths::program("apt-get").is_some()));
    }
    update();
    // No recommended packages: they are where services and desktop parts come from.
    Cmd::new("apt-get")
        .arguments(["install", "-y", "-q", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"])
        .arguments(packages)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .run()
}

/// Fetches the package lists, once. A repository that is out of reach is no reason to stop: the others may have it all.
pub(crate) fn update() {
    static UPDATED: Once = Once::new();
    UPDATED.call_once(|| {
        if let Err(error) = Cmd::new("apt-get").arguments(["update", "-q"]).run() {
            note(&format!("{error:#}; going on with the lists there are"));
        }
    });
}

/// Whether apt knows a package of this name (needs lists, which a fresh machine has not).
pub(crate) fn is_offered(package: &str) -> bool {
    Cmd::new("apt-cache")
        .arg("show")
        .arg("--no-all-versions")
        .arg(package)
        .ask()
        .is_some_and(|says| !says.is_empty())
}

/// Installs what brings the tools that are missing, and looks again.
pub(crate) fn need(tools: &[Tool]) -> Result<()> {
    let missing = missing(tools, |program| paths::program(program).is_some());
    if missing.is_empty() {
        return Ok(());
    }
    install(&missing).with_context(|| format!("missing: {}", missing.join(", ")))?;
    for tool in tools {
        if paths::program(tool.program).is_none() {
            bail!("package {} is installed, but there is no program {}", tool.package, tool.program);
        }
    }
    Ok(())
}

/// The packages to install, each once.
fn missing(tools: &[Tool], is_there: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let mut packages = Vec::new();
    for tool in tools {
        if !is_there(tool.program) && !packages.contains(&tool.package) {
            packages.push(tool.package);
        }
    }
    packages
}

fn cannot(packages: &[&str], apt: bool) -> String {
    if apt {
        format!("installing packages needs root; run\n  {}", line(packages))
    } else {
        format!("there is no apt-get here; install what your distribution calls {}", packages.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOLS: [Tool; 3] = [
        Tool { program: "fio", package: "fio" },
        Tool { program: "mariadbd", package: "mariadb-server-core" },
        Tool { program: "mariadb-install-db", package: "mariadb-server-core" },
    ];

    /// Check that only what is missing is installed, a package of two programs once.
    #[test]
    fn asks_for_what_is_missing_only() {
        assert_eq!(missing(&TOOLS, |_| true), Vec::<&str>::new());
        assert_eq!(missing(&TOOLS, |program| program == "fio"), ["mariadb-server-core"]);
        assert_eq!(missing(&TOOLS, |program| program == "mariadbd"), ["fio", "mariadb-server-core"]);
    }

    /// Check that who cannot install is told the line, or the names.
    #[test]
    fn says_what_to_type() {
        assert!(
            cannot(&["fio", "tmux"], true).ends_with("sudo apt-get install --no-install-recommends fio tmux")
        );
        assert!(cannot(&["fio", "tmux"], false).ends_with("calls fio, tmux"));
    }
}
