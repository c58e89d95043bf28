//! From /sys/kernel/btf/vmlinux to the offsets the eBPF programs are given.

use std::path::Path;

use super::probe_error::ProbeError;
use super::vmlinux_btf::VmlinuxBtf;
use crate::model::btf::Btf;
use crate::model::hook_ids::{self, HookIds};
use crate::model::layout::{self, Layout};

/// Where the kernel shows its own types.
pub const VMLINUX_BTF: &str = "/sys/kernel/btf/vmlinux";

/// Reads the running kernel's layout. The 5 MB of BTF are let go before this returns.
pub fn read_layout() -> Result<Layout, ProbeError> {
    read(|_| ()).map(|(layout, ())| layout)
}

/// The same, and where calls can be seen.
pub fn read_layout_and_hooks() -> Result<(Layout, HookIds), ProbeError> {
    read(HookIds::resolve)
}

fn read<T>(more: impl FnOnce(&Btf<'_>) -> T) -> Result<(Layout, T), ProbeError> {
    let path = Path::new(VMLINUX_BTF);
    let blob = VmlinuxBtf::open(path).map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            let what = format!("BTF of its own types ({VMLINUX_BTF}, CONFIG_DEBUG_INFO_BTF)");
            return ProbeError::Lacks { what };
        }
        ProbeError::Io { action: "read /sys/kernel/btf/vmlinux", error }
    })?;
    let lacks = |what: String| ProbeError::Lacks { what };
    let btf = Btf::parse(&blob, &[layout::WANTED, hook_ids::WANTED].concat())
        .map_err(|e| lacks(format!("readable BTF ({VMLINUX_BTF}: {e})")))?;
    let layout = Layout::resolve(&btf).map_err(|e| lacks(format!("a layout this program knows: {e}")))?;
    Ok((layout, more(&btf)))
}
