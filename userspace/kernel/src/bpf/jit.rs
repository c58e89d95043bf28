//! Whether this kernel translates BPF programs, or interprets them: fentry and `bpf_rdonly_cast` need the first.

/// What decides it.
pub const SYSCTL: &str = "net.core.bpf_jit_enable is 0";
/// The line that turns it on.
pub const FIX: &str = "sysctl -w net.core.bpf_jit_enable=1";

/// Whether the JIT is on; `None`: not shown to us (to root alone, and in the host's network namespace alone).
pub fn is_on() -> Option<bool> {
    let text = std::fs::read_to_string("/proc/sys/net/core/bpf_jit_enable").ok()?;
    text.trim().parse::<u32>().ok().map(|mode| mode > 0)
}
