//! `cargo xtask check`: what a change must pass before any test: formatting, clippy of both halves, tidy, the
//! dependencies.

use anyhow::{Result, bail};

use crate::{build, deny, ebpf, tidy, toolchain};

/// Stops at the first of them that finds something.
pub(crate) fn check() -> Result<()> {
    build::cargo().arguments(["fmt", "--all", "--check"]).run()?;
    build::cargo().arguments(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]).run()?;
    tidy::tidy()?;
    deny::deny()?;
    let Some(toolchain) = toolchain::find() else {
        bail!("cannot lint the eBPF programs: their toolchain is missing (`cargo xtask setup` installs it)");
    };
    toolchain::need_clippy(&toolchain)?;
    ebpf::lint(&toolchain)
}
