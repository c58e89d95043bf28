//! Why the kernel's word cannot be had, by what the caller can do about it.

use std::io;

/// Why the eBPF half cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The build had no eBPF toolchain.
    #[error("this build of aioinspect carries no eBPF programs (build it with `cargo xtask run`)")]
    NotBuilt,
    /// A capability is missing.
    #[error("bpf: not permitted to {action}: CAP_BPF and CAP_PERFMON are needed (or run as root)")]
    NotPermitted {
        /// What was tried.
        action: &'static str,
    },
    /// The kernel lacks something.
    #[error("this kernel lacks {what}")]
    Lacks {
        /// The feature, by the name a kernel builder knows.
        what: String,
    },
    /// The object is not what this program was built with.
    #[error("eBPF object: {0}")]
    Object(String),
    /// The verifier refused a program.
    #[error("the kernel refused the program `{program}`: {error}{log}")]
    Refused {
        /// The program.
        program: &'static str,
        /// What the call answered.
        error: io::Error,
        /// The verifier's last words, on lines of their own, or nothing.
        log: String,
    },
    /// Anything else.
    #[error("bpf: cannot {action}: {error}")]
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
            Some(libc::EPERM | libc::EACCES) => Self::NotPermitted { action },
            Some(libc::ENOSYS) => Self::Lacks { what: "bpf(2) (CONFIG_BPF_SYSCALL)".to_owned() },
            Some(code) => Self::Io { action, error: io::Error::from_raw_os_error(code) },
            None => Self::Io { action, error: io::Error::other(error.to_string()) },
        }
    }
}
