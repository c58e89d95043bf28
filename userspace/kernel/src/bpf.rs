//! bpf(2): programs and maps, what this kernel offers them, and why it refuses.

pub mod attach;
pub mod call;
pub mod capacity;
pub mod denial;
pub mod embedded;
pub mod error;
pub mod info;
pub mod jit;
pub mod kprobe_pmu;
pub mod lockdown;
pub mod log;
pub mod map;
pub mod mapped;
pub mod memlock;
pub mod program;
pub mod refusal;
pub mod tracefs;
pub mod ways;
