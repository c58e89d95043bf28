//! What the kernel has said of itself.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;

use crate::host::is_own_machine;
use crate::programs::skip;

/// Asserts that the kernel does not warn of what `load` loads: with kernel.panic_on_warn one warning is the end of the host. In machines of ours
/// alone: elsewhere others can have made it warn, and the test `name` is skipped.
///
/// # Panics
/// If it has warned since it booted, or its log cannot be read.
pub fn assert_silent(name: &str, load: impl FnOnce()) {
    if !is_own_machine() {
        skip(name, "others may have made this kernel warn: `cargo xtask test vm` asks kernels of its own");
        return;
    }
    load();
    let warned = warnings().unwrap_or_else(|error| panic!("the kernel's log: {error}"));
    assert!(warned.is_empty(), "the kernel has warned: {warned:?}");
}

/// The warnings that it has printed since it booted, whoever made it warn.
fn warnings() -> io::Result<Vec<String>> {
    let mut said = records()?;
    if said.is_empty() {
        return Err(io::Error::other("the kernel's log is empty"));
    }
    said.retain(|record| record.contains("WARNING: "));
    Ok(said)
}

/// Everything that /dev/kmsg still has, a record each (Documentation/ABI/testing/dev-kmsg).
fn records() -> io::Result<Vec<String>> {
    let mut log = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg")?;
    let mut records = Vec::new();
    let mut buffer = vec![0; 8192];
    loop {
        match log.read(&mut buffer) {
            Ok(length) => {
                let record = buffer.get(..length).unwrap_or_default();
                records.push(String::from_utf8_lossy(record).into_owned());
            }
            // Older ones were overwritten: the next read goes on behind them.
            Err(error) if error.raw_os_error() == Some(libc::EPIPE) => (),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(records),
            Err(error) => return Err(error),
        }
    }
}
