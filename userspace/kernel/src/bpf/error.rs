//! Why the kernel's word cannot be had, by what the caller can do about it.

use std::{fmt, io};

use crate::bpf::denial::Denial;
use crate::bpf::jit;

/// Why the eBPF half cannot run. As text: what was refused, why, and the line that mends it, where one is known.
#[derive(Debug)]
pub enum ProbeError {
    /// The build had no eBPF toolchain.
    NotBuilt,
    /// A capability is missing, or something forbids what it would permit.
    NotPermitted {
        /// What was tried.
        action: &'static str,
        /// What refused it.
        why: Denial,
    },
    /// The program needs the JIT, which is off.
    NoJit {
        /// Name of the program in the object.
        program: &'static str,
    },
    /// The kernel lacks something.
    Lacks {
        /// The feature, by the name a kernel builder knows.
        what: String,
    },
    /// The object is not what this program was built with.
    Object(String),
    /// The verifier refused a program.
    Refused {
        /// Name of the program in the object.
        program: &'static str,
        /// What the call answered.
        error: io::Error,
        /// The verifier's reason, if it gave one.
        why: String,
        /// The verifier's last words, on lines of their own, or nothing.
        log: String,
    },
    /// Anything else.
    Io {
        /// What was tried.
        action: &'static str,
        /// What the kernel answered.
        error: io::Error,
    },
}

impl ProbeError {
    /// Sorts an error of bpf(2).
    pub fn from_bpf(action: &'static str, error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Self::NotPermitted { action, why: Denial::of_ours() },
            Some(libc::ENOSYS) => Self::Lacks { what: "bpf(2) (CONFIG_BPF_SYSCALL)".to_owned() },
            Some(code) => Self::Io { action, error: io::Error::from_raw_os_error(code) },
            None => Self::Io { action, error: io::Error::other(error.to_string()) },
        }
    }

    /// What was refused and why, without the line that mends it.
    pub fn cause(&self) -> String {
        match self {
            Self::NotBuilt => "this build of aioinspect contains no eBPF programs".to_owned(),
            Self::NotPermitted { action, why } => format!("bpf: not permitted to {action}: {why}"),
            Self::NoJit { program } => {
                format!(
                    "this kernel runs BPF without its JIT, which the program `{program}` needs ({})",
                    jit::SYSCTL
                )
            }
            Self::Lacks { what } => format!("this kernel lacks {what}"),
            Self::Object(what) => format!("eBPF object: {what}"),
            Self::Refused { program, error, why, .. } if why.is_empty() => {
                format!("the kernel refused the program `{program}`: {error}")
            }
            Self::Refused { program, error, why, .. } => {
                format!("the kernel refused the program `{program}`: {why} ({error})")
            }
            Self::Io { action, error } => format!("bpf: cannot {action}: {error}"),
        }
    }

    /// The line that mends it; `None`: none is known.
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::NotBuilt => Some("cargo xtask run".to_owned()),
            Self::NotPermitted { why, .. } => why.fix(),
            Self::NoJit { .. } => Some(jit::FIX.to_owned()),
            Self::Lacks { .. } | Self::Object(_) | Self::Refused { .. } | Self::Io { .. } => None,
        }
    }
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause())?;
        match self {
            Self::Refused { log, .. } if log.is_empty() => f.write_str("; -v shows the verifier's log"),
            Self::Refused { log, .. } => f.write_str(log),
            Self::NotBuilt
            | Self::NotPermitted { .. }
            | Self::NoJit { .. }
            | Self::Lacks { .. }
            | Self::Object(_)
            | Self::Io { .. } => match self.fix() {
                Some(fix) => write!(f, "; fix: {fix}"),
                None => Ok(()),
            },
        }
    }
}

impl std::error::Error for ProbeError {}
