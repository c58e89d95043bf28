//! `cargo xtask check`: what a change must pass before any test: formatting, clippy of both halves, tidy.

use anyhow::Result;

use crate::command::note;
use crate::{build, ebpf, tidy, toolchain};

/// Stops at the first of them that finds something.
pub fn check() -> Result<()> {
    build::cargo().arguments(["fmt", "--all", "--check"]).run()?;
    build::cargo().arguments(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]).run()?;
    tidy::tidy()?;
    match toolchain::find() {
        Some(toolchain) if ebpf::has_clippy(&toolchain) => ebpf::lint(&toolchain)?,
        Some(toolchain) => {
            note(&format!("NOT LINTED: the eBPF programs, because {} has no clippy", toolchain.name));
        }
        None => note(
            "NOT LINTED: the eBPF programs, because their toolchain is missing (`cargo xtask setup` installs it)",
        ),
    }
    Ok(())
}
