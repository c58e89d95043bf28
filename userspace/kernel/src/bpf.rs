//! bpf(2): programs and maps, what this kernel offers them, and why it refuses.

pub(crate) mod attach;
pub mod call;
pub(crate) mod capacity;
pub mod denial;
pub mod embedded;
pub mod error;
pub(crate) mod info;
pub mod jit;
pub(crate) mod kprobe_pmu;
pub mod lockdown;
pub(crate) mod log;
pub mod map;
pub(crate) mod mapped;
pub mod memlock;
pub(crate) mod program;
pub(crate) mod refusal;
#[cfg(test)]
pub(crate) mod stand_in;
mod syscall;
pub mod tracefs;
pub(crate) mod ways;
