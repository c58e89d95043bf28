//! The rival of `list` in memory: the same programs, loaded as aya's documentation shows it, run once, nothing printed.

use std::ffi::OsString;
use std::io::Read;

use aioinspect_ebpf::{Offsets, Wire};
use aioinspect_kernel::host::page::page_size;
use aioinspect_kernel::layout::read::read_layout;
use anyhow::{Context, Result};
use aya::programs::Iter;
use aya::{Btf, EbpfLoader};

use crate::spawned::{Spawned, spawn_and_measure};

/// The argument by which this program is that loader: the object's path and the offsets in hexadecimal follow.
pub(crate) const LOAD: &str = "--naive-loader";

/// How the loader is called; `None` if nobody says where the eBPF object is.
pub(crate) fn command() -> Result<Option<Vec<OsString>>> {
    let Some(objects) = std::env::var_os("AIOINSPECT_EBPF_OBJECTS") else { return Ok(None) };
    let object = std::path::Path::new(&objects).join("aioinspect.bpf.o").into_os_string();
    let layout = read_layout()?.offsets(page_size());
    let mut bytes = vec![0; Offsets::SIZE];
    layout.write(&mut bytes).context("offsets do not fit")?;
    let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Some(vec![std::env::current_exe()?.into(), LOAD.into(), object, hex.concat().into()]))
}

/// Measures it once.
pub(crate) fn measure(command: &[OsString]) -> Result<Spawned> {
    spawn_and_measure(command, &[0])
}

/// Is it.
pub(crate) fn load(args: &[String]) -> Result<()> {
    let [object, hex] = args else { anyhow::bail!("an object and its offsets") };
    let digits = hex.as_bytes().chunks(2).map(std::str::from_utf8);
    let bytes = digits.map(|two| Ok(u8::from_str_radix(two?, 16)?)).collect::<Result<Vec<u8>>>()?;
    let btf = Btf::from_sys_fs()?;
    let mut loader = EbpfLoader::new();
    loader.override_global("OFFSETS", bytes.as_slice(), true);
    for (map, entries) in [("CONTEXTS", 32_768), ("MMS", 2048), ("TASKS", 4096), ("CPU_OFFSETS", 64)] {
        loader.map_max_entries(map, entries);
    }
    let mut ebpf = loader.load_file(object)?;
    let program: &mut Iter = ebpf.program_mut("census").context("no census")?.try_into()?;
    program.load("task", &btf)?;
    let link = program.attach()?;
    let mut walk = program.take_link(link)?.into_file()?;
    walk.read_to_end(&mut Vec::new())?;
    Ok(())
}
