//! Evidence files, in and out.

use std::path::{Path, PathBuf};

use anyhow::Context;

use aioinspect_formats::{evidence_from_bytes, evidence_to_bytes};
use aioinspect_kernel::host::files::{read_bounded, write_new};
use aioinspect_model::evidence::Evidence;

/// The most that is read of a file somebody hands us.
pub(super) const MOST: u64 = 64 * 1024 * 1024;

/// Permissions of what we write: it shows addresses of somebody's memory.
pub(super) const MODE: u32 = 0o600;

/// Reads an evidence file.
pub(super) fn read(path: &Path) -> anyhow::Result<Evidence> {
    let bytes = read_bounded(path, MOST)?;
    evidence_from_bytes(&bytes).with_context(|| format!("{}", path.display()))
}

/// Writes a new evidence file; an existing one is left alone.
pub(super) fn write(path: &Path, evidence: &Evidence) -> anyhow::Result<PathBuf> {
    let bytes = evidence_to_bytes(evidence)?;
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .with_context(|| format!("{} is not a file name", path.display()))?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(write_new(dir, name, &bytes, MODE)?)
}
