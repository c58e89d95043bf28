//! From /sys/kernel/btf/vmlinux to the offsets the eBPF programs are given.

use std::path::Path;

use crate::bpf::error::ProbeError;
use crate::layout::cache::LayoutCache;
use crate::layout::vmlinux::{VMLINUX_BTF, VmlinuxBtf, pages_of};
use aioinspect_parse::btf::index::Index;
use aioinspect_parse::btf::{Btf, Wanted};
use aioinspect_parse::kernel::hook_ids::{self, HookIds};
use aioinspect_parse::kernel::layout::{self, Layout};

/// Reads the running kernel's layout. The 5 MB of BTF are let go before this returns.
pub fn read_layout() -> Result<Layout, ProbeError> {
    read_layout_and_hooks().map(|(layout, _)| layout)
}

/// The same, and where calls can be seen.
pub fn read_layout_and_hooks() -> Result<(Layout, HookIds), ProbeError> {
    // All that any command asks, so that one walk serves the next one too.
    let wanted = [layout::WANTED, hook_ids::WANTED].concat();
    let cache = LayoutCache::of_this_kernel(&wanted);
    let known = cache.as_ref().and_then(LayoutCache::load).and_then(|index| look_up(&wanted, &index));
    known.map_or_else(|| walk(&wanted, cache.as_ref()), Ok)
}

/// The answers at the places where an earlier walk found them; `None`: they are not there.
fn look_up(wanted: &[Wanted], index: &Index) -> Option<(Layout, HookIds)> {
    let blob = pages_of(Path::new(VMLINUX_BTF), index).ok()?;
    let btf = Btf::indexed(&blob, wanted, index)?;
    let found = (Layout::resolve(&btf).ok()?, HookIds::resolve(&btf));
    (!btf.went_beyond()).then_some(found)
}

fn walk(wanted: &[Wanted], cache: Option<&LayoutCache>) -> Result<(Layout, HookIds), ProbeError> {
    let blob = VmlinuxBtf::open(Path::new(VMLINUX_BTF)).map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            let what = format!("BTF of its own types ({VMLINUX_BTF}, CONFIG_DEBUG_INFO_BTF)");
            return ProbeError::Lacks { what };
        }
        ProbeError::Io { action: "read /sys/kernel/btf/vmlinux", error }
    })?;
    let lacks = |what: String| ProbeError::Lacks { what };
    let btf = Btf::parse(&blob, wanted).map_err(|e| lacks(format!("readable BTF ({VMLINUX_BTF}: {e})")))?;
    let layout = Layout::resolve(&btf).map_err(|e| lacks(format!("a layout that aioinspect knows: {e}")))?;
    let hooks = HookIds::resolve(&btf);
    if let Some((cache, index)) = cache.zip(Index::of(&btf, blob.len())) {
        cache.save(&index);
    }
    Ok((layout, hooks))
}
