//! Giving a program to the kernel, and its reasons if it refuses.

use std::os::fd::{AsFd, OwnedFd};

use super::bpf::{self, Code, Kind, Verbosity};
use super::probe_error::ProbeError;

/// Gives one program to the kernel; asks the verifier for its reasons only when it refuses.
pub fn load_program(
    name: &'static str,
    code: &Code,
    btf: &OwnedFd,
    kind: Kind,
) -> Result<OwnedFd, ProbeError> {
    let error = match bpf::prog_load(name, code, btf.as_fd(), kind, Verbosity::Reasons, &mut []) {
        Ok(fd) => return Ok(fd),
        Err(error) => error,
    };
    if error.raw_os_error() == Some(libc::EPERM) {
        return Err(ProbeError::NotPermitted { action: "load a program" });
    }
    let mut log = vec![0; 256 * 1024];
    let _ = bpf::prog_load(name, code, btf.as_fd(), kind, Verbosity::Reasons, &mut log);
    let said = log.split(|byte| *byte == 0).next().unwrap_or_default();
    let lines: Vec<&[u8]> = said.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(12)..).unwrap_or_default();
    let log = last.iter().fold(String::new(), |mut text, line| {
        text.push_str("\n  ");
        text.push_str(&String::from_utf8_lossy(line));
        text
    });
    Err(ProbeError::Refused { program: name, error, log })
}

/// How many instructions the verifier checks in a program: what loading it costs (`processed N insns` of its log).
pub fn verified_instructions(name: &str, code: &Code, btf: &OwnedFd, kind: Kind) -> std::io::Result<u64> {
    let mut log = vec![0; 64 * 1024];
    bpf::prog_load(name, code, btf.as_fd(), kind, Verbosity::Counts, &mut log)?;
    let said = String::from_utf8_lossy(log.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned();
    let count = said.split("processed ").nth(1).and_then(|rest| rest.split(' ').next());
    count
        .and_then(|count| count.parse().ok())
        .ok_or_else(|| std::io::Error::other(format!("the verifier gave no count: {said:?}")))
}
