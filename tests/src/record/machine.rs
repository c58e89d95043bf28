//! The machines that captures are recorded on: what one reads of a state is not what another does.

use std::env::consts::ARCH;

use crate::pages;

/// What of a machine is in the evidence of every state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Name of its architecture, as Rust has it.
    pub architecture: &'static str,
    /// Bytes of its pages.
    pub page_size: u64,
}

impl Machine {
    /// Most captures are of such a one.
    pub const X86_64: Machine = Machine { architecture: "x86_64", page_size: 4096 };
    /// Debian's usual arm64.
    pub const ARM64: Machine = Machine { architecture: "aarch64", page_size: 4096 };
    /// Debian's arm64-16k.
    pub const ARM64_16K: Machine = Machine { architecture: "aarch64", page_size: 16_384 };

    /// This one.
    pub fn here() -> Machine {
        Machine { architecture: ARCH, page_size: pages::size() }
    }
}
