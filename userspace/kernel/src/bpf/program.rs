//! Giving a program to the kernel, and its reasons if it refuses.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::bpf::call::{self, Code, ProgramKind, Verbosity};
use crate::bpf::denial::Denial;
use crate::bpf::error::ProbeError;
use crate::bpf::jit;
use crate::bpf::lockdown::Lockdown;
use crate::bpf::refusal::Refusal;

/// Gives one program to the kernel; asks the verifier for its reasons only when it refuses.
pub(crate) fn load_program(
    name: &'static str,
    code: &Code,
    btf: &OwnedFd,
    kind: ProgramKind,
) -> Result<OwnedFd, ProbeError> {
    let load = |code| call::prog_load(name, code, Some(btf.as_fd()), kind, Verbosity::Reasons, &mut []);
    let error = match load(code) {
        Ok(fd) => return Ok(fd),
        Err(error) => error,
    };
    if may_lack_fences(&error)
        && let Some(without) = code.without_fences()
        && let Ok(fd) = load(&without)
    {
        // Two CPUs that change the same entry at once may then leave it wrong, until a comparison with the kernel's tables puts it right.
        log::warn!(
            "{name}: BPF of this kernel has no atomic operation that orders memory, so the program runs without"
        );
        return Ok(fd);
    }
    if error.raw_os_error() == Some(libc::EPERM) {
        return Err(ProbeError::from_bpf("load a program", &error));
    }
    let mut log = vec![0; 256 * 1024];
    let _ = call::prog_load(name, code, Some(btf.as_fd()), kind, Verbosity::Reasons, &mut log);
    let said = log.split(|byte| *byte == 0).next().unwrap_or_default();
    Err(refused(name, error, &String::from_utf8_lossy(said)))
}

/// What a JIT answers to an instruction that it does not know, and fentry and fexit without a JIT, of which the verifier says nothing
/// (kernel/bpf/trampoline.c).
const ENOTSUPP: i32 = 524;

/// Whether a program was refused as one with fences is where there are none: the verifier does not know the operation (before 5.12), or
/// the JIT does not (arm64 before 5.18, of a CPU without LSE).
fn may_lack_fences(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | ENOTSUPP))
}

/// What the verifier's words come to.
fn refused(program: &'static str, error: io::Error, said: &str) -> ProbeError {
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

/// How many instructions the verifier checks in a program: what loading it costs (`processed N insns` of its log).
pub(crate) fn verified_instructions(
    name: &str,
    code: &Code,
    btf: &OwnedFd,
    kind: ProgramKind,
) -> io::Result<u64> {
    let mut log = vec![0; 64 * 1024];
    call::prog_load(name, code, Some(btf.as_fd()), kind, Verbosity::Counts, &mut log)?;
    let said = String::from_utf8_lossy(log.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned();
    let count = said.split("processed ").nth(1).and_then(|rest| rest.split(' ').next());
    count
        .and_then(|count| count.parse().ok())
        .ok_or_else(|| io::Error::other(format!("the verifier gave no count: {said:?}")))
}
