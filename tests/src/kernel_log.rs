//! What the kernel has said of itself.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;

/// The warnings that it has printed since it booted, whoever made it warn: with kernel.panic_on_warn one is the end of the host.
pub fn warnings() -> io::Result<Vec<String>> {
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
