//! Giving a program to the kernel, and its reasons if it refuses.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::bpf::{self, Code, Kind};
use super::denial::Denial;
use super::jit;
use super::lockdown::Lockdown;
use super::probe_error::ProbeError;
use super::refusal::Refusal;

/// Gives one program to the kernel; asks the verifier for its reasons only when it refuses.
pub fn load_program(
    name: &'static str,
    code: &Code,
    btf: &OwnedFd,
    kind: Kind,
) -> Result<OwnedFd, ProbeError> {
    let error = match bpf::prog_load(name, code, btf.as_fd(), kind, &mut []) {
        Ok(fd) => return Ok(fd),
        Err(error) => error,
    };
    if error.raw_os_error() == Some(libc::EPERM) {
        return Err(ProbeError::from_bpf("load a program", &error));
    }
    let mut log = vec![0; 256 * 1024];
    let _ = bpf::prog_load(name, code, btf.as_fd(), kind, &mut log);
    let said = log.split(|byte| *byte == 0).next().unwrap_or_default();
    Err(refused(name, error, &String::from_utf8_lossy(said)))
}

/// What the verifier's words come to.
fn refused(program: &'static str, error: io::Error, said: &str) -> ProbeError {
    /// What fentry and fexit answer without a JIT, and the verifier says nothing of it (kernel/bpf/trampoline.c).
    const ENOTSUPP: i32 = 524;
    match Refusal::of(said) {
        Refusal::NoJit => ProbeError::NoJit { program },
        Refusal::Other(_) if error.raw_os_error() == Some(ENOTSUPP) && jit::is_on() == Some(false) => {
            ProbeError::NoJit { program }
        }
        Refusal::Helper(name) if name.starts_with("bpf_probe_read_kernel") => {
            match Lockdown::of_this_kernel() {
                Lockdown::Confidentiality => {
                    ProbeError::NotPermitted { action: "read kernel memory", why: Denial::Lockdown }
                }
                Lockdown::None | Lockdown::Integrity | Lockdown::AtMostIntegrity | Lockdown::Unknown => {
                    lacks_helper(&name)
                }
            }
        }
        Refusal::Helper(name) => lacks_helper(&name),
        Refusal::Other(why) => ProbeError::Refused { program, error, why, log: shown(said) },
    }
}

fn lacks_helper(name: &str) -> ProbeError {
    ProbeError::Lacks { what: format!("the BPF helper {name}, or does not let this program call it") }
}

/// The last lines of the log, for who asked for more by -v.
fn shown(said: &str) -> String {
    if log::max_level() < log::LevelFilter::Debug {
        return String::new();
    }
    let lines: Vec<&str> = said.lines().filter(|line| !line.is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(12)..).unwrap_or_default();
    last.iter().fold(String::new(), |text, line| text + "\n  " + line)
}
